"""Tables in LaTeX: what names hold is read as it is, and pdfLaTeX sets the result."""

import re
import shutil
import subprocess

import pytest

from raybert.analysis.latex import escape, number, table
from raybert.display import Row, TextTable

SPECIAL = "a_b & 50% $x$ #1 {y} \\input{/etc/passwd} ~ ^ <b> |c| `d' ''e'' -- [1] * \"f\""
HOSTILE = ("[4pt]", "*", "\x1b[2J\nend", "}\\end{table}", "%", "é ß ±", SPECIAL)


def test_every_special_character_becomes_its_sign():
    assert escape("a_b & 50% $x$ #1 {y}") == r"a\_b \& 50\% \$x\$ \#1 \{y\}"
    assert escape("\\input{x}") == r"\textbackslash{}input\{x\}"
    assert escape("~^<>|`") == (
        r"\textasciitilde{}\textasciicircum{}\textless{}\textgreater{}\textbar{}\textasciigrave{}"
    )
    assert escape("a--b''c'd") == "a-{}-b'{}'c'd"
    assert escape("\x1b\n") == r"\textbackslash{}x1b\textbackslash{}n"


@pytest.mark.parametrize(
    ("cell", "shown"),
    [
        ("75.6 [72.5, 78.5]", "75.6 [72.5, 78.5]"),
        ("-1.6 [-3.4, +0.2]", "$-$1.6 [$-$3.4, +0.2]"),
        ("+13.2 [+9.7, +16.7] +", "+13.2 [+9.7, +16.7]\\rlap{$^{+}$}"),
        ("-2.0, +43.0 -", "$-$2.0, +43.0\\rlap{$^{-}$}"),
        ("+1.2 [+0.1, +2.3] ?", "+1.2 [+0.1, +2.3]\\rlap{$^{?}$}"),
        ("49.8 [49.6, 50.0] !", "49.8 [49.6, 50.0]\\rlap{$^{!}$}"),
        ("98.1 %", r"98.1 \%"),
        ("2 (1 failed)", "2 (1 failed)"),
        ("81.2 ± 1.3", r"81.2 $\pm$ 1.3"),
    ],
)
def test_numbers_have_minus_signs_and_raised_marks(cell, shown):
    assert number(cell) == shown


def hostile_table() -> str:
    rows = tuple(Row((name, "1.0 [-0.5, 2.5] +", *(["extra"] if at else []))) for at, name in enumerate(HOSTILE))
    shown = TextTable(("strategy_[x]", "accuracy [95 %]", "more"), rows)
    return table(shown, [f"Names such as {SPECIAL}.", "100 %."], "my sweep: 50%", "from runs/a\nb % \\end{document}")


def test_a_table_is_balanced_whatever_names_hold():
    text = hostile_table()
    lines = text.splitlines()
    assert lines[0] == r"% from runs/a\nb % \end{document}"
    code = "\n".join(line for line in lines if not line.startswith("%"))
    assert re.findall(r"\\(begin|end)\{(\w+)\}", code) == [
        ("begin", "table"),
        ("begin", "tabular"),
        ("end", "tabular"),
        ("end", "table"),
    ]
    bare = re.sub(r"\\[\\{}]", "", code)
    assert bare.count("{") == bare.count("}")
    rows = [line for line in lines if line.endswith(r"\\")]
    assert len(rows) == 1 + len(HOSTILE)
    assert [len(re.findall(r"(?<!\\)&", row)) for row in rows] == [2] * len(rows)
    assert r"\label{tab:my-sweep-50}" in text
    assert r"\begin{tabular}{lrr}" in text


@pytest.mark.slow
def test_pdflatex_sets_a_table_with_hostile_names(tmp_path):
    if shutil.which("pdflatex") is None:
        pytest.skip("pdflatex is not installed (Debian: texlive-latex-recommended)")
    head = "\\documentclass{article}\n\\usepackage{booktabs}\n\\begin{document}\n"
    (tmp_path / "paper.tex").write_text(
        f"{head}{hostile_table()}See table~\\ref{{tab:my-sweep-50}}.\n\\end{{document}}\n"
    )
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "paper.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, errors="replace", check=False)
    assert done.returncode == 0, done.stdout[-2000:]
    assert "LaTeX Error" not in done.stdout
    assert (tmp_path / "paper.pdf").stat().st_size > 1000


def test_letters_that_pdflatex_lacks_are_said_above_the_table():
    assert "XeLaTeX" not in hostile_table()
    assert "XeLaTeX" in table(TextTable(("策略",), ()), ["x"], "", "y")


def test_letters_are_raised_with_the_mark_of_a_warning():
    assert number("64.6 [62.1, 67.0] ! abcd") == r"64.6 [62.1, 67.0]\rlap{$^{!abcd}$}"
    assert number("75.6 ab") == r"75.6\rlap{$^{ab}$}"
    assert number("+0.1 [-0.2, +0.3] =") == r"+0.1 [$-$0.2, +0.3]\rlap{$^{=}$}"
