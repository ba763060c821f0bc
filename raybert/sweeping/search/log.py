"""The log of everything that a search decided: append-only, written by the driver alone, replayed on resume."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from raybert.errors import SweepError
from raybert.files import append_json_line
from raybert.sweeping.folder.failure_kinds import is_disk_full

Event = dict[str, Any]
_KINDS = {
    "suggest": ("arm", "number", "params"),
    "report": ("arm", "number", "seed", "evaluation", "examples_seen", "value", "decision"),
    "run": ("arm", "number", "seed", "status", "value", "decision"),
    "end": ("arm", "number", "status", "value"),
    "retry": ("arm", "number"),
}


class DecisionLog:
    """`decisions.jsonl`: a line per event, on disk before anything acts on it.

    Args:
        path: of the file; made by the first event.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def append(self, event: Event) -> None:
        """Write an event and wait until it is on disk.

        Raises:
            SweepError: it cannot be written, and nothing may act on it; what is on its way is continued later.
        """
        size = self.path.stat().st_size if self.path.exists() else 0
        try:
            append_json_line(self.path, event, is_durable=True)
        except OSError as error:
            with contextlib.suppress(OSError):  # what is left of the line is cut off by the next start, too
                os.truncate(self.path, size)
            remedy = "make room" if is_disk_full(error) else "see to it"
            raise SweepError(f"{self.path}: {error.strerror}; {remedy}, and run the sweep again: it goes on") from error

    def read(self) -> list[Event]:
        """Return all events in order. A torn last line, which nothing has acted on, is cut off.

        Raises:
            SweepError: another line is damaged.
        """
        if not self.path.exists():
            return []
        content = self.path.read_bytes()
        whole, newline, torn = content.rpartition(b"\n")
        if torn:
            with self.path.open("r+b") as file:
                file.truncate(len(whole) + len(newline))
        return list(self._parse(whole))

    def _parse(self, content: bytes) -> Iterator[Event]:
        for number, line in enumerate(content.split(b"\n") if content else (), start=1):
            try:
                event = json.loads(line)
                is_whole = all(key in event for key in _KINDS[event["event"]])
            except (ValueError, KeyError, TypeError):
                is_whole = False
            if not is_whole:
                raise SweepError(
                    f"{self.path}:{number}: must be an event of the search, but the line is damaged; delete the file: "
                    "it is then written anew from the studies, and runs on their way begin again"
                )
            yield event
