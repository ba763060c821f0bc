"""Standard streams that outlive their reader, and to which nothing is written that would act on a terminal."""

from __future__ import annotations

import errno
import io
import os
import sys
from typing import Any, TextIO, cast

from raybert.plain import hide, printable

_NO_READER = (errno.EPIPE, errno.EIO)
"""The pipe was closed (`| head`); the terminal is gone (ssh was lost)."""
_LINE_UP = "\x1b[A"
"""Of bars of several lines (tqdm)."""


def keep_standard_streams() -> None:
    """Let nothing fail for want of a reader, or for a letter that the encoding of the terminal does not have.

    What anybody prints (errors of libraries, warnings, tracebacks) is made harmless; screens of rich go by that, they
    have made their values harmless themselves (`raybert.terminal.console`).
    """
    os.environ.setdefault("PYTHON_COLORS", "0")  # or the colours of a traceback would be shown as letters
    sys.stdout, sys.stderr = (cast("TextIO", _kept(stream)) for stream in (sys.stdout, sys.stderr))


def _harmless(text: str) -> str:
    """Return what may be written of a text: bars of other libraries go back to the beginning of their line."""
    head = text[: len(text) - len(text.lstrip("\r"))]
    rest = text[len(head) :]
    if not rest.strip("\n ") or rest == _LINE_UP * (len(rest) // len(_LINE_UP)):
        return text
    return head + "\n".join(map(printable, hide(rest).split("\n")))


def _kept(stream: TextIO | None) -> LastingStream:
    if stream is None:  # closed by the caller
        return LastingStream(open(os.devnull, "w", encoding="utf-8"))
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(errors="backslashreplace")
    return LastingStream(stream)


def has_reader() -> bool:
    """Tell whether what is printed on standard output still goes anywhere, as far as printing has shown."""
    return bool(getattr(getattr(sys.stdout, "unfiltered", None), "has_reader", True))


class LastingStream:
    """A text stream whose words go nowhere once it has no reader.

    Attributes:
        unfiltered: the same without a filter, for who colours and draws.
        has_reader: whether it did not fail for want of one yet.
    """

    def __init__(self, stream: TextIO, *, is_filtered: bool = True) -> None:
        self._stream, self._is_filtered, self.has_reader = stream, is_filtered, True
        self.unfiltered = LastingStream(stream, is_filtered=False) if is_filtered else self
        self.rich_proxied_file = self.unfiltered  # the name by which rich looks for it (help texts)

    def write(self, text: str) -> int:
        """Write, or do not."""
        try:
            self._stream.write(_harmless(text) if self._is_filtered else text)
        except OSError as error:
            self._give_up(error)
        return len(text)

    def flush(self) -> None:
        """Flush, or do not."""
        try:
            self._stream.flush()
        except OSError as error:
            self._give_up(error)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def _give_up(self, error: OSError) -> None:
        """Send what follows nowhere, also of libraries that write by the number of the file.

        Raises:
            OSError: there is a reader, and it failed otherwise.
        """
        if error.errno not in _NO_READER:
            raise error
        self.has_reader = False
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self._stream.fileno())
        os.close(nowhere)
