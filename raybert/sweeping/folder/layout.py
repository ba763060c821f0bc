"""The results folder of a sweep: where everything is, and what is finished."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from raybert.files import (
    read_json,
)
from raybert.sweeping.folder.failure_kinds import is_wanted
from raybert.sweeping.folder.failures import FailedRun
from raybert.sweeping.folder.ownership import Fence
from raybert.sweeping.folder.trial_folder import TrialFolder
from raybert.sweeping.plan.roles import REFIT, TUNE


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
    def decisions(self) -> Path:
        """The log of everything that a search decided; there once it has begun."""
        return self.path / "decisions.jsonl"

    @property
    def stop_request(self) -> Path:
        """Exists while the owner wants its trials to save and stop."""
        return self.path / "stop-requested"

    def trial(self, trial_id: str) -> TrialFolder:
        """Return the folder of one trial."""
        return TrialFolder(self.path / "trials" / trial_id)

    def planned(self) -> list[dict[str, Any]]:
        """Return the trials as `plan.json` lists them; empty: there is no plan, or it is damaged."""
        return list((read_json(self.path / "plan.json") or {}).get("trials") or [])

    def unplanned(self) -> Iterator[dict[str, Any]]:
        """Yield the runs of a search, and of a refit, that have begun, as a plan would list them."""
        for path in sorted((self.path / "trials").glob("*/spec.json")):
            spec = (read_json(path) or {}).get("spec", {})
            if spec.get("role") in (TUNE, REFIT):
                yield {**spec, "strategy": f"{spec['label']} ({spec['role']})"}

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


def forget_failures(folder: SweepFolder, trial_ids: Iterable[str], retry: str) -> None:
    """Make failed trials pending again: all of them, or those of the kind that `--retry` names."""
    for trial_id in trial_ids:
        trial = folder.trial(trial_id)
        if trial.status() == "failed" and is_wanted(trial.failure().kind, retry):
            trial.forget_failure()
