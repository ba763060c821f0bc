"""A process at work in a results folder: its owner, visible and open to commands from elsewhere."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from raybert.durable import remove_leftovers
from raybert.errors import SweepError
from raybert.links import refuse_links
from raybert.sweeping.driver.control import Interruption, interruptible
from raybert.sweeping.driver.progress import Progress
from raybert.sweeping.driver.state_file import RecordedProgress
from raybert.sweeping.folder.fence import is_gone
from raybert.sweeping.folder.layout import SweepFolder
from raybert.sweeping.folder.ownership import own
from raybert.sweeping.folder.whose import check_results_folder
from raybert.sweeping.storage.work import work_at

_GONE = "{}: the results folder was deleted or moved away while a process worked in it; nothing more is written"


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
        SweepError: it holds other files than raybert's or symbolic links, another process owns it, or it was deleted
            meanwhile.
    """
    check_results_folder(path)
    lost: list[Interruption] = []
    refuse_links(path)
    with own(path, progress.note, lost=lambda why: lost[0].give_up(why)) as attempt:
        _clear_up(path)
        folder = SweepFolder(path, attempt)
        recorded = RecordedProgress(progress, path / "state.json", attempt)
        interruption = Interruption(folder, recorded)
        lost.append(interruption)
        with (
            _gone_is_said(path),
            interruptible(interruption, sweep_seconds),
            recorded.kept_up(),
            _published(path, interruption),
        ):
            try:
                yield folder, interruption
            finally:
                recorded.enter("stopped" if interruption.requested else "ended")


@contextmanager
def _published(path: Path, interruption: Interruption) -> Iterator[None]:
    """Publish what is new again and again, where the folder stands for one in an object store."""
    work = work_at(path)
    if work is None:
        yield
        return
    with work.published(interruption.progress.note, interruption.give_up):
        yield


def _clear_up(path: Path) -> None:
    """Remove what earlier owners, killed or with their machine, have left half written."""
    remove_leftovers(path)
    shutil.rmtree(path / ".tune", ignore_errors=True)  # scratch of Ray Tune, and nobody tunes here now


@contextmanager
def _gone_is_said(path: Path) -> Iterator[None]:
    """Say it if the results folder was deleted meanwhile, in place of whatever follows from that.

    Raises:
        SweepError: it was.
    """
    try:
        yield
    except OSError as error:
        if is_gone(path):
            _clear(path)
            raise SweepError(_GONE.format(path)) from error
        raise
    if is_gone(path):
        _clear(path)
        raise SweepError(_GONE.format(path))


def _clear(path: Path) -> None:
    """Remove what Ray Tune and the driver have made anew of a folder that was deleted."""
    with contextlib.suppress(OSError):
        (path / "state.json").unlink(missing_ok=True)
        path.rmdir()
