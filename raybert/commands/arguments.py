"""What several commands take: a configuration, a results folder, and whom to tell of progress."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias, Union

from raybert.config import ConfigSource
from raybert.errors import ConfigError

if TYPE_CHECKING:
    from raybert.analysis.results.sweep import Sweep
    from raybert.sweeping.driver.events import Event
    from raybert.sweeping.driver.progress import Progress

Folder: TypeAlias = Union[str, Path, "Sweep"]
"""A results folder: its path, or what a command returned for it."""
Listener: TypeAlias = Union[Callable[["Event"], None], "Progress", Literal["auto", "stderr"], None]
"""Who is told of progress: a function of one event, nobody (None), or `"auto"`, standard output as the command does it;
`"stderr"` is the same on standard error."""


def folder_of(target: Folder) -> Path:
    """Return the results folder (or whatever folder a path names)."""
    return Path(target if isinstance(target, (str, Path)) else target.folder)


def text_of(config: ConfigSource) -> str:
    """Return a sweep file as the user wrote it; empty: there is no file."""
    return Path(config).read_text(encoding="utf-8") if isinstance(config, (str, Path)) else ""


@contextlib.contextmanager
def listening(progress: Listener, *, one_run: bool = False) -> Iterator[Progress]:
    """Yield what the driver tells of its progress, for the length of a `with` block.

    Args:
        progress: who listens.
        one_run: whether the terminal is shown the steps of a single run in place of the trials of a sweep.

    Raises:
        ConfigError: it is none of what it may be.
    """
    from raybert.sweeping.driver.events import EventProgress
    from raybert.sweeping.driver.progress import Progress

    if progress is None:
        yield Progress()
    elif progress in ("auto", "stderr"):
        from raybert.terminal.run_progress import run_progress
        from raybert.terminal.sweep_progress import sweep_progress

        show = run_progress if one_run else sweep_progress
        with show(to_stderr=progress == "stderr") as shown:
            yield shown
    elif isinstance(progress, Progress):
        yield progress
    elif callable(progress):
        yield EventProgress(progress)
    else:
        raise ConfigError(f"progress: must be a function of one event, 'auto', 'stderr' or None, got {progress!r}")
