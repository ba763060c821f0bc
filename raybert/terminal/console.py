"""What the screens share: a console that takes no value for a command, lines as they are, the command to go on with."""

from __future__ import annotations

import contextlib
import os
import shlex
import sys
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import rich.console
from rich.segment import Segment
from rich.style import StyleType
from rich.text import Text

from raybert.plain import hide, printable
from raybert.polling import repeating

if TYPE_CHECKING:
    from rich.console import ConsoleOptions, RenderableType


class Console(rich.console.Console):
    """A console on which nothing that is shown acts: no markup, no control characters, no passwords.

    Labels, columns, classes, ids, paths and errors come from files of other people. Whatever rich makes of a value goes
    through `render`, so that no screen can forget it; `text` and `TextTable` do it before widths are counted.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"markup": False, "emoji": False, "highlight": False} | options)

    @property
    def file(self) -> IO[str]:
        """The stream; the standard ones without their own filter, which would stop colours and a live view."""
        found = super().file
        return getattr(found, "unfiltered", found)

    @file.setter
    def file(self, new_file: IO[str]) -> None:
        self._file = new_file

    def render_str(self, text: str, **options: Any) -> Text:
        """Return what rich makes of a text, in which it would leave some control characters out."""
        return super().render_str(harmless(text), **options)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Yield what is to be written, harmless."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(harmless(segment.text), segment.style)


COMMAND = "RAYBERT_COMMAND"
"""Names what a user has typed elsewhere, by which this process was begun."""


def harmless(text: str) -> str:
    """Return what may be shown of a text of several lines."""
    return "\n".join(map(printable, hide(text).split("\n")))


def text(line: str, style: StyleType = "") -> Text:
    """Return a line for the parts of a screen, in which a line end is shown and does not end it."""
    return Text(printable(hide(line)), style)


_INDENT = "    "

_SECONDS_BETWEEN_DRAWINGS = 0.25


def live_or_plain(
    live: Callable[[rich.console.Console], AbstractContextManager[Any]],
    plain: Callable[[rich.console.Console], Any],
    *,
    to_stderr: bool = False,
) -> AbstractContextManager[Any]:
    """Return the live view where the stream is a terminal that can draw in place, else the plain one.

    `FORCE_COLOR` makes rich take a file for a terminal, to which only its colours belong.

    Args:
        live: view that is redrawn.
        plain: view of lines.
        to_stderr: whether the stream is standard error; default: standard output.
    """
    console = Console(stderr=to_stderr)
    is_drawn = console.is_terminal and not console.is_dumb_terminal and console.file.isatty()
    return live(console) if is_drawn else contextlib.nullcontext(plain(console))


def redrawn(draw: Callable[[], None], note: Callable[[str], None]) -> AbstractContextManager[None]:
    """Draw a live view again and again, for the length of a `with` block; what goes wrong is noted once.

    rich has a thread for that as well, which ends, with its traceback in the middle of the view, at the first error.
    """

    def redraw() -> bool:
        draw()
        return False

    return repeating(redraw, _SECONDS_BETWEEN_DRAWINGS, "drawing progress", note)


def print_notes(notes: Iterable[str]) -> None:
    """Print what a reader of the results should know."""
    for note in notes:
        say(Console(), f"note: {note}")


def say(console: rich.console.Console, line: str, style: str | None = None) -> None:
    r"""Print one line as it is: no markup, no emoji, no wrapping; a line end in it is shown as `\n`."""
    console.print(text(line), style=style, soft_wrap=True)


def say_lines(console: rich.console.Console, lines: str, style: str | None = None) -> None:
    """Print a message that may have several lines; all but the first are indented, so that none looks like another."""
    for number, line in enumerate(lines.split("\n")):
        say(console, f"{_INDENT if number else ''}{line}", style)


def echo(line: str, *, to_stderr: bool = False) -> None:
    """Print a line on standard output, or on standard error."""
    say(Console(stderr=to_stderr), line)


def print_error(message: str) -> None:
    """Print a mistake of the user's on standard error."""
    say_lines(Console(stderr=True), f"error: {message}", "red")


def print_note(message: str) -> None:
    """Print on standard error what the user should know."""
    say_lines(Console(stderr=True), f"note: {message}")


def is_trusted(names: Sequence[str]) -> bool:
    """Ask whether code of somebody else's may run; nobody at a terminal: it may not."""
    if not (sys.stdin is not None and sys.stdin.isatty() and sys.stdout.isatty()):
        return False
    echo("This folder names code that would run here:")
    for name in names:
        echo(f"    {name}")
    echo("Have you read it, and may it run? [y/N]")
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def shorten(line: str, length: int) -> str:
    """Return a line of at most so many characters, cut at its end."""
    return line if len(line) <= length else line[: length - 3] + "..."


def relative(path: Path) -> str:
    """Return a path as the user would type it here."""
    try:
        return str(path.resolve().relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def command_again(*further: str) -> str:
    """Return the command that was given, without `--retry`, and with further options once.

    Of a job that `raybert submit` has sent it is that command, which its user has typed.
    """
    sent = os.environ.get(COMMAND)
    given = sys.argv[1:] if sent is None else shlex.split(sent)[1:]
    follows_retry = [before == "--retry" for before in ["", *given]]
    arguments = [
        argument
        for argument, is_value in zip(given, follows_retry, strict=False)
        if not (is_value or argument == "--retry" or argument.startswith("--retry=") or argument in further)
    ]
    return shlex.join(["raybert", *arguments, *further])
