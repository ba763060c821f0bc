"""The results folders below a folder, and how each stands."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from raybert.errors import SweepError
from raybert.files import read_json
from raybert.sweeping.driver.status import SweepStatus, read_status
from raybert.sweeping.folder.layout import SweepFolder

STATES = ("complete", "running", "failed", "pruned", "pending")
"""Of trials, in the order in which they are counted."""
_DEEPEST = 3
"""Folders of folders of results are usual, deeper ones are other people's trees."""


@dataclass(frozen=True)
class ListedSweep:
    """A results folder.

    Attributes:
        folder: where it is.
        name: of the sweep, from its file.
        state: running, paused, ended (nothing is left to do), interrupted (the same command continues), or unreadable.
        owner: who runs it, in words; None: nobody.
        trials: how many of each state there are, as far as there are any.
        problem: why it cannot be read, or what of it is damaged; empty: nothing.
    """

    folder: Path
    name: str
    state: str
    owner: str | None
    trials: dict[str, int]
    problem: str = ""


def find_sweeps(folder: Path) -> list[ListedSweep]:
    """Return the results folders in a folder, or the folder itself if it is one, by their paths.

    Links are not followed, and what is inside of a results folder is not looked into.

    Raises:
        SweepError: there is no such folder.
    """
    if not folder.is_dir():
        wrong = "is a file" if folder.exists() else "does not exist"
        raise SweepError(f"{folder}: must be a folder with results folders in it, but {wrong}; give another one")
    return [_look(path) for path in _results_folders(folder, _DEEPEST)]


def _results_folders(folder: Path, depth: int) -> Iterator[Path]:
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError:  # one that may not be read has nothing to list
        return
    names = {entry.name for entry in entries}
    if "plan.json" in names or {"attempt", "state.json"} <= names:
        yield folder
    elif depth:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False) and not entry.name.startswith("."):
                yield from _results_folders(folder / entry.name, depth - 1)


def _look(folder: Path) -> ListedSweep:
    plan = read_json(folder / "plan.json") or {}
    name = str(plan.get("name") or folder.name)
    try:
        status = read_status(folder)
    except (SweepError, OSError) as error:
        return ListedSweep(folder, name, "unreadable", None, {}, str(error))
    counts: Counter[str] = Counter()
    for counted in status.strategies.values():
        counts.update(counted)
    trials = {state: counts[state] for state in STATES if counts[state]}
    problem = f"damaged: {', '.join(status.damaged)}" if status.damaged else ""
    return ListedSweep(folder, name, _state(folder, status, counts), status.owner, trials, problem)


def _state(folder: Path, status: SweepStatus, counts: Counter[str]) -> str:
    """Return how a sweep stands; of folders without a driver's word it is what their trials say."""
    if status.owner is not None:
        return "paused" if (read_json(folder / "state.json") or {}).get("is_paused") else "running"
    has_plan = SweepFolder(folder).plan() is not None
    return "ended" if has_plan and not counts["pending"] and status.phase in ("ended", "unknown") else "interrupted"
