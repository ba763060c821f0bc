"""What is shown of other people's names acts on nothing: no terminal, no markup, no spreadsheet, no Markdown, no plot."""

import ast
import io
import re
import sys
import warnings

import numpy as np
import pandas as pd
import pytest
import rich.console
from matplotlib.figure import Figure
from matplotlib.text import Text as PlotText

from raybert import cli
from raybert.analysis.markdown import block, code, words
from raybert.analysis.plots.style import save_figure
from raybert.display import Row, TextTable
from raybert.errors import RaybertError
from raybert.plain import LONGEST_LINE, csv_cell, csv_frame, cut_lines, printable
from raybert.terminal import console as consoles
from raybert.terminal.console import Console, say, say_lines, text
from raybert.terminal.streams import LastingStream
from raybert.terminal.table import FittingTable
from tests.e2e.commands import ROOT, run
from tests.security.conftest import edit_json

HOSTILE = (
    "\x1b[2J\x1b[31mred",
    "\x1b]8;;http://evil\x07link\x1b]8;;\x07",
    "\x9b31mC1",
    "a\rb",
    "a\nresults: /elsewhere",
    "nul\x00",
    "\u202egpj.exe",
    "\u2066isolate\u2069",
    "line\u2028end",
    "[/b]x",
    "[red]x[/red]",
    "[link=http://evil]x[/link]",
    ":boom:",
    "[bold",
    "\\[x]",
    "$\\frac{1}{",
    "$_$",
    "=cmd()|' /C calc'!A0",
    "a|b`c`<b>",
)
_ACTING = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
ANSI = re.compile(r"\x1b\[[0-9;]*m")


def acts(shown):
    """What is left in an output that acts on a terminal, our own colours apart."""
    return _ACTING.findall(ANSI.sub("", shown).replace("\x1b[?25l", "").replace("\x1b[?25h", ""))


def shown_by(make, console_type=Console, **options):
    console = console_type(file=io.StringIO(), width=300, **options)
    make(console)
    return console.file.getvalue()


@pytest.mark.fault("control characters in a label")
@pytest.mark.parametrize("value", HOSTILE)
def test_a_line_is_one_line_and_shows_every_letter(value, fault):
    with fault.once():
        shown = shown_by(lambda console: say(console, value))
        assert not acts(shown)
        assert shown.count("\n") == 1
        assert shown.rstrip("\n") == printable(value)
        assert printable(printable(value)) == printable(value)


@pytest.mark.fault("control characters in a label")
@pytest.mark.parametrize("value", HOSTILE)
@pytest.mark.parametrize("kind", [Console, rich.console.Console])
def test_a_table_shows_hostile_cells_headers_and_names_in_their_place(value, kind, fault):
    table = FittingTable(TextTable((value, "n"), (Row((value, "1")), Row(("plain", "2")))))
    with fault.once():
        lines = shown_by(lambda console: console.print(table), kind).splitlines()
        assert not acts("".join(lines))
        assert len(lines) == 3
        assert lines[1].startswith(printable(value))
        assert lines[1].rstrip().endswith("1")
        assert len({len(line.rstrip()) for line in lines}) == 1  # widths are those of what is shown


@pytest.mark.fault("rich markup in a label")
@pytest.mark.parametrize("value", HOSTILE)
def test_whatever_a_screen_prints_with_our_console_is_no_markup(value, fault):
    from rich.table import Table

    table = Table(title=value)
    table.add_column(value)
    table.add_row(value)
    with fault.once():
        for thing in (value, text(value), table):
            shown = shown_by(lambda console, thing=thing: console.print(thing), force_terminal=True)
            assert not acts(shown)
            assert "http://evil" not in shown or value in HOSTILE[:2] or "[link=" in shown
        assert printable(value).split("\\n")[0].strip() in shown_by(lambda console: console.print(value))


@pytest.mark.fault("rich markup in a label")
def test_no_screen_makes_a_console_of_its_own(fault):
    places = [*(ROOT / "raybert" / "terminal").glob("*.py"), *(ROOT / "raybert").glob("cli*.py")]
    with fault.once():
        for path in places:
            tree = ast.parse(path.read_text(encoding="utf-8"))
            called = {
                node.func.id
                for node in ast.walk(tree)
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
            }
            assert "print" not in called, path
            imported = {
                alias.name
                for node in ast.walk(tree)
                if isinstance(node, ast.ImportFrom) and node.module == "rich.console"
                for alias in node.names
            }
            if path.name != "console.py" and "Console" in called:
                assert "Console" not in imported, f"{path}: takes rich's console"
            assert "markup=True" not in path.read_text(encoding="utf-8"), path


@pytest.mark.fault("line ends in an error of somebody else's")
def test_a_line_end_cannot_begin_a_line_of_ours(fault, capsys):
    with fault.once():
        say_lines(Console(file=sys.stdout), "error: a\nresults: /elsewhere\r\nb")
        assert capsys.readouterr().out == "error: a\n    results: /elsewhere\\r\n    b\n"


@pytest.mark.fault("control characters past the screens")
@pytest.mark.parametrize("value", HOSTILE[:9])
def test_what_libraries_print_is_made_harmless_too(value, fault):
    said = io.StringIO()
    stream = LastingStream(said)
    with fault.once():
        stream.write(f"WARNING {value}\n")
        stream.write(warnings.formatwarning(value, UserWarning, "file.py", 1))
        assert not acts(said.getvalue())
        assert "WARNING" in said.getvalue()


def test_bars_and_colours_of_libraries_still_work():
    said = io.StringIO()
    stream = LastingStream(said)
    for part in ("\r 10%|#  |", "\n", "\x1b[A", "\r 20%|## |\n", "a\tb"):
        stream.write(part)
    assert said.getvalue() == "\r 10%|#  |\n\x1b[A\r 20%|## |\na\tb"
    console = Console(file=None, force_terminal=True)
    sys_stdout, sys.stdout = sys.stdout, stream
    try:
        said.truncate(0), said.seek(0)
        console.print(text("red", "red"))
    finally:
        sys.stdout = sys_stdout
    assert said.getvalue() == "\x1b[31mred\x1b[0m\n"


@pytest.mark.slow
@pytest.mark.fault("control characters in a label")
@pytest.mark.parametrize("command", ["report", "status", "evaluate", "scores"])
def test_every_screen_of_a_folder_with_hostile_names(command, foreign, no_pixels_here, fault):
    labels = dict(zip(("all", "random", "el2n", "k_center", "loss_threshold"), HOSTILE[:5], strict=True))
    labels |= {"el2n": "[/b]x", "k_center": "[link=http://evil]x"}
    make_hostile(foreign, labels)
    arguments = {
        "scores": ("scores", "ls", "--store", foreign / "signals"),
        "evaluate": ("evaluate", foreign, "--resamples", 9),
    }
    with fault.once():
        done = run(*arguments.get(command, (command, foreign)))
        assert done.code == 0, done.said
        assert not acts(done.said)
        if command in ("report", "status"):
            assert {label for label in labels.values() if printable(label) not in done.said} == set()
        if command == "report":
            for path in [
                *(foreign / "results").glob("*.csv"),
                foreign / "results" / "notes.txt",
                foreign / "best" / "README.md",
            ]:
                assert not acts(path.read_text(encoding="utf-8").replace("\r\n", "\n")), path
            frame = pd.read_parquet(foreign / "results" / "trials.parquet")
            assert set(labels.values()) <= set(frame["strategy"])  # parquet has the names as they are


def make_hostile(folder, labels):
    def of_plan(document):
        for trial in document["trials"]:
            trial["strategy"] = labels.get(trial["strategy"], trial["strategy"])

    def of_spec(document):
        document["spec"]["label"] = labels.get(document["spec"]["label"], document["spec"]["label"])

    def of_manifest(document):
        for entry in document["data"].values():
            entry["label_names"] = [f"\x1b[31m{name}\n|`" for name in entry["label_names"]]
            entry["notes"] = ["a\x1b[2Jnote\n# heading"]

    edit_json(folder / "plan.json", of_plan)
    edit_json(folder / "manifest.json", of_manifest)
    for path in folder.glob("trials/*/spec.json"):
        edit_json(path, of_spec)
    for path in folder.glob("trials/*/result.json"):
        edit_json(path, lambda document: document.update(strategy=labels.get(document.get("strategy"), "x")))
    for path in folder.glob("signals/*/identity.json"):
        edit_json(path, lambda document: document.update(scorer="[red]\x1b[31m", encoder="\u202e"))


@pytest.mark.fault("control characters in a path")
@pytest.mark.parametrize("value", ["\x1b[31mx", "a\nb", "\u202ex", "[/b]x"])
def test_paths_in_errors_are_shown_as_they_are(value, tmp_path, fault):
    with fault.once():
        for arguments in (
            ("report", tmp_path / value),
            ("validate", tmp_path / f"{value}.yaml"),
            ("status", tmp_path / value),
        ):
            done = run(*arguments)
            assert done.code == 2
            assert not acts(done.said)
            assert printable(value) in done.err.replace("\n    ", "\\n")


@pytest.mark.fault("formula in a csv file")
@pytest.mark.parametrize(
    ("value", "cell"),
    [
        ("=cmd()", "'=cmd()"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("+cmd|' /C calc'!A0", "'+cmd|' /C calc'!A0"),
        ("-2+3+cmd|x", "'-2+3+cmd|x"),
        ("\t=1", "'\t=1"),
        ("a\r\nb", "a\\r\\nb"),
        ("\uff1dcmd()", "'\uff1dcmd()"),
        ("x;=cmd()", "x;'=cmd()"),
        ('x; "=cmd()', "x; \"'=cmd()"),
        ("x\t@SUM(A1);-2+cmd|x", "x\t'@SUM(A1);'-2+cmd|x"),
        ("\x1b[31mx", "\\x1b[31mx"),
        # classes and numbers are what they were
        ("-1", "-1"),
        ("+1", "+1"),
        ("+", "+"),
        ("-", "-"),
        ("=", "="),
        ("-neg", "-neg"),
        ("a=b", "a=b"),
        ("oh; -) and ;= or ;-5;+1", "oh; -) and ;= or ;-5;+1"),
        (-1.5, -1.5),
        (None, None),
    ],
)
def test_cells_of_csv_files_are_no_formulas(value, cell, fault):
    with fault.once():
        assert csv_cell(value) == cell


def test_a_table_without_hostile_names_is_written_bit_for_bit():
    frame = pd.DataFrame({"a": ["x", None, "y"], "b": [1, 2, 3], "c": [0.1, np.nan, 3], "d": [[1, 2], None, "z"]})
    frame["e"] = pd.array([1, None, 3], dtype="Int64")
    frame["f"] = pd.Series([1, None, "-1"], dtype=object)
    assert csv_frame(frame).to_csv() == frame.to_csv()
    hostile = csv_frame(frame.assign(**{"=x": ["=1", "a\n", None]}))
    assert list(hostile.columns) == ["a", "b", "c", "d", "e", "f", "'=x"]
    assert hostile["'=x"].tolist()[:2] == ["'=1", "a\\n"]
    assert hostile["'=x"].isna().tolist() == [False, False, True]


@pytest.mark.fault("Markdown in a label")
@pytest.mark.parametrize("value", [*HOSTILE, "``x``", "`", "[a](http://evil)", "![a](http://evil)", "<script>"])
def test_values_in_a_model_card_are_words_or_code(value, fault):
    with fault.once():
        for shown in (words(value), code(value)):
            assert "\n" not in shown
            assert not acts(shown)
        ticks = re.match("`+", code(value))[0]
        assert not re.search(f"(?<!`){ticks}(?!`)", code(value)[len(ticks) : -len(ticks)])
        assert not re.search(r"(?<!\\)[|<>\[\]]", words(value))
        fenced = block(f"a: {value}\n```\n", "yaml")
        assert fenced.splitlines()[0] == "````yaml"
        assert fenced.splitlines()[-1] == "````"


@pytest.mark.slow
@pytest.mark.fault("mathematics in a label")
@pytest.mark.parametrize("value", HOSTILE)
def test_plots_show_names_as_they_are(value, tmp_path, fault):
    figure = Figure()
    axes = figure.subplots()
    axes.plot([1, 10, 100], [1, 2, 3], label=value)
    axes.set_xscale("log")
    axes.set_yticks([1, 2], [value, "x"])
    axes.set_title(value)
    axes.text(1, 1, value)
    axes.legend()
    with fault.once(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # letters that the font lacks
        save_figure(figure, tmp_path / "plot.png")
        drawn = {label.get_text() for label in figure.findobj(PlotText)}
        shown = "\n".join(map(printable, value.split("\n")))
        assert shown in drawn
        assert axes.get_yticklabels()[0].get_text() == shown
        assert "$\\mathdefault{10^{1}}$" in drawn  # powers of ten are ours
    assert (tmp_path / "plot.png").stat().st_size > 0


@pytest.mark.fault("endless value in an error")
def test_lines_of_errors_are_cut_in_their_middle(fault):
    with fault.once():
        message = str(RaybertError(f"x: must be y, got {'a' * 10**6}; do this"))
        assert len(message) < LONGEST_LINE + 50
        assert message.startswith("x: must be y, got aaa")
        assert message.endswith("; do this")
        assert " letters ...] a" in message
        assert cut_lines("short\nlines") == "short\nlines"


def test_the_consoles_are_the_commands():
    assert cli.terminal.echo is consoles.echo
