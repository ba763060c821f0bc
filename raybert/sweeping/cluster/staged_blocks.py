"""Scoring on nodes that do not see the driver's disk: what a block reads is brought, what it gives is sent back."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from raybert.errors import ScoringError
from raybert.polling import repeating
from raybert.selection.pipeline import ScoringJob
from raybert.sweeping.cluster.file_server import DriverFiles
from raybert.sweeping.cluster.hung_scoring import GIVEN_UP, HEARTBEAT, LAST_END, BlockSigns
from raybert.sweeping.cluster.staging import Staging

_SECONDS_BETWEEN_BEATS = 2.0


@dataclass(frozen=True)
class StagedBlocks:
    """Lets a process compute blocks on its node, and gives signs of life, as `BlockSigns`; goes to the workers.

    Attributes:
        signs: of life, where the driver looks for them.
        staging: how nodes reach the driver's files.
        runs: key of a signal -> runs whose models it reads.
        signals: key of a signal -> keys of those that it reads.
    """

    signs: BlockSigns
    staging: Staging
    runs: Mapping[str, tuple[str, ...]]
    signals: Mapping[str, tuple[str, ...]]

    @contextlib.contextmanager
    def __call__(self, key: str, block: int) -> Iterator[None]:
        """Bring what a block reads, and send its scores when they are there.

        Raises:
            ScoringError: it has hung too often.
        """
        self.staging.begin()
        for folder in self.staging.readable.values():
            self.staging.bring_folder(folder)
        if not self.staging.is_away:
            with self.signs(key, block):
                yield
            return
        for run in self.runs[key]:
            self.staging.bring_run(run)
        self.staging.bring_signals(self.signals[key])
        with self._heard(key, block), self.signs(key, block):
            yield
        self._send(key, block)

    @contextlib.contextmanager
    def _heard(self, key: str, block: int) -> Iterator[None]:
        """Show heartbeats to the driver."""
        files, place = DriverFiles(self.staging.server), self.signs.place(key, block)
        given_up = place / GIVEN_UP
        if files.get_file(self._name(given_up), given_up):
            raise ScoringError(given_up.read_text(encoding="utf-8"))

        def show() -> bool:
            if (place / HEARTBEAT).exists():
                files.put_file(self._name(place / HEARTBEAT), place / HEARTBEAT)
            return False

        try:
            with repeating(show, _SECONDS_BETWEEN_BEATS, "showing signs of scoring", lambda _: None):
                yield
        finally:
            files.delete(self._name(place))
            files.put_file(self._name(self.signs.folder / LAST_END), self.signs.folder / LAST_END)

    def _send(self, key: str, block: int) -> None:
        files, folder = DriverFiles(self.staging.server), self.staging.folder / "signals" / key
        for path in sorted(folder.glob("block-*.parquet" if block < 0 else f"block-{block:05d}.parquet")):
            files.put_file(self._name(path), path)

    def _name(self, path: Path) -> str:
        return path.relative_to(self.staging.folder).as_posix()


def staged_blocks(signs: BlockSigns, jobs: Sequence[ScoringJob], staging: Staging | None) -> BlockSigns | StagedBlocks:
    """Return what the processes that compute blocks of some jobs enter."""
    if staging is None:
        return signs
    return StagedBlocks(signs, staging, {job.key: job.runs for job in jobs}, {job.key: job.depends for job in jobs})
