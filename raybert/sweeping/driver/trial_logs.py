"""The logs of a folder's trials, for any terminal: which runs there are, which one is meant, and what they say."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from raybert.config import suggest
from raybert.errors import SweepError
from raybert.files import read_json
from raybert.plain import printable, printable_lines
from raybert.sweeping.driver.status import check_holds_sweep
from raybert.sweeping.folder.heartbeat import read_beat
from raybert.sweeping.folder.layout import SweepFolder
from raybert.sweeping.folder.owner import current_attempt, is_alive
from raybert.sweeping.folder.trial_folder import TrialFolder
from raybert.sweeping.folder.trial_index import run_name
from raybert.sweeping.folder.trial_log import FILE_NAME
from raybert.sweeping.plan.roles import TRIAL

RUNNING, FAILED, PENDING = "running", "failed", "pending"
_MOST_FAILED = 5
"""Logs that are shown unasked: an error of the sweep file fails all trials alike."""


@dataclass(frozen=True)
class TrialLog:
    """A run of a results folder and its log.

    Attributes:
        trial_id: which.
        strategy: its label.
        seed: of the sweep.
        fold: of the cross-validation; 0 without.
        role: what it is for: trial, proxy, part, tune, refit.
        status: pending, running, complete, failed or pruned.
        folder: of the run.
    """

    trial_id: str
    strategy: str
    seed: int
    fold: int
    role: str
    status: str
    folder: Path

    @property
    def name(self) -> str:
        """What a person calls it: `el2n-s0`, with folds `el2n-s0-f1`; several points of a grid have one name."""
        return run_name({"strategy": self.strategy, "seed": self.seed, "fold": self.fold})

    @property
    def path(self) -> Path:
        """Of the log."""
        return self.folder / FILE_NAME

    def lines(self, last: int | None = None) -> list[str]:
        """Return what it says, or its last lines; of a run that failed before it began, the error."""
        text = self.path.read_text(encoding="utf-8", errors="replace") if self.path.is_file() else ""
        if not text and self.status == FAILED:
            text = TrialFolder(self.folder).error()
        found = text.splitlines()
        return found if last is None else found[max(0, len(found) - last) :]

    def __str__(self) -> str:
        role = "" if self.role == TRIAL else f"{self.role}, "
        return printable(f"{self.name} {self.trial_id} ({role}{self.status})")


@dataclass(frozen=True)
class ShownLogs:
    """What `raybert logs` shows.

    Attributes:
        trials: whose logs.
        why: these, in words; empty: they were asked for by name.
        last: lines of each; None: all.
    """

    trials: tuple[TrialLog, ...]
    why: str
    last: int | None

    def __str__(self) -> str:
        parts = [self.why] if self.why else []
        for trial in self.trials:
            parts += [f"==> {trial} <==", *trial.lines(self.last)]
        return printable_lines("\n".join(parts))


class RunsInFolder:
    """All runs of a results folder; what has come to its end is not looked at again.

    Args:
        path: of the folder.
    """

    def __init__(self, path: Path) -> None:
        self._folder = SweepFolder(path)
        self._planned = self._read_plan()
        self._known: dict[str, TrialLog] = {}
        self.ended: set[str] = set()

    def look(self, *, alive: bool) -> list[TrialLog]:
        """Return every run that is planned or has begun, as it stands now.

        Args:
            alive: whether a process owns the folder.
        """
        attempt = current_attempt(self._folder.path) if alive else None
        names = dict.fromkeys((*self._planned, *self._begun()))
        return [run for name in names if (run := self._run(name, attempt)) is not None]

    def _begun(self) -> Iterator[str]:
        for kind in ("models", "trials"):
            with contextlib.suppress(FileNotFoundError), os.scandir(self._folder.path / kind) as entries:
                yield from sorted(entry.name for entry in entries if entry.is_dir())

    def _run(self, trial_id: str, attempt: int | None) -> TrialLog | None:
        if trial_id in self.ended:
            return self._known[trial_id]
        run = self._known.get(trial_id) or self._read(trial_id)
        if run is None:
            return None
        status = TrialFolder(run.folder).status()
        if status == PENDING and attempt is not None:
            beat = read_beat(run.folder)
            status = RUNNING if beat.get("attempt") == attempt and not beat.get("ended") else status
        self._known[trial_id] = run = replace(run, status=status)
        if status not in (PENDING, RUNNING):
            self.ended.add(trial_id)
        return run

    def _read(self, trial_id: str) -> TrialLog | None:
        """Return who a run is, by the plan or else by its own folder; None: it does not say so (yet)."""
        folder = self._folder.trial(trial_id)
        line = self._planned.get(trial_id)
        if line is None:
            spec = (read_json(folder.path / "spec.json") or {}).get("spec")
            line = {**spec, "strategy": spec.get("label")} if isinstance(spec, dict) else None
        if line is None or not isinstance(line.get("strategy"), str):
            return None
        seed, fold = (value if isinstance(value := line.get(key), int) else 0 for key in ("seed", "fold"))
        return TrialLog(trial_id, line["strategy"], seed, fold, str(line.get("role", TRIAL)), PENDING, folder.path)

    def _read_plan(self) -> dict[str, dict[str, Any]]:
        return {line["trial_id"]: line for line in self._folder.planned()}


def matching(runs: Sequence[TrialLog], trial: str, folder: Path) -> list[TrialLog]:
    """Return the runs that somebody means.

    Args:
        runs: of the folder.
        trial: an id, a strategy, `<strategy>-s<seed>`, either of these with `-<id>` behind, or the beginning of an id.
        folder: of the results, for the error.

    Raises:
        SweepError: there is none, or several begin so.
    """
    for is_meant in (
        lambda run: run.trial_id == trial,
        lambda run: run.strategy == trial,
        lambda run: trial in (run.name, f"{run.strategy}-s{run.seed}"),
        lambda run: trial == f"{run.name}-{run.trial_id}",
    ):
        if found := [run for run in runs if is_meant(run)]:
            return found
    found = [run for run in runs if trial and run.trial_id.startswith(trial)]
    if len(found) == 1:
        return found
    if found:
        names = ", ".join(f"{run.trial_id} ({run.name})" for run in found[:_MOST_FAILED])
        raise SweepError(f"{folder}: must have one trial whose id begins with '{trial}', got {len(found)}: {names}")
    known = {name for run in runs for name in (run.strategy, run.name)}
    known |= {run.trial_id for run in runs} if any(letter.isdigit() for letter in trial) else set()
    raise SweepError(
        f"{folder}: must have the trial (an id or its beginning, a strategy, or STRATEGY-sSEED), got '{trial}'"
        f"{suggest(trial, known)}"
    )


def choose_logs(runs: Sequence[TrialLog], last: int | None, *, is_asked_for: bool) -> ShownLogs:
    """Return whose logs are shown: a single run's; of several those at work, else what failed, else what ended last.

    Args:
        runs: among which to choose.
        last: lines of each; None: all of one, the last ten of several.
        is_asked_for: whether somebody named these runs.
    """
    if is_asked_for and len(runs) == 1:
        return ShownLogs(tuple(runs), "", last)
    running, failed = ([run for run in runs if run.status == status] for status in (RUNNING, FAILED))
    begun = [run for run in runs if run.path.is_file()]
    newest = sorted(failed or begun, key=_written_at)
    if running:
        shown, why = running, f"{_count(running)} at work"
    elif failed:
        shown = newest[-_MOST_FAILED:]
        why = f"nothing is at work; {_count(failed)} failed" + (
            f", the last {len(shown)} of them:" if len(shown) < len(failed) else ""
        )
    elif begun:
        shown, why = newest[-1:], "nothing is at work; what ended last:"
    else:
        shown, why = [], f"none of {_count(runs)} has begun"
    return ShownLogs(tuple(shown), why, LINES_OF_SEVERAL if last is None and len(shown) > 1 else last)


LINES_OF_SEVERAL = 10
"""Of each log, where several are shown."""


def _count(runs: Sequence[TrialLog]) -> str:
    return f"{len(runs):,} run{'' if len(runs) == 1 else 's'}"


def _written_at(run: TrialLog) -> float:
    """Return when a run last wrote, by the clock of its file system, to put what is shown in order."""
    try:
        return run.path.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def read_logs(path: Path, trial: str | None, last: int | None) -> ShownLogs:
    """Return whose logs are shown of a results folder.

    Args:
        path: of the folder.
        trial: which runs, as for `matching`; None: all.
        last: lines of each; None: all of one, the last ten of several.

    Raises:
        SweepError: it is no results folder, or has no such run.
    """
    check_holds_sweep(path)
    runs = RunsInFolder(path).look(alive=is_alive(path))
    if trial is not None:
        runs = matching(runs, trial, path)
    return choose_logs(runs, last, is_asked_for=trial is not None)
