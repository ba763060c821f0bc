"""What a new driver makes of the log and the studies that an earlier one left behind."""

from __future__ import annotations

from optuna.trial import FrozenTrial

from raybert.errors import SweepError
from raybert.sweeping.plan.arms import Arm
from raybert.sweeping.search.log import Event
from raybert.sweeping.search.search_state import SearchState
from raybert.sweeping.search.study import STATUSES, distributions, sampler_state
from raybert.sweeping.search.suggestion import CONTINUE, Suggestion


def reconcile(search: SearchState) -> None:
    """Bring log, studies and early stopping of a search to one state, and queue what an earlier driver began.

    The log is written first, so it knows most: rungs are replayed from it, and the studies are made to say what it
    says. Where it was damaged or deleted, what the studies know of it is written into it again.

    Raises:
        SweepError: a line of the log is damaged, or a strategy that was searched has another rule since.
    """
    _replay(search, search.log.read())
    for arm in search.arms:
        study = search.studies[arm.name]
        trials = study.trials()
        _check_rule(search, arm, trials)
        unpublished = _unpublished(search, arm, trials)
        for number in study.waiting_retries():
            search.record({"event": "retry", "arm": arm.name, "number": number})
        for trial in trials:
            _recover(search, arm, trial)
        study.rebuild([search.suggestions[arm.name, number] for number in range(search.count(arm))])
        for suggestion in unpublished:
            search.tidy(suggestion)
    begun = [suggestion for suggestion in search.suggestions.values() if suggestion.status is None]
    for suggestion in begun:
        search.settle(suggestion)
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


def _check_rule(search: SearchState, arm: Arm, trials: list[FrozenTrial]) -> None:
    """Refuse to mix values of an earlier version of a strategy's rule with those of today's.

    Raises:
        SweepError: finished suggestions of the arm had runs of other ids.
    """
    for trial in trials:
        suggestion = search.suggestions.get((arm.name, trial.number))
        ran = trial.user_attrs.get("runs")
        if suggestion is not None and ran and {*ran} != {spec.trial_id for spec in suggestion.runs}:
            raise SweepError(
                f"{search.folder.path}: '{arm.name}' was searched by an earlier version of its rule, whose values must "
                "not be mixed with today's; leave it out of sweep.strategies, or give `output` a new folder"
            )


def _unpublished(search: SearchState, arm: Arm, trials: list[FrozenTrial]) -> list[Suggestion]:
    """Return the suggestions whose end the log knows and the study does not: their folders may not know it either."""
    finished = {trial.number for trial in trials if trial.state.is_finished()}
    mine = [one for (name, _), one in search.suggestions.items() if name == arm.name]
    return [one for one in mine if one.status is not None and one.number not in finished]


def _recover(search: SearchState, arm: Arm, trial: FrozenTrial) -> None:
    """Write into the log what the study alone knows of a suggestion."""
    suggestion = search.suggestions.get((arm.name, trial.number))
    if suggestion is None:
        if trial.number != search.count(arm) or not _is_whole(arm, trial):
            return  # torn as it was made: it is made again, with the same values
        suggestion = search.begin(
            arm, trial.number, dict(trial.params), trial.user_attrs.get("retry_of"), sampler_state(trial)
        )
        if trial.state.is_finished():
            _recover_values(search, suggestion, trial)
    if suggestion.status is None and trial.state.is_finished():
        search.record(_end_of(suggestion, trial))


def _is_whole(arm: Arm, trial: FrozenTrial) -> bool:
    try:
        distributions(arm, trial.params)
    except ValueError:
        return False
    return True


def _recover_values(search: SearchState, suggestion: Suggestion, trial: FrozenTrial) -> None:
    """Write the evaluations of the first seed into the log, and the best value of every seed."""
    arm, number = suggestion.arm, suggestion.number
    for evaluation, (seen, value) in enumerate(sorted(trial.intermediate_values.items()), start=1):
        search.stoppers[arm.name].report(number, seen, value)
        event = {"event": "report", "arm": arm.name, "number": number, "seed": arm.seeds[0], "evaluation": evaluation}
        search.record({**event, "examples_seen": seen, "value": value, "decision": CONTINUE})
    values = dict(zip(trial.user_attrs.get("seeds", ()), trial.user_attrs.get("values", ()), strict=False))
    for seed, value in values.items():
        suggestion.best[seed] = value
        run = {"event": "run", "arm": arm.name, "number": number, "seed": seed, "status": "complete"}
        search.record({**run, "value": value, "decision": CONTINUE})


def _end_of(suggestion: Suggestion, trial: FrozenTrial) -> Event:
    status = STATUSES[trial.state]
    return {
        "event": "end",
        "arm": suggestion.arm.name,
        "number": suggestion.number,
        "status": status,
        "value": trial.value if status == "complete" else None,
        "why": trial.user_attrs.get("why", ""),
    }
