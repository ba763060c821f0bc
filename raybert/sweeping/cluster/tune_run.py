"""Run a list of runs over Ray Tune: warm, reused actors for those of one worker, Ray Train for larger ones."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Generic, TypeVar

import numpy as np
import ray
from ray import tune
from ray.tune import TuneError
from ray.tune.schedulers import TrialScheduler
from ray.tune.search import Searcher

import raybert.sweeping.cluster.warm_imports  # noqa: F401 - before the others
from raybert.config import LimitsConfig, ResourcesConfig
from raybert.errors import RaybertError
from raybert.machine import tokenize_in_one_thread
from raybert.models import Encoder
from raybert.selection.scorers.scorer import ScoringData
from raybert.selection.store import SignalRef
from raybert.sweeping.cluster.autoscaler import IS_HEAD
from raybert.sweeping.cluster.connect import Cluster
from raybert.sweeping.cluster.deaths import record_end, record_retry
from raybert.sweeping.cluster.hung_trials import HungTrialsCallback
from raybert.sweeping.cluster.memory_kills import memory_kills_are_deaths
from raybert.sweeping.cluster.slots import NodesCallback, NodeWatch, SlotLimiter
from raybert.sweeping.cluster.staging import Staging
from raybert.sweeping.cluster.stateless import Stateless, StatelessSearcher
from raybert.sweeping.driver.progress import Progress
from raybert.sweeping.folder.configurations import labels_of
from raybert.sweeping.folder.layout import SweepFolder
from raybert.sweeping.plan.placement import describe_demand
from raybert.sweeping.plan.planned_run import PlannedRun
from raybert.sweeping.plan.pretrained import PretrainingPrice
from raybert.sweeping.plan.specs import RunSpec
from raybert.sweeping.trial.pretrained import PretrainFirst
from raybert.sweeping.trial.run import run_trial

_SHARE_OF_HEAD = 0.001
"""Of the mark that a head has once: so many functions may be there."""
RUN_ENDED = "raybert_status"
"""Key of the last report of a run: how it ended."""
Run = TypeVar("Run", bound=PlannedRun)


@dataclass(frozen=True)
class TrialInputs:
    """What trials share: data by reference, encoders, and where signals are.

    Attributes:
        data: data key -> object reference of a `ScoringData`.
        encoders: data key -> encoder, as `model.encoder` names it.
        signals: trial id -> the complete signals that it reads.
        scored_rows: data key -> which validation examples score suggestions of a search and choose nothing.
        pretrained: fingerprint -> an encoder that the sweep has pretrained.
        prices: trial id -> what its encoders have cost, where they are pretrained.
        to_pretrain: data key -> object reference of a `ToPretrain`, for runs of a search that varies `pretrain`.
        staging: how nodes reach the driver's files; None: there is one node.
    """

    data: Mapping[str, Any]
    encoders: Mapping[str, Encoder]
    signals: Mapping[str, tuple[SignalRef, ...]]
    scored_rows: Mapping[str, np.ndarray] = field(default_factory=dict)
    pretrained: Mapping[str, Encoder] = field(default_factory=dict)
    prices: Mapping[str, PretrainingPrice] = field(default_factory=dict)
    to_pretrain: Mapping[str, Any] = field(default_factory=dict)
    staging: Staging | None = None

    def staged(self, spec: RunSpec, signals: Sequence[SignalRef]) -> AbstractContextManager[None]:
        """Return the `with` block in which a run may work on the node of this process."""
        if self.staging is None:
            return nullcontext()
        encoder = self.pretrained.get(spec.encoder) or self.encoders[spec.data_key]
        return self.staging.run(f"trials/{spec.trial_id}", [ref.key for ref in signals], [encoder.path])

    def encoder_arguments(self, spec: RunSpec) -> dict[str, Any]:
        """Return the encoder of a run as `run_trial` takes it, with what it has cost, or how the run makes it."""
        if not spec.encoder:
            return {"encoder": self.encoders[spec.data_key]}
        found = self.pretrained.get(spec.encoder)
        if found is not None:
            return {"encoder": found, "price": self.prices.get(spec.trial_id)}
        assert spec.config.pretrain is not None
        first = PretrainFirst(ray.get(self.to_pretrain[spec.data_key]), spec.config.pretrain, spec.config.resources)
        return {"encoder": first.pending, "pretrain_first": first}


def run_trials(
    specs: Sequence[RunSpec],
    inputs: TrialInputs,
    folder: SweepFolder,
    cluster: Cluster,
    progress: Progress,
    should_stop: Callable[[], bool],
    ended: Callable[[RunSpec], None] = lambda _: None,
) -> None:
    """Run trials, in order, as many at once as fit. Outcomes are in their folders, not in Tune's results.

    Args:
        specs: trials without a result; all have the same resources.
        inputs: what they share.
        folder: of the sweep.
        cluster: where they run.
        progress: told about every event.
        should_stop: once true, no further trial starts.
        ended: told about every trial that has come to an end of whatever kind.
    """
    if not specs:
        return
    config = specs[0].config
    trainable = tune.with_parameters(_tune_function, specs=list(specs), inputs=inputs, folder=folder)
    run_list(trainable, specs, folder, cluster, config.resources, config.limits, progress, should_stop, ended)


def run_list(
    trainable: Callable[[dict[str, Any]], None],
    runs: Sequence[Run],
    folder: SweepFolder,
    cluster: Cluster,
    resources: ResourcesConfig,
    limits: LimitsConfig,
    progress: Progress,
    should_stop: Callable[[], bool],
    ended: Callable[[Run], None] = lambda _: None,
) -> None:
    """Run a Tune function for the `index` of every run of a list, in order, as many at once as fit.

    Args:
        trainable: with its parameters; reports evaluations, and in the end how the run ended as `RUN_ENDED`.
        runs: those of the list.
        folder: of the results.
        cluster: where they run.
        resources: of each.
        limits: retries, and how long one may be silent.
        progress: told about every event.
        should_stop: once true, no further run starts.
        ended: told about every run that has come to an end of whatever kind.
    """
    if not runs or should_stop():
        return
    points = labels_of(runs)
    names = {run.trial_id: f"{points[run.trial_id]} {run.replicate} {run.trial_id}" for run in runs}
    run_tuner(
        trainable,
        resources,
        limits,
        folder,
        cluster,
        searcher=_ListSearcher(len(runs), should_stop),
        callback=_RunEvents(runs, names, folder, progress, ended),
        identify=lambda trial: (runs[trial.config["index"]].trial_id, names[runs[trial.config["index"]].trial_id]),
        progress=progress,
        num_samples=len(runs),
    )


def run_tuner(
    trainable: Callable[[dict[str, Any]], None],
    resources: ResourcesConfig,
    limits: LimitsConfig,
    folder: SweepFolder,
    cluster: Cluster,
    *,
    searcher: Searcher,
    callback: tune.Callback,
    identify: Callable[[Any], tuple[str, str]],
    progress: Progress,
    num_samples: int,
    scheduler: TrialScheduler | None = None,
) -> None:
    """Run a Tune function for everything that a searcher suggests, as many at once as fit.

    Args:
        trainable: with its parameters.
        resources: of each of the trials.
        limits: their retries, and how long one may be silent.
        folder: of the sweep.
        cluster: where they run.
        searcher: what is run.
        callback: told about every event.
        identify: a trial of Tune -> id of the run that it is at, and how to call it in a line.
        progress: told of runs that hang.
        num_samples: how many the searcher suggests at most; -1: until it has finished.
        scheduler: stops trials early; None: none is stopped.
    """
    distributed = resources.workers_per_trial > 1
    if distributed:
        # The driver function of a Ray Train trial must not hold CPUs that its own workers wait for. It is on the head,
        # which stays when workers are taken away: with the function a trial would lose all of its workers.
        shape: dict[str, float] = {"cpu": 0, "memory": 1, IS_HEAD: _SHARE_OF_HEAD}
    else:
        shape = {"cpu": resources.cpus_per_worker, "gpu": resources.num_gpus}
    scratch = folder.path / ".tune"
    hung_trials = HungTrialsCallback(folder, limits.stall_seconds, progress, describe_demand(resources), identify)
    watch = NodeWatch(resources, cluster, limits.max_nodes, progress.note)
    tuner = tune.Tuner(
        tune.with_resources(trainable, shape),
        tune_config=tune.TuneConfig(
            search_alg=SlotLimiter(searcher, watch),
            scheduler=scheduler,
            num_samples=num_samples,
            reuse_actors=not distributed,
        ),
        run_config=tune.RunConfig(
            name="run",
            storage_path=str(scratch.resolve()),
            verbose=0,
            failure_config=tune.FailureConfig(max_failures=limits.retries),
            callbacks=[callback, hung_trials, NodesCallback(watch)],
        ),
    )
    try:
        with memory_kills_are_deaths():
            tuner.fit()
    except (OSError, EOFError) as error:
        progress.note(f"note: Ray Tune's own files cannot be read or written ({error}); what ran is in the results")
    except TuneError as error:
        raise _behind(error) or error from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _behind(error: BaseException) -> BaseException | None:
    """Return what a searcher, a scheduler or a callback of ours raised; Tune makes an error of its own of the text."""
    seen = error.__context__
    while seen is not None and not isinstance(seen, (RaybertError, OSError)):
        seen = seen.__context__
    return seen


def _tune_function(config: dict[str, int], specs: list[RunSpec], inputs: TrialInputs, folder: SweepFolder) -> None:
    """What a Tune actor runs for every trial."""
    spec = specs[config["index"]]
    signals = inputs.signals.get(spec.trial_id, ())
    with inputs.staged(spec, signals):
        status = run_spec(spec, inputs, folder, lambda row: tune.report(dict(row)), signals)
    tune.report({RUN_ENDED: status})


def run_spec(
    spec: RunSpec,
    inputs: TrialInputs,
    folder: SweepFolder,
    report: Callable[[Mapping[str, Any]], None],
    signals: tuple[SignalRef, ...],
) -> str:
    """Run one trial in a Tune actor, over Ray Train where it has several workers; return its status."""
    tokenize_in_one_thread()  # of a Ray that was not started by `connected`
    scoring_data: ScoringData = ray.get(inputs.data[spec.data_key])
    data = scoring_data.data
    arguments = {"texts": scoring_data.texts, **inputs.encoder_arguments(spec)}
    if spec.scored_fraction is not None:
        arguments["scored_rows"] = inputs.scored_rows[spec.data_key]
    if spec.config.resources.workers_per_trial > 1:
        from raybert.training.ddp import fit_distributed

        arguments["fit_function"] = partial(fit_distributed, resources=spec.config.resources)
    return run_trial(spec, data, signals=signals, sweep=folder, report=report, **arguments)


class _ListSearcher(StatelessSearcher):
    """Hands out list indices in order; an empty hand once the sweep is to stop."""

    def __init__(self, count: int, should_stop: Callable[[], bool]) -> None:
        super().__init__()
        self._next, self._count, self._should_stop = 0, count, should_stop

    def suggest(self, trial_id: str) -> dict[str, int] | str:
        if self._next >= self._count or self._should_stop():
            return str(Searcher.FINISHED)
        self._next += 1
        return {"index": self._next - 1}

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Learn nothing: the list is fixed."""


class _RunEvents(Stateless, tune.Callback, Generic[Run]):
    """Passes Tune's events on, and records the failure of runs whose process died."""

    def __init__(
        self,
        runs: Sequence[Run],
        names: Mapping[str, str],
        folder: SweepFolder,
        progress: Progress,
        ended: Callable[[Run], None],
    ) -> None:
        self._runs, self._names, self._folder, self._progress, self._ended = runs, names, folder, progress, ended

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self._progress.started(self._run(trial))

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        run = self._run(trial)
        if RUN_ENDED not in result:
            self._progress.evaluated(run, result)
            return
        folder = self._folder.trial(run.trial_id)
        message = folder.failure().message if result[RUN_ENDED] == "failed" else ""
        self._progress.ended(run, result[RUN_ENDED], message)
        self._ended(run)

    def on_trial_recover(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        run = self._run(trial)
        folder = self._folder.trial(run.trial_id)
        death = record_retry(trial, folder, self._progress.note)
        self._progress.note(
            f"{self._names[run.trial_id]}: {death.reason}; it goes on from its last checkpoint "
            f"(retry {trial.num_failures} of {trial.max_failures})"
        )

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        run = self._run(trial)
        folder = self._folder.trial(run.trial_id)
        death = record_end(trial, folder, self._progress.note)
        self._progress.ended(run, "failed", death.reason)
        self._ended(run)

    def _run(self, trial: Any) -> Run:
        index: int = trial.config["index"]
        return self._runs[index]
