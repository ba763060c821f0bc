"""Standard streams that outlive their reader: a closed pipe or a lost terminal ends what is printed, nothing else."""

from __future__ import annotations

import errno
import io
import os
import sys
from typing import Any, TextIO, cast

_NO_READER = (errno.EPIPE, errno.EIO)
"""The pipe was closed (`| head`); the terminal is gone (ssh was lost)."""


def keep_standard_streams() -> None:
    """Let nothing fail for want of a reader, or for a letter that the encoding of the terminal does not have."""
    sys.stdout, sys.stderr = (cast("TextIO", _kept(stream)) for stream in (sys.stdout, sys.stderr))


def _kept(stream: TextIO | None) -> LastingStream:
    if stream is None:  # closed by the caller
        return LastingStream(open(os.devnull, "w", encoding="utf-8"))
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(errors="backslashreplace")
    return LastingStream(stream)


class LastingStream:
    """A text stream whose words go nowhere once it has no reader."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write, or do not."""
        try:
            self._stream.write(text)
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
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self._stream.fileno())
        os.close(nowhere)
