"""Text that others wrote, made harmless where people read it: control characters, passwords, endless lines, formulas.

One function for each kind. What prints goes through `printable` and `hide` (`raybert.terminal.console`, and the
standard streams), errors through `hide` and `cut_lines` (`RaybertError`), csv files for people through `csv_frame`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

HIDDEN = "***"
"""What stands in the place of a password."""
LONGEST_LINE = 1500
"""Letters of a line of an error: values of a file can have any length."""
_KEPT_AT_THE_END = 300

_CONTROL = re.compile(
    "[\x00-\x08\x0a-\x1f\x7f-\x9f"  # C0 without the tab, DEL, C1: sequences of a terminal, line ends
    "\u2028\u2029"  # line and paragraph ends
    "\u202a-\u202e\u2066-\u2069"  # embeddings, overrides, isolates: `exe.txt` that reads `txt.exe`
    "\ud800-\udfff"  # bytes of a path that are no UTF-8
    "\ufffe\uffff]"  # no characters, which XML (an .svg) refuses
)
_INNER_FORMULA = re.compile(r"([;\t][\s\"]*)(?=[=@\uff1d\uff20][\w+(-]|[+\-\uff0b\uff0d][^;\t]*\w[^;\t]*[(|!])")
"""Before what is a formula for a spreadsheet that cuts lines at semicolons, as most of Europe's do, or at tabs."""
_REFERENCES = re.compile(r"(?:\$\{\w+\})+")
# A password of the web has no slash, or a port and a path would look like one; that of a database may have any
# letter, as SQLAlchemy reads it.
_WEB = re.compile(
    r"(?P<head>\b(?:https?|ftp|wss?|git)://)(?P<user>[^\s:/@'\"]*):(?P<secret>[^\s'\"/]*)@", re.IGNORECASE
)
_OTHER = re.compile(
    r"(?P<head>\b(?!https?:|ftp:|wss?:|git:)[A-Za-z][A-Za-z0-9+.-]*://)(?P<user>[^\s:/@'\"]*):(?P<secret>[^\s'\"]*)@",
    re.IGNORECASE,
)
_TOKEN = re.compile(r"(?P<head>\bhttps?://)(?P<secret>[^\s:/@'\"]+)@", re.IGNORECASE)
_NAMES = r"[\w-]*(?:token|password|passwd|pwd|secret|api[_-]?key|access[_-]?key|credential|signature|\bsig)[\w-]*"
_QUERY = re.compile(rf"(?P<head>[?&;]{_NAMES}=)(?P<secret>[^\s&;'\"#]+)", re.IGNORECASE)
_KEYS = r"\w*(?:password|passwd|pwd|secret|api_key|access_key|auth_token|access_token)\w*"
_KEYWORD = re.compile(rf"(?P<head>\b{_KEYS}=)(?P<secret>[^\s&;'\",)]+)", re.IGNORECASE)
_QUOTED = re.compile(rf"(?P<head>\b{_KEYS}[\"']?\s*[:=]\s*(?P<quote>[\"']))(?P<secret>.+?)(?P=quote)", re.IGNORECASE)
_secrets: dict[str, re.Pattern[str]] = {}
_SHORTEST_SECRET = 4
_shown: dict[str, str] = {}
"""Paths of this machine -> what is said in their place."""


def printable(text: str) -> str:
    r"""Return a line in which nothing acts on a terminal: control characters become escapes such as `\x1b` and `\n`."""
    return _CONTROL.sub(_escape, text)


def printable_lines(text: str) -> str:
    """Return `printable` of every line of a text that is meant to have several."""
    return "\n".join(map(printable, text.split("\n")))


def hide(text: str) -> str:
    """Return a text without passwords: those in URLs and their queries, and those that this process was given.

    References such as `${PGPASSWORD}` stay: they are no secret. Folders that stand for a URL are called by that.
    """
    if "://" in text:
        text = _OTHER.sub(_without_secret, _WEB.sub(_without_secret, text))
        text = _TOKEN.sub(_without_secret, text)
    if '"' in text or "'" in text:
        text = _QUOTED.sub(_without_secret, text)
    if "=" in text:
        text = _KEYWORD.sub(_without_secret, _QUERY.sub(_without_secret, text))
    for pattern in _secrets.values():
        text = pattern.sub(HIDDEN, text)
    for path, url in _shown.items():
        text = text.replace(path, url)
    return text


def remember_secret(secret: str) -> None:
    """Let `hide` know a secret, wherever it stands alone as a word."""
    if len(secret) >= _SHORTEST_SECRET and secret != HIDDEN:
        _secrets[secret] = re.compile(rf"(?<!\w){re.escape(secret)}(?!\w)")


def show_as(path: str, url: str) -> None:
    """Let what is printed and raised say a URL in the place of the folder of this machine that stands for it."""
    _shown[path] = url


def cut_lines(text: str, longest: int = LONGEST_LINE) -> str:
    """Return a text whose lines have at most so many letters: what is too long loses its middle."""
    if len(text) <= longest:
        return text
    return "\n".join(_cut(line, longest) for line in text.split("\n"))


def is_formula(cell: str) -> bool:
    """Tell whether a spreadsheet would compute a cell of a csv file, in place of showing it.

    A sign alone, or before a number, is none: classes are called `+` and `-1`.
    """
    if cell[:1] in ("=", "@", "\t", "\r", *"\uff1d\uff20"):  # the last ones as Japanese keyboards have them
        return len(cell) > 1
    return cell[:1] in ("+", "-", *"\uff0b\uff0d") and re.fullmatch(r"[+\-\uff0b\uff0d][\w.,%]*", cell) is None


def csv_cell(value: Any) -> Any:
    """Return a cell of a csv file that people open: no control characters, and no formula; numbers as they are."""
    if not isinstance(value, str) or not (_CONTROL.search(value) or is_formula(value) or _INNER_FORMULA.search(value)):
        return value
    shown = value[:1] + _INNER_FORMULA.sub(r"\1'", value[1:])
    return f"'{printable(shown)}" if is_formula(value) else printable(shown)


def csv_frame(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a table as it goes into a csv file that people open: every text by `csv_cell`, names of columns too."""
    import pandas as pd

    shown = frame.copy(deep=False)
    for number in range(frame.shape[1]):
        column = frame.iloc[:, number]
        if column.dtype.kind != "O":
            continue
        cells = [csv_cell(value) for value in column]
        if any(cell is not value for cell, value in zip(cells, column, strict=True)):
            shown.isetitem(number, pd.array(cells, dtype=object))
    shown.columns = pd.Index([csv_cell(name) for name in frame.columns])
    return shown


def _escape(match: re.Match[str]) -> str:
    return match[0].encode("unicode_escape").decode("ascii")


def _without_secret(match: re.Match[str]) -> str:
    if _REFERENCES.fullmatch(match["secret"]) or not match["secret"]:
        return match[0]
    start, end = match.span("secret")
    return match[0][: start - match.start()] + HIDDEN + match[0][end - match.start() :]


def _cut(line: str, longest: int) -> str:
    if len(line) <= longest:
        return line
    tail = min(_KEPT_AT_THE_END, longest // 3)
    return f"{line[: longest - tail]} [... {len(line) - longest:,} letters ...] {line[-tail:]}"
