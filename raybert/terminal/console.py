"""What the screens share: lines as they are, paths as the user would type them, the command to go on with."""

from __future__ import annotations

import contextlib
import shlex
import sys
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from rich.console import Console


def live_or_plain(
    live: Callable[[Console], AbstractContextManager[Any]], plain: Callable[[Console], Any]
) -> AbstractContextManager[Any]:
    """Return the live view where standard output is a terminal that can draw in place, else the plain one.

    `FORCE_COLOR` makes rich take a file for a terminal, to which only its colours belong.
    """
    console = Console()
    is_drawn = console.is_terminal and not console.is_dumb_terminal and console.file.isatty()
    return live(console) if is_drawn else contextlib.nullcontext(plain(console))


def print_notes(notes: Iterable[str]) -> None:
    """Print what a reader of the results should know."""
    for note in notes:
        say(Console(), f"note: {note}")


def say(console: Console, line: str, style: str | None = None) -> None:
    """Print a line as it is: no markup, no emoji, no wrapping."""
    console.print(line, style=style, markup=False, emoji=False, highlight=False, soft_wrap=True)


def print_error(message: str) -> None:
    """Print a mistake of the user's on standard error."""
    say(Console(stderr=True), f"error: {message}", "red")


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
    """Return the command that was given, without `--retry`, and with further options once."""
    given = sys.argv[1:]
    follows_retry = [before == "--retry" for before in ["", *given]]
    arguments = [
        argument
        for argument, is_value in zip(given, follows_retry, strict=False)
        if not (is_value or argument == "--retry" or argument.startswith("--retry=") or argument in further)
    ]
    return shlex.join(["raybert", *arguments, *further])
