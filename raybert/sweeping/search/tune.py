"""The search as one Ray Tune run: a searcher and a scheduler that hold all arms, and what an actor runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ray import tune
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher

from raybert.selection.store import SignalRef
from raybert.sweeping.cluster.connect import Cluster
from raybert.sweeping.cluster.deaths import record_end, record_retry
from raybert.sweeping.cluster.stateless import Stateless, StatelessSearcher
from raybert.sweeping.cluster.tune_run import RUN_ENDED, TrialInputs, run_spec, run_tuner
from raybert.sweeping.driver.progress import Progress
from raybert.sweeping.folder.last_evaluation import last_evaluation
from raybert.sweeping.folder.layout import SweepFolder
from raybert.sweeping.plan.arms import Arm
from raybert.sweeping.plan.specs import RunSpec
from raybert.sweeping.search.search_state import SearchState
from raybert.sweeping.search.suggestion import STOP, Suggestion

_SEED = "raybert_seed"


def run_search(
    search: SearchState,
    inputs: TrialInputs,
    cluster: Cluster,
    progress: Progress,
    should_stop: Callable[[], bool],
) -> None:
    """Run suggestions until every arm has its number, as many at once as fit. What happened is in the search.

    Args:
        search: all arms.
        inputs: what runs share; signals by the id of a reader.
        cluster: where they run.
        progress: told about every event.
        should_stop: once true, no further suggestion is made.
    """
    if should_stop() or not search.has_more():
        return
    config = search.arms[0].candidates[0].variant.config
    arms = {arm.name: arm for arm in search.arms}
    trainable = tune.with_parameters(_tune_function, arms=arms, inputs=inputs, folder=search.folder)
    run_tuner(
        trainable,
        config.resources,
        config.limits,
        search.folder,
        cluster,
        searcher=ArmSearcher(search, should_stop),
        scheduler=ArmScheduler(search, has_workers=config.resources.workers_per_trial > 1),
        callback=_SuggestionEvents(search, progress),
        identify=lambda trial: _at_work(suggestion_of(search, trial)),
        progress=progress,
        num_samples=-1,
    )
    for suggestion in search.suggestions.values():
        if suggestion.status is not None:
            search.remove_models(suggestion)  # of workers that still wrote when the suggestion was stopped


def _tune_function(config: dict[str, Any], arms: Mapping[str, Arm], inputs: TrialInputs, folder: SweepFolder) -> None:
    """Train the runs of one suggestion, seed by seed; the driver stops it inside `tune.report`."""
    arm, params = arms[config["arm"]], config["params"]
    for spec, reader in zip(arm.runs(params), arm.candidate(params).readers, strict=True):
        signals = inputs.signals.get(reader.trial_id, ())
        with inputs.staged(spec, signals):
            status = _run_of_suggestion(spec, inputs, folder, signals)
        tune.report({RUN_ENDED: status, _SEED: spec.seed})
        if status != "complete" or folder.trial(spec.trial_id).is_asked_to_stop():
            return


def _run_of_suggestion(spec: RunSpec, inputs: TrialInputs, folder: SweepFolder, signals: tuple[SignalRef, ...]) -> str:
    """Train one run of a suggestion, and return its status."""
    run = folder.trial(spec.trial_id)
    run.forget_pruning()
    # What an earlier attempt reported, or an equal suggestion: the driver knows what it has decided about already.
    for row in run.rows():
        tune.report({**row, _SEED: spec.seed})

    def report(row: Mapping[str, Any]) -> None:
        tune.report({**row, _SEED: spec.seed})

    return run_spec(spec, inputs, folder, report, signals=signals)


class ArmSearcher(StatelessSearcher):
    """Gives Tune the next suggestion of the arm whose turn it is.

    Args:
        search: all arms.
        should_stop: once true, nothing more is suggested; what runs stays unfinished in its study.
    """

    def __init__(self, search: SearchState, should_stop: Callable[[], bool]) -> None:
        super().__init__()
        self._search, self._should_stop = search, should_stop
        self._given: dict[str, Suggestion] = {}

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        if self._should_stop():
            return str(Searcher.FINISHED)
        suggestion = self._search.next()
        if suggestion is None:
            return None if self._search.has_more() else str(Searcher.FINISHED)
        self._given[trial_id] = suggestion
        return {"arm": suggestion.arm.name, "number": suggestion.number, "params": suggestion.params}

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Learn that nothing runs for it any more; how it ended is decided report by report."""
        self._search.released(self._given.pop(trial_id))


class ArmScheduler(Stateless, FIFOScheduler):
    """Asks the search what to do after every evaluation.

    A run with workers of its own is asked to stop by a file: Tune would end its process at once, and Ray Train's
    workers with it, whose resources then stay taken (Ray 2.60).

    Args:
        search: all arms.
        has_workers: whether runs have workers of their own.
    """

    def __init__(self, search: SearchState, *, has_workers: bool = False) -> None:
        super().__init__()
        self._search, self._has_workers = search, has_workers

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        if _SEED not in result:
            return str(TrialScheduler.CONTINUE)
        suggestion = suggestion_of(self._search, trial)
        if RUN_ENDED not in result:
            decision = self._search.report(suggestion, result[_SEED], result)
        elif result[RUN_ENDED] in ("complete", "failed"):
            decision = self._search.end_run(suggestion, result[_SEED], result[RUN_ENDED])
        else:  # it saved and stopped because the sweep does
            return str(TrialScheduler.CONTINUE)
        if decision != STOP or not suggestion.stopped:
            return str(TrialScheduler.CONTINUE)
        if not self._has_workers:
            return str(TrialScheduler.STOP)
        run = next(spec for spec in suggestion.runs if spec.seed == result[_SEED])
        self._search.folder.trial(run.trial_id).ask_to_stop()
        return str(TrialScheduler.CONTINUE)


def suggestion_of(search: SearchState, trial: Any) -> Suggestion:
    """Return what a Tune trial tries."""
    return search.suggestions[trial.config["arm"], trial.config["number"]]


def _at_work(suggestion: Suggestion) -> tuple[str, str]:
    return suggestion.current_run.trial_id, suggestion.name


class _SuggestionEvents(Stateless, tune.Callback):
    """Passes Tune's events on, and records the failure of suggestions whose process died."""

    def __init__(self, search: SearchState, progress: Progress) -> None:
        self._search, self._progress = search, progress
        self._announced: set[str] = set()
        self._rows: dict[str, dict[tuple[str, Any], list[Mapping[str, Any]]]] = {}
        """Arm -> the newest evaluation of the run that was evaluated last."""

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self._progress.searching(self._search.tallies)

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        suggestion = suggestion_of(self._search, trial)
        if RUN_ENDED not in result:
            self._evaluated(suggestion, result)
        if suggestion.status is not None and suggestion.name not in self._announced:
            self._announce(suggestion)

    def on_trial_recover(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        suggestion, folder = self._current(trial)
        death = record_retry(trial, folder, self._progress.note)
        self._progress.note(f"{suggestion.name}: {death.reason}; it goes on from its last checkpoint")

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        suggestion, folder = self._current(trial)
        record_end(trial, folder, self._progress.note)
        if suggestion.status is None:
            self._search.end_run(suggestion, suggestion.current_run.seed, "failed")
        self._announce(suggestion)

    def _evaluated(self, suggestion: Suggestion, row: Mapping[str, Any]) -> None:
        """Let views show how the arm's newest run is doing."""
        key = suggestion.name, row.get(_SEED)
        rows = [*self._rows.get(suggestion.arm.name, {}).get(key, ()), row]
        self._rows[suggestion.arm.name] = {key: rows[-1:]}
        self._search.tallies[suggestion.arm.name].last = last_evaluation(rows, suggestion.arm.metric)
        self._progress.searching(self._search.tallies)

    def _current(self, trial: Any) -> tuple[Suggestion, Any]:
        suggestion = suggestion_of(self._search, trial)
        return suggestion, self._search.folder.trial(suggestion.current_run.trial_id)

    def _announce(self, suggestion: Suggestion) -> None:
        self._announced.add(suggestion.name)
        value = "" if suggestion.value is None else f" {suggestion.arm.metric} {suggestion.value:.4f}"
        why = f" ({suggestion.why})" if suggestion.why else ""
        self._progress.searching(self._search.tallies, f"{suggestion.name}: {suggestion.status}{value}{why}")
