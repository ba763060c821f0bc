"""The results folder of a sweep: where everything is, and what is finished."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from raybert.errors import SweepError
from raybert.files import of_types, read_json
from raybert.sweeping.folder.failure_kinds import is_wanted
from raybert.sweeping.folder.failures import FailedRun
from raybert.sweeping.folder.fence import Fence
from raybert.sweeping.folder.trial_folder import TrialFolder
from raybert.sweeping.plan.roles import PRETRAIN, REFIT, TUNE

_OF_EVERY_LINE: dict[str, type | tuple[type, ...]] = {
    **dict.fromkeys(("trial_id", "strategy"), str),
}
_OF_MANY_LINES: dict[str, type | tuple[type, ...]] = {
    **dict.fromkeys(("seed", "fold", "budget", "pool_size", "pool", "total_steps"), (int, float)),
    **dict.fromkeys(("role", "budget_kind"), str),
    "grid": dict,
}


def is_plan(document: Mapping[str, Any]) -> bool:
    """Tell whether JSON is what `write_plan` writes, also of raybert 0.1: a line of every trial says what it is."""
    trials = document.get("trials")
    return isinstance(trials, list) and all(isinstance(line, dict) and _is_line(line) for line in trials)


def _is_line(line: dict[str, Any]) -> bool:
    whole = of_types(line, _OF_EVERY_LINE | _OF_MANY_LINES)
    return len(whole) == len(line) and all(line.get(key) is not None for key in _OF_EVERY_LINE)


@dataclass(frozen=True)
class SweepFolder:
    """A results folder (DESIGN.md, section 6).

    Attributes:
        path: of the folder.
        attempt: its owner's number, where this process or the one that started it owns it.
    """

    path: Path
    attempt: int | None = None

    @property
    def fence(self) -> Fence:
        """Tells whether a newer owner has taken over."""
        return Fence(self.path, self.attempt)

    @property
    def signals(self) -> Path:
        """The score store."""
        return self.path / "signals"

    @property
    def models(self) -> Path:
        """Where pretrained models are, each in a folder like a trial's."""
        return self.path / "models"

    @property
    def pretrained(self) -> Path:
        """Says which encoders the sweep has pretrained, of what, and how well they know its texts."""
        return self.path / "pretrained.json"

    @property
    def decisions(self) -> Path:
        """The log of everything that a search decided; there once it has begun."""
        return self.path / "decisions.jsonl"

    @property
    def stop_request(self) -> Path:
        """Exists while the owner wants its trials to save and stop."""
        return self.path / "stop-requested"

    def trial(self, trial_id: str) -> TrialFolder:
        """Return the folder of one trial, or of a pretrained model once that is there.

        Raises:
            SweepError: what a file gives as its id is none, but a path.
        """
        check_trial_id(trial_id, self.path)
        model = self.models / trial_id
        return TrialFolder(model if model.is_dir() else self.path / "trials" / trial_id)

    def plan(self) -> dict[str, Any] | None:
        """Return `plan.json`; None: there is none, or it is damaged."""
        found = read_json(self.path / "plan.json")
        return found if found is not None and is_plan(found) else None

    def planned(self) -> list[dict[str, Any]]:
        """Return the trials as `plan.json` lists them, as far as it is not damaged."""
        trials = (read_json(self.path / "plan.json") or {}).get("trials")
        lines = trials if isinstance(trials, list) else []
        return [line for line in lines if isinstance(line, dict) and isinstance(line.get("trial_id"), str)]

    @property
    def is_study(self) -> bool:
        """Whether its runs are pretrained models, and no trials of a sweep."""
        return any(line.get("role") == PRETRAIN for line in self.planned())

    def unplanned(self) -> Iterator[dict[str, Any]]:
        """Yield the runs of a search, of a refit and of pretrainings that have begun, as a plan would list them."""
        for path in [*sorted(self.models.glob("*/spec.json")), *sorted((self.path / "trials").glob("*/spec.json"))]:
            spec = (read_json(path) or {}).get("spec")
            if isinstance(spec, dict) and spec.get("role") in (TUNE, REFIT, PRETRAIN) and "trial_id" in spec:
                yield {**spec, "strategy": f"{spec.get('label')} ({spec['role']})"}

    def failed(self, runs: Iterable[Mapping[str, Any]]) -> Iterator[FailedRun]:
        """Yield those of some runs that failed; each is given by its line of `plan.json`."""
        for run in runs:
            trial = self.trial(str(run["trial_id"]))
            if trial.status() == "failed":
                yield FailedRun(
                    trial_id=str(run["trial_id"]),
                    failure=trial.failure(),
                    strategy=str(run.get("strategy", "")),
                    seed=int(run.get("seed") or 0),
                    fold=int(run.get("fold") or 0),
                )


def check_trial_id(trial_id: str, folder: Path) -> None:
    """Refuse an id that would lead out of the results folder that names it.

    Raises:
        SweepError: it is no name.
    """
    if trial_id in ("", ".", "..") or re.search(r"[/\0]", trial_id):
        raise SweepError(f"{folder}: must name its trials by ids, got the path '{trial_id}'")


def forget_failures(folder: SweepFolder, trial_ids: Iterable[str], retry: str) -> None:
    """Make failed trials pending again: all of them, or those of the kind that `--retry` names."""
    for trial_id in trial_ids:
        trial = folder.trial(trial_id)
        if trial.status() == "failed" and is_wanted(trial.failure().kind, retry):
            trial.forget_failure()
