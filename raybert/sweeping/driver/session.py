"""A process at work in a results folder: its owner, visible and open to commands from elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from raybert.errors import SweepError
from raybert.sweeping.driver.control import Interruption, interruptible
from raybert.sweeping.driver.progress import Progress
from raybert.sweeping.driver.state_file import RecordedProgress
from raybert.sweeping.folder.layout import SweepFolder
from raybert.sweeping.folder.ownership import is_gone, own


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
        SweepError: another process owns it, or it was deleted meanwhile.
    """
    lost: list[Interruption] = []
    with own(path, progress.note, lost=lambda why: lost[0].give_up(why)) as attempt:
        folder = SweepFolder(path, attempt)
        recorded = RecordedProgress(progress, path / "state.json", attempt)
        interruption = Interruption(folder, recorded)
        lost.append(interruption)
        with interruptible(interruption, sweep_seconds), recorded.kept_up():
            try:
                with _gone_is_said(path):
                    yield folder, interruption
            finally:
                recorded.enter("stopped" if interruption.requested else "ended")


@contextmanager
def _gone_is_said(path: Path) -> Iterator[None]:
    """Say it if the results folder was deleted meanwhile, in place of whatever follows from that.

    Raises:
        SweepError: it was.
    """
    words = (
        f"{path}: the results folder was deleted or moved away while a process worked in it; nothing more is written"
    )
    try:
        yield
    except OSError as error:
        if is_gone(path):
            raise SweepError(words) from error
        raise
    if is_gone(path):
        raise SweepError(words)
