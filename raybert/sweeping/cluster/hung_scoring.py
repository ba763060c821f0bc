"""Scoring that hangs: say where, end the process, have the block tried again, and in the end give it up."""

from __future__ import annotations

import contextlib
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from raybert.config import LimitsConfig
from raybert.durable import make_folder, remove_unless_held, scratch_folder
from raybert.errors import ScoringError
from raybert.files import write_text
from raybert.polling import Guard, repeating
from raybert.selection.store import ScoreStore
from raybert.sweeping.cluster.hang_detector import Hang, HangDetector
from raybert.sweeping.folder.heartbeat import Heart, stack_on_request
from raybert.sweeping.folder.signs import Sign, sign_of
from raybert.training.pulse import heard_by

GIVEN_UP, HEARTBEAT, LAST_END = "given-up.txt", "heartbeat.json", "ended"
"""Files of a block; the last one, beside all of them, is touched whenever a block is done or has failed."""


@dataclass(frozen=True)
class BlockSigns:
    """Heartbeats of the processes that score: a folder for each block that is on its way. Goes to the workers.

    Attributes:
        folder: for all of them; on a file system that all nodes see.
    """

    folder: Path

    def place(self, key: str, block: int) -> Path:
        """Return the folder of a block."""
        return self.folder / f"{key[:16]}-{block}"

    @contextlib.contextmanager
    def __call__(self, key: str, block: int) -> Iterator[None]:
        """Send heartbeats while a block is computed.

        Raises:
            ScoringError: it has hung too often.
        """
        place = self.place(key, block)
        given_up = place / GIVEN_UP
        if given_up.exists():
            raise ScoringError(given_up.read_text(encoding="utf-8"))
        place.mkdir(parents=True, exist_ok=True)
        heart = Heart.begin(place, None, 0)
        try:
            with stack_on_request(place), heard_by(heart.beat):
                yield
        finally:
            shutil.rmtree(place, ignore_errors=True)
            (self.folder / LAST_END).touch()


@contextlib.contextmanager
def hung_blocks_ended(store: ScoreStore, limits: LimitsConfig, note: Callable[[str], None]) -> Iterator[BlockSigns]:
    """Look after scoring from a thread, for the length of a `with` block, and give what its workers need for that.

    Args:
        store: where the scores go; heartbeats come and go in a folder of their own beside them.
        limits: how long a silence is a stall, and how often a block is tried again.
        note: told in one line of every stall.
    """
    make_folder(store.folder)
    for stale in store.folder.glob(".watch-*"):  # of a sweep that was killed while it scored
        remove_unless_held(stale)
    with scratch_folder(store.folder, ".watch-") as folder:
        hung = _HungBlocks(folder, HangDetector(limits.stall_seconds, None), limits.retries, note)
        with repeating(hung.look, hung.detector.seconds_between_looks, "looking after scoring", note):
            yield BlockSigns(hung.folder)


@dataclass
class _HungBlocks:
    folder: Path
    detector: HangDetector
    retries: int
    note: Callable[[str], None]
    num_ended: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.guard = Guard("giving a block up", self.note, OSError)

    def look(self) -> bool:
        """Look once; return that it is not the last time."""
        blocks = {path.parent.name: path.parent for path in self.folder.glob(f"*/{HEARTBEAT}")}
        for hang in self.detector.look(blocks):
            self._end(hang)
        idle = self.detector.idle_seconds(bool(blocks), self._last_end())
        if idle is not None:
            self.note(
                f"scoring: no process has begun for {idle:.0f} s (limits.stall_seconds); it waits for a place on the "
                "cluster, `ray status` tells who has it"
            )
        return False

    def _end(self, hang: Hang) -> None:
        """End a process; a block that has hung too often is given up."""
        if hang.has_begun:  # else the block waits for its next process
            self.num_ended[hang.key] += 1
            count = self.num_ended[hang.key]
            if count > self.retries:
                attempts = f"{count} attempt{'s' if count > 1 else ''}"
                text = f"{hang.message}; {attempts}"
                self.guard(lambda: write_text(hang.folder / GIVEN_UP, text), None)
            self.note(f"scoring block {hang.key}: {hang.message}; its process is ended")
        hang.end()

    def _last_end(self) -> Sign | None:
        return sign_of(self.folder / LAST_END)
