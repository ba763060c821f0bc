"""The `raybert` command, also as `python -m raybert`: what must hold before the imports, which take a second."""

from __future__ import annotations

import os
import signal
from types import FrameType

from raybert.errors import ExitCode
from raybert.machine import limit_threads
from raybert.passwords import blank_arguments

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_SHOWN = (
    "note: a password was on the command line, which `ps` showed to everybody on this machine until now, and a history "
    "may keep; write ${NAME} in its place and set NAME\n"
)
_USUAL = (signal.default_int_handler, signal.SIG_DFL)


def main() -> None:
    """Run the command line; Ctrl-C during its imports is one line, too, wherever in a library it arrives.

    SIGTERM and SIGHUP are what Ctrl-C is, also before a sweep has begun and after it has ended.
    """
    _open_standard_streams()
    heard = [number for number in _SIGNALS if signal.getsignal(number) in _USUAL]  # nohup, scripts: some are ignored
    for number in heard:
        signal.signal(number, _leave)
    limit_threads()
    if blank_arguments():
        os.write(2, _SHOWN.encode())
    from raybert import cli
    from raybert.terminal.streams import keep_standard_streams

    keep_standard_streams()
    for number in heard:
        signal.signal(number, signal.default_int_handler)
    cli.main()


def _leave(number: int, frame: FrameType | None) -> None:
    """End at once: nothing has been begun, and an exception would come out of the middle of some import."""
    os.write(2, b"stopped at once\n")
    os._exit(ExitCode.INTERRUPTED)


def _open_standard_streams() -> None:
    """Open what the caller has closed (`<&-`), or the next file that is opened would take its number and its output."""
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free, which is this one


if __name__ == "__main__":
    main()
