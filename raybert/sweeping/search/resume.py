"""What a new driver makes of the log and the studies that an earlier one left behind."""

from __future__ import annotations

from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import FrozenTrial, TrialState, create_trial

from raybert.errors import SweepError
from raybert.sweeping.plan.arms import Arm
from raybert.sweeping.plan.search_space import Params
from raybert.sweeping.search.log import Event
from raybert.sweeping.search.search_state import SearchState
from raybert.sweeping.search.suggestion import CONTINUE, Suggestion

_STATUSES = {TrialState.COMPLETE: "complete", TrialState.PRUNED: "pruned", TrialState.FAIL: "failed"}


def reconcile(search: SearchState) -> None:
    """Bring log, studies and early stopping of a search to one state, and queue what an earlier driver began.

    The log is written first, so it knows most: rungs are replayed from it, and what the study or the runs' folders lack
    is added. A suggestion that the study alone knows was torn between the two (or the log was deleted): it is
    written into the log again.

    Raises:
        SweepError: a line of the log is damaged, or log and study contradict each other.
    """
    _replay(search, search.log.read())
    for arm in search.arms:
        _restore_lost(search, arm)
        for trial in search.studies[arm.name].trials():
            suggestion = search.suggestions.get((arm.name, trial.number))
            if suggestion is None:
                suggestion = _recover(search, arm, trial)
            _match(search, suggestion, trial)
        search.studies[arm.name].queue_points()
        _count_retries(search, arm)
    begun = list(search.suggestions.values())
    search.unfinished = [suggestion for suggestion in begun if suggestion.status is None]


def _replay(search: SearchState, events: list[Event]) -> None:
    """Feed the log to suggestions and early stopping; arms that the file no longer has are passed over."""
    arms = {arm.name: arm for arm in search.arms}
    for event in events:
        arm, number = arms.get(event["arm"]), event["number"]
        if arm is None:
            continue
        if event["event"] != "suggest" and (arm.name, number) not in search.suggestions:
            raise SweepError(
                f"{search.log.path}: has decisions about suggestion {number} of '{arm.name}' without the suggestion; "
                "delete the file: it is then written anew from the studies"
            )
        search.learn(event)
        if event["event"] == "report" and event["value"] is not None and event["seed"] == arm.seeds[0]:
            search.stoppers[arm.name].report(number, event["examples_seen"], event["value"])


def _count_retries(search: SearchState, arm: Arm) -> None:
    """Take the failed suggestions out of the count that were queued again, whether or not that has begun."""
    study = search.studies[arm.name]
    for _ in study.tried_again():
        search.note_retry(arm)
    search.tallies[arm.name].num_retries = study.num_retries_waiting()


def _restore_lost(search: SearchState, arm: Arm) -> None:
    """Add suggestions to the study that only the log knows: the study's file was lost."""
    study = search.studies[arm.name]
    there = {trial.number for trial in study.trials()}
    known = sorted(number for name, number in search.suggestions if name == arm.name)
    for number in known:
        if number in there:
            continue
        suggestion = search.suggestions[arm.name, number]
        distributions = _distributions(arm, suggestion.params)
        if study.begin_waiting(number, suggestion.params, distributions):
            continue
        if number != len(study.study.get_trials(deepcopy=False)):
            raise SweepError(
                f"study '{study.study.study_name}': must hold suggestion {number} of {search.log.path}, but another "
                "one has its place; restore the database from a copy, or delete it: it is then written from the log"
            )
        study.add(
            create_trial(
                state=TrialState.RUNNING,
                params=suggestion.params,
                distributions=distributions,
                user_attrs={} if suggestion.retry_of is None else {"retry_of": suggestion.retry_of},
            )
        )


def _distributions(arm: Arm, params: Params) -> dict[str, BaseDistribution]:
    """Return the distributions that a suggestion was sampled from."""
    recorder = _Recorder(params)
    arm.space.sample(recorder)  # type: ignore[arg-type]
    return recorder.distributions


class _Recorder:
    """Stands in for an Optuna trial: gives known values, and notes where they come from."""

    def __init__(self, params: Params) -> None:
        self.params = params
        self.distributions: dict[str, BaseDistribution] = {}

    def suggest_float(self, name: str, low: float, high: float, *, step: float | None, log: bool) -> Any:
        return self._note(name, FloatDistribution(low, high, log=log, step=step))

    def suggest_int(self, name: str, low: int, high: int, *, step: int, log: bool) -> Any:
        return self._note(name, IntDistribution(low, high, log=log, step=step))

    def suggest_categorical(self, name: str, choices: list[Any]) -> Any:
        return self._note(name, CategoricalDistribution(choices))

    def _note(self, name: str, distribution: BaseDistribution) -> Any:
        self.distributions[name] = distribution
        return self.params[name]


def _recover(search: SearchState, arm: Arm, trial: FrozenTrial) -> Suggestion:
    """Write a suggestion into the log that only the study knows; values that are missing are sampled now."""
    study = search.studies[arm.name]
    params = dict(trial.params) if trial.state.is_finished() else study.attach(trial.number)
    suggestion = search.begin(arm, trial.number, params, trial.user_attrs.get("retry_of"))
    if not trial.state.is_finished():
        return suggestion
    seed = arm.seeds[0]
    for evaluation, (seen, value) in enumerate(sorted(trial.intermediate_values.items()), start=1):
        search.stoppers[arm.name].report(trial.number, seen, value)
        event = {"event": "report", "arm": arm.name, "number": trial.number, "seed": seed, "evaluation": evaluation}
        search.record({**event, "examples_seen": seen, "value": value, "decision": CONTINUE})
    values = dict(zip(trial.user_attrs.get("seeds", ()), trial.user_attrs.get("values", ()), strict=False))
    for seed, value in values.items():
        suggestion.best[seed] = value
        run = {"event": "run", "arm": arm.name, "number": trial.number, "seed": seed, "status": "complete"}
        search.record({**run, "value": value, "decision": CONTINUE})
    search.record(_end_of(suggestion, trial))
    return suggestion


def _match(search: SearchState, suggestion: Suggestion, trial: FrozenTrial) -> None:
    """Bring the study, and what the log has not ended yet, up to date."""
    if trial.state.is_finished():
        if suggestion.status is None:
            search.record(_end_of(suggestion, trial))
        return
    first = suggestion.arm.seeds[0]
    study = search.studies[suggestion.arm.name]
    for seen, value in suggestion.curve(first):
        if seen not in trial.intermediate_values:
            study.report(suggestion.number, seen, value)
    if suggestion.status is not None:
        search.publish_end(suggestion)
    else:
        search.settle(suggestion)


def _end_of(suggestion: Suggestion, trial: FrozenTrial) -> Event:
    status = _STATUSES[trial.state]
    return {
        "event": "end",
        "arm": suggestion.arm.name,
        "number": suggestion.number,
        "status": status,
        "value": trial.value if status == "complete" else None,
        "why": trial.user_attrs.get("why", ""),
    }
