"""Commands on a sweep that runs, or has run: how it stands, what its trials say, and how it is steered."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from raybert.commands.arguments import Folder, folder_of
from raybert.sweeping.storage.arguments import reads

if TYPE_CHECKING:
    from raybert.sweeping.driver.control import Command
    from raybert.sweeping.driver.follow_logs import LogLine
    from raybert.sweeping.driver.status import SweepStatus
    from raybert.sweeping.driver.trial_logs import ShownLogs


@reads("status", is_followed=True)
def status(folder: Folder) -> SweepStatus:
    """Return how a sweep stands, from any process: who runs it, what is done, what runs, what failed.

    Args:
        folder: a sweep or its results folder.

    Returns:
        The status; `print` shows it in words.

    Raises:
        SweepError: it is no results folder.
    """
    from raybert.sweeping.driver.status import read_status

    return read_status(folder_of(folder))


@reads("status", is_followed=True)
def logs(folder: Folder, trial: str | None = None, *, lines: int | None = None) -> ShownLogs:
    """Return the logs of trials: of those at work, or else of what failed, or else of what ended last.

    Args:
        folder: a sweep or its results folder.
        trial: whose: an id or its beginning, a strategy, or `<strategy>-s<seed>`; None: any.
        lines: the last ones of each; None: all of one trial, ten of each of several.

    Returns:
        The trials, each with its `lines()`; `print` shows them.

    Raises:
        SweepError: it is no results folder, or has no such trial.

    Example:
        >>> print(raybert.logs("runs/strategies", "el2n-s0"))
    """
    from raybert.sweeping.driver.trial_logs import read_logs

    return read_logs(folder_of(folder), trial, lines)


@reads("status", is_followed=True)
def follow_logs(
    folder: Folder,
    trial: str | None = None,
    *,
    lines: int | None = None,
    note: Callable[[str], None] | None = None,
) -> Iterator[LogLine]:
    """Return the lines of logs as they are written, until the sweep (or the one trial that is meant) ends.

    What starts next is followed too. Where no sweep runs, what is there is returned.

    Args:
        folder: a sweep or its results folder, also of another process or host.
        trial: whose, as for `logs`; None: any.
        lines: of each log to begin with, as for `logs`.
        note: called with what goes wrong on the way and is outlived, such as a file server that is away.

    Returns:
        An iterator that waits for the next line; each has its `trial` and its `text`.

    Raises:
        SweepError: it is no results folder, or has no such trial.
    """
    from raybert.sweeping.driver.follow_logs import follow_logs as follow

    return follow(folder_of(folder), trial, lines, note or (lambda _: None))


@reads("status", is_followed=True)
def pause(folder: Folder) -> None:
    """Make a running sweep wait: its trials save and release their resources. `resume` goes on.

    Args:
        folder: a sweep or its results folder.

    Raises:
        SweepError: nobody runs it, or who does so does not answer.
    """
    _command(folder, "pause")


@reads("status", is_followed=True)
def resume(folder: Folder) -> None:
    """Make a paused sweep go on.

    Args:
        folder: a sweep or its results folder.

    Raises:
        SweepError: nobody runs it, or who does so does not answer.
    """
    _command(folder, "resume")


@reads("status", is_followed=True)
def stop(folder: Folder) -> None:
    """End a running sweep: its trials save, and the call (or command) that started it continues it another time.

    Args:
        folder: a sweep or its results folder.

    Raises:
        SweepError: nobody runs it, or who does so does not answer.
    """
    _command(folder, "stop")


@reads("status", is_followed=True)
def cancel(folder: Folder) -> None:
    """End a running sweep at once; running trials lose what they did since their last checkpoint.

    A sweep that does not run in the main thread of its process is stopped instead: only that one can be ended.

    Args:
        folder: a sweep or its results folder.

    Raises:
        SweepError: nobody runs it, or who does so does not answer.
    """
    _command(folder, "cancel")


def _command(folder: Folder, command: Command) -> None:
    from raybert.sweeping.driver.control import send_command

    send_command(folder_of(folder), command)
