r"""Tables in LaTeX, ready to paste: what a label or a class holds is read as it is, and never as a command.

The rules are those of the package booktabs: `\usepackage{booktabs}`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from raybert.display import TextTable
from raybert.plain import hide, printable

_COMMANDS = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    **{letter: f"\\{letter}" for letter in "&%$#_"},
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "`": r"\textasciigrave{}",
    "±": r"$\pm$",
    **{letter: f"{{{letter}}}" for letter in "[]*"},  # behind a line end they would be arguments of it
}
_SPECIAL = re.compile("[" + re.escape("".join(_COMMANDS)) + "]|-(?=-)|'(?=')")
_MINUS = re.compile(r"(?<![\w.)-])-(?=\d)")
_MARK = re.compile(r" ([+!?=-]|(?:! )?[A-Za-z]{1,9})$")
_PAGE, _GAP = 82, 3
"""Letters of a small font beside each other on a page of the class `article`, and those between two columns."""
_UNUSUAL = re.compile("[^\x00-\u017f\u2010-\u203a±]")
"""Letters that pdfLaTeX has no sign for without further packages."""


def escape(value: object) -> str:
    """Return a value as words of a line; what does not print is written as an escape."""
    return _SPECIAL.sub(lambda found: _COMMANDS.get(found[0], f"{found[0]}{{}}"), printable(hide(str(value))))


def number(cell: str) -> str:
    """Return a cell of numbers and marks: minus signs are minus signs, and a mark behind it is raised."""
    mark = _MARK.search(cell)
    words = _MINUS.sub("\x00", cell[: mark.start()] if mark else cell)
    shown = escape(words.replace("\x00", "\ue000")).replace("\ue000", "$-$").replace("{[}", "[").replace("{]}", "]")
    return shown + (
        rf"\rlap{{$^{{{escape(mark[1].replace(' ', ''))}}}$}}" if mark else ""
    )  # no room of its own: digits stay aligned


def table(shown: TextTable, caption: Sequence[str], label: str, comment: str) -> str:
    """Return a table with its caption, as a float that can be referred to, in as many columns as a page has room for.

    Args:
        shown: its cells; columns of words are aligned at their left.
        caption: sentences.
        label: it is `tab:` and the letters and digits of this.
        comment: a line above it.
    """
    shown = shown.within(_PAGE, _GAP)
    columns = "".join("l" if number in shown.left else "r" for number in range(len(shown.columns)))
    rows = [[_cell(shown, at, cell) for at, cell in enumerate(row.cells)] for row in shown.rows]
    rows = [cells + [""] * (len(columns) - len(cells)) for cells in rows]
    text = "\n".join(
        [
            f"% {printable(hide(comment))}",
            r"% Needs \usepackage{booktabs}.",
            r"\begin{table}",
            r"  \centering\small\setlength{\tabcolsep}{5pt}",
            rf"  \caption{{{' '.join(map(escape, caption))}}}",
            rf"  \label{{tab:{re.sub('[^A-Za-z0-9]+', '-', label).strip('-') or 'sweep'}}}",
            r"  \medskip",
            "",
            rf"  \begin{{tabular}}{{{columns}}}",
            r"    \toprule",
            f"    {' & '.join(map(escape, shown.columns))} \\\\",
            r"    \midrule",
            *(f"    {' & '.join(cells)} \\\\" for cells in rows),
            r"    \bottomrule",
            r"  \end{tabular}",
            r"\end{table}",
        ]
    )
    unusual = "% Has letters beyond Latin ones: XeLaTeX or LuaLaTeX, and a font with them.\n"
    return (unusual if _UNUSUAL.search(text) else "") + text + "\n"


def _cell(shown: TextTable, column: int, cell: str) -> str:
    return escape(cell) if column in shown.left else number(cell)
