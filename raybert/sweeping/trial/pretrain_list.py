"""A list of pretrainings: which of them are to be run, what became of each, and running them in this process."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from raybert.config import LimitsConfig, ResourcesConfig
from raybert.durable import make_folder
from raybert.pretraining.request import PretrainRequest
from raybert.pretraining.run import forget_checkpoints, problem_with_folder
from raybert.sweeping.driver.progress import Progress
from raybert.sweeping.folder.failures import Failure
from raybert.sweeping.folder.layout import SweepFolder
from raybert.sweeping.folder.trial_folder import TrialFolder
from raybert.sweeping.plan.extension import flatten
from raybert.sweeping.trial.pretrain import PretrainingOutcome, read_outcome, run_pretraining, status_of
from raybert.sweeping.trial.pretraining_run import PretrainingRun


@dataclass(frozen=True)
class PretrainingList:
    """Pretrainings that were asked for.

    Attributes:
        requests: all of them, in order.
        problems: name -> why it cannot be run: its folder is another one's.
        pending: those that are to be run, whose folders are there.
    """

    requests: tuple[PretrainRequest, ...]
    problems: Mapping[str, str]
    pending: tuple[PretrainingRun, ...]

    @classmethod
    def begin(cls, requests: Sequence[PretrainRequest], progress: Progress) -> PretrainingList:
        """Look what is there, and tell of all; folders are made for those that have none.

        Args:
            requests: of distinct names.
            progress: told of all runs, and of those that cannot be run.
        """
        runs = [PretrainingRun(request, grid=grid) for request, grid in zip(requests, _varied(requests), strict=True)]
        found = {request.name: problem_with_folder(request) for request in requests}
        problems = {name: problem for name, problem in found.items() if problem is not None}
        statuses = {run.trial_id: status_of(run.request) for run in runs}
        pending = tuple(run for run in runs if run.trial_id not in problems and statuses[run.trial_id] == "pending")
        for run in runs:
            if statuses[run.trial_id] == "complete":  # it may have been killed between its summary and this
                forget_checkpoints(run.request.folder)
        for run in pending:
            make_folder(run.request.folder)  # by which it is found from then on
        progress.begin(runs, statuses)
        for run in runs:
            if run.trial_id in problems:
                progress.ended(run, "failed", problems[run.trial_id])
        return cls(tuple(requests), problems, pending)

    def outcomes(self) -> tuple[PretrainingOutcome, ...]:
        """Return what became of each, by its files."""
        return tuple(map(self._outcome, self.requests))

    def _outcome(self, request: PretrainRequest) -> PretrainingOutcome:
        problem = self.problems.get(request.name)
        if problem is None:
            return read_outcome(request)
        failure = Failure("error", f"TrialError: {problem}")
        return PretrainingOutcome(request.name, request.folder, "failed", failure=failure)


def _varied(requests: Sequence[PretrainRequest]) -> list[dict[str, Any]]:
    """Return of every request the keys of `pretrain` in which they differ, with its values: what lines call it by."""
    settings = [flatten({"pretrain": request.pretrain.model_dump(mode="json")}) for request in requests]
    keys = dict.fromkeys(key for found in settings for key in found)
    varied = [key for key in keys if any(found.get(key) != settings[0].get(key) for found in settings)]
    return [{key: found[key] for key in varied if found.get(key) is not None} for found in settings]


def run_pretrainings_here(
    requests: Sequence[PretrainRequest],
    folder: SweepFolder,
    resources: ResourcesConfig,
    limits: LimitsConfig,
    progress: Progress,
    should_stop: Callable[[], bool],
) -> tuple[PretrainingOutcome, ...]:
    """Run pretrainings one after the other in this process; else as `cluster.pretrain_run.run_pretrainings`."""
    listed = PretrainingList.begin(requests, progress)
    for run in listed.pending:
        if should_stop():
            break
        progress.started(run)

        def begun(ran_on: object, run: PretrainingRun = run) -> None:
            progress.note(f"{run.trial_id}: {run.learn_steps():,} steps {ran_on}")

        status = run_pretraining(
            run.request,
            folder,
            resources,
            limits,
            report=partial(progress.evaluated, run),
            report_step=partial(progress.stepped, run),
            report_start=begun,
        )
        failure = TrialFolder(run.request.folder).failure().message if status == "failed" else ""
        progress.ended(run, status, failure)
    return listed.outcomes()
