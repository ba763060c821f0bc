"""`log.txt` of a trial: whole lines, as they happen, in which nothing that others wrote acts on who reads them.

A line is written by one call to the system, so that a process that is killed leaves no half of one. What belongs to a
line (a traceback) is indented, so that no name or message can pass for a line of its own.
"""

from __future__ import annotations

import contextlib
import logging
import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from raybert.plain import cut_lines, hide, printable

FILE_NAME = "log.txt"
BEGINNING = "===="
"""With what the line begins by which an attempt at a trial begins."""
_TRAINING = "raybert.training"
"""What training says of itself (checkpoints, memory) is heard by the trial that trains."""
_INDENT = "    "


def trial_log(folder: Path) -> logging.Logger:
    """Return what a trial logs to: `log.txt` of its folder, while it runs in this process."""
    return logging.getLogger(f"raybert.trial.{folder.name}")


@contextlib.contextmanager
def opened_log(folder: Path) -> Iterator[logging.Logger]:
    """Write what a trial, its training and Python's warnings say into its log, for the length of a `with` block.

    The handler is gone afterwards, so that a reused process does not leak it.
    """
    log, training = trial_log(folder), logging.getLogger(_TRAINING)
    levels = log.level, training.level
    handler = _WholeLines(folder / FILE_NAME)
    log.propagate = False
    for logger in (log, training):
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)
    try:
        with _warnings_in(log):
            yield log
    finally:
        for logger, level in zip((log, training), levels, strict=True):
            logger.removeHandler(handler)
            logger.setLevel(level)
        handler.close()


def append_to_log(folder: Path, text: str, level: int = logging.ERROR) -> None:
    """Write what the driver knows of a trial whose own process cannot say it any more; no log: nothing."""
    if (folder / FILE_NAME).is_file():
        with contextlib.closing(_WholeLines(folder / FILE_NAME)) as handler:
            handler.handle(logging.LogRecord("raybert", level, __file__, 0, text, None, None))


class _WholeLines(logging.Handler):
    """Appends a record by one write; after a torn line a new one is begun."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.setFormatter(_HarmlessFormatter("%(asctime)s %(levelname)s %(message)s"))
        self._file = path.open("ab", buffering=0)
        self._is_torn = not _is_whole(path)

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record, where there is room: a full disk fails what matters, not this."""
        line = self.format(record).encode("utf-8", "backslashreplace") + b"\n"
        whole = b"\n" + line if self._is_torn else line
        with contextlib.suppress(OSError):
            self._is_torn = (self._file.write(whole) or 0) < len(whole)

    def close(self) -> None:
        self._file.close()
        super().close()


class _HarmlessFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        first, *rest = cut_lines(hide(super().format(record))).split("\n")
        return "\n".join([printable(first), *(f"{_INDENT}{printable(line)}" for line in rest)])


def _is_whole(path: Path) -> bool:
    """Tell whether the last line of a file has its end."""
    with path.open("rb") as file:
        if not file.seek(0, os.SEEK_END):
            return True
        file.seek(-1, os.SEEK_END)
        return file.read(1) == b"\n"


@contextlib.contextmanager
def _warnings_in(log: logging.Logger) -> Iterator[None]:
    """Log Python's warnings as well as showing them."""
    shown = warnings.showwarning

    def show(message: Warning | str, category: type[Warning], filename: str, lineno: int, *where: Any) -> None:
        log.warning("%s: %s (%s:%d)", category.__name__, message, filename, lineno)
        shown(message, category, filename, lineno, *where)

    warnings.showwarning = show  # type: ignore[assignment]  # a file and a line of code may follow
    try:
        yield
    finally:
        warnings.showwarning = shown
