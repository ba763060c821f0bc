"""A process at work in a results folder: its owner, visible and open to commands from elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from raybert.sweeping.driver.control import Interruption, interruptible
from raybert.sweeping.driver.progress import Progress
from raybert.sweeping.driver.state_file import RecordedProgress
from raybert.sweeping.folder.layout import SweepFolder
from raybert.sweeping.folder.ownership import own


@contextmanager
def owned_folder(
    path: Path, progress: Progress, sweep_seconds: float | None = None
) -> Iterator[tuple[SweepFolder, Interruption]]:
    """Own a results folder for the length of a `with` block; others see what goes on there, and may stop it.

    Args:
        path: of the folder.
        progress: told about every event, by way of the interruption's own, which keeps `state.json`.
        sweep_seconds: after which it is interrupted.

    Raises:
        SweepError: another process owns it.
    """
    lost: list[Interruption] = []
    with own(path, progress.note, lost=lambda: lost[0].give_up()) as attempt:
        folder = SweepFolder(path, attempt)
        recorded = RecordedProgress(progress, path / "state.json", attempt)
        interruption = Interruption(folder, recorded)
        lost.append(interruption)
        with interruptible(interruption, sweep_seconds), recorded.kept_up():
            try:
                yield folder, interruption
            finally:
                recorded.enter("stopped" if interruption.requested else "ended")
