"""The search of all arms: suggests in turn, decides what goes on, and writes down every step before it acts on it."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from raybert.config import TuneConfig
from raybert.errors import SweepError
from raybert.sweeping.driver.progress import SearchCounts
from raybert.sweeping.folder.failure_kinds import is_wanted, kind_in_words
from raybert.sweeping.folder.layout import SweepFolder
from raybert.sweeping.folder.trial_index import add_to_index
from raybert.sweeping.plan.arms import Arm
from raybert.sweeping.plan.search_space import Params
from raybert.sweeping.search.log import DecisionLog, Event
from raybert.sweeping.search.stopping import asha_of, is_clearly_worse
from raybert.sweeping.search.study import ArmStudy
from raybert.sweeping.search.suggestion import CONTINUE, STOP, Suggestion

Outcome = Literal["complete", "pruned", "failed"]


class SearchState:
    """Suggestions of all arms, and what was decided about them.

    The log is the truth. Every method that changes something first writes an event to it, then to the study, then to
    the runs' folders: whatever a kill leaves out is made up for by `resume.reconcile`.

    Args:
        arms: what is searched.
        tune: the settings.
        studies: arm -> its study.
        log: of decisions.
        folder: of the results.
    """

    def __init__(
        self,
        arms: Sequence[Arm],
        tune: TuneConfig,
        studies: Mapping[str, ArmStudy],
        log: DecisionLog,
        folder: SweepFolder,
    ) -> None:
        self.arms, self.tune, self.studies, self.log, self.folder = tuple(arms), tune, studies, log, folder
        self.stoppers = {arm.name: asha_of(tune.asha, arm) for arm in arms}
        self.tallies = {arm.name: SearchCounts(arm.num_suggestions, metric=arm.metric) for arm in arms}
        self.incumbents: dict[str, Suggestion] = {}
        """Arm -> its best complete suggestion, the earlier of two equal ones."""
        self.suggestions: dict[tuple[str, int], Suggestion] = {}
        self.unfinished: list[Suggestion] = []
        """Suggestions that an earlier driver began; they come first."""
        self.blocked: dict[str, str] = {}
        """Arm -> why nothing can be tried in it."""
        self._retries: dict[str, list[int]] = {arm.name: [] for arm in arms}
        """Arm -> failed suggestions that wait to be tried again, in order."""
        self._tried_again: set[tuple[str, int]] = set()
        self._num_suggestions: Counter[str] = Counter()
        self._running: dict[tuple[str, int], Suggestion] = {}

    # Suggesting.

    def next(self) -> Suggestion | None:
        """Return the next suggestion to run; None: none now, because its runs are on their way elsewhere, or at all."""
        for waiting in self.unfinished:
            if not self._is_blocked(waiting):
                self.unfinished.remove(waiting)
                return self._start(waiting)
        if self.unfinished:
            return None
        suggestion = self._ask()
        while suggestion is not None and suggestion.contradiction:
            self.end(suggestion, "failed", suggestion.contradiction)
            suggestion = self._ask()
        if suggestion is None:
            return None
        if self._is_blocked(suggestion):
            self.unfinished.append(suggestion)
            return None
        return self._start(suggestion)

    def _ask(self) -> Suggestion | None:
        """Return a new suggestion of the arm whose turn it is."""
        arm = self._arm_in_turn()
        if arm is None:
            return None
        number = self.count(arm)
        fixed, retry_of = None, None
        if number < len(arm.points):
            fixed = arm.points[number]
        elif self._retries[arm.name]:
            retry_of = self._retries[arm.name][0]
            fixed = self.suggestions[arm.name, retry_of].params
        params, sampler_state = self.studies[arm.name].ask(number, fixed, retry_of)
        return self.begin(arm, number, params, retry_of, sampler_state)

    def count(self, arm: Arm) -> int:
        """Return how many suggestions of an arm were begun, failed ones that were tried again among them."""
        return self._num_suggestions[arm.name]

    def begin(
        self,
        arm: Arm,
        number: int,
        params: Params,
        retry_of: int | None = None,
        sampler_state: Mapping[str, Any] | None = None,
    ) -> Suggestion:
        """Write a new suggestion down."""
        event: Event = {"event": "suggest", "arm": arm.name, "number": number, "params": params}
        if retry_of is not None:
            event["retry_of"] = retry_of
        if sampler_state:
            event["sampler"] = dict(sampler_state)
        self.record(event)
        return self.suggestions[arm.name, number]

    def has_more(self) -> bool:
        """Tell whether a suggestion can still come."""
        return bool(self.unfinished) or self._arm_in_turn() is not None

    def _arm_in_turn(self) -> Arm | None:
        """Return the arm with the fewest suggestions: at any time all have the same number, or one less."""
        open_arms = []
        for arm in self.arms:
            tally = self.tallies[arm.name]
            if arm.name not in self.blocked and (tally.num_begun < arm.num_suggestions or tally.num_retries):
                open_arms.append((tally.num_begun, arm.order, arm))
        return min(open_arms, key=lambda entry: entry[:2])[2] if open_arms else None

    def _is_blocked(self, suggestion: Suggestion) -> bool:
        """Tell whether the same runs are on their way for another suggestion with the same values."""
        mine = {spec.trial_id for spec in suggestion.runs}
        return any(mine & {spec.trial_id for spec in other.runs} for other in self._running.values())

    def _start(self, suggestion: Suggestion) -> Suggestion:
        self._running[suggestion.arm.name, suggestion.number] = suggestion
        add_to_index(self.folder, suggestion.runs)
        return suggestion

    def released(self, suggestion: Suggestion) -> None:
        """Learn that nothing runs for a suggestion any more, whether it has ended or was interrupted."""
        self._running.pop((suggestion.arm.name, suggestion.number), None)

    # Deciding.

    def report(self, suggestion: Suggestion, seed: int, row: Mapping[str, Any]) -> str:
        """Return whether a run goes on after an evaluation; what was decided before is answered from the log."""
        evaluation, arm = int(row["evaluation"]), suggestion.arm
        if suggestion.status is not None:  # workers of their own stop a little later than they are asked to
            return STOP
        known = suggestion.decisions.get((seed, evaluation))
        if known is not None:
            return known
        best = suggestion.better(seed, float(row[f"validation_{arm.metric}"]))
        is_first = seed == suggestion.runs[0].seed
        stops = is_first and self.stoppers[arm.name].report(suggestion.number, int(row["examples_seen"]), best)
        if len(suggestion.runs) == 1 and suggestion.runs[0].position_of(row) >= suggestion.runs[0].total_steps:
            stops = False  # it is finished: stopping would save nothing
        event: Event = {
            "event": "report",
            "arm": arm.name,
            "number": suggestion.number,
            "seed": seed,
            "evaluation": evaluation,
            "examples_seen": int(row["examples_seen"]),
            "value": best if math.isfinite(best) else None,
            "seconds": float(row["seconds"]),
            "decision": STOP if stops else CONTINUE,
        }
        if stops:
            event["why"] = f"below ASHA's cutoff at {row['examples_seen']} examples"
        self.record(event)
        if is_first:
            self.studies[arm.name].report(suggestion.number, event["examples_seen"], best)
        if stops:
            self.end(suggestion, "pruned", suggestion.stopped)
        return str(event["decision"])

    def end_run(self, suggestion: Suggestion, seed: int, status: str) -> str:
        """Learn that the run of a seed is complete or has failed; return whether the next one is wanted.

        Raises:
            SweepError: it failed for want of room on the disk, which says nothing of what was suggested.
        """
        if suggestion.status is not None:
            return STOP
        if status == "failed":
            self._check_room(suggestion)
        if seed not in suggestion.ended_runs:
            value = self._value_of_run(suggestion, seed, status)
            event: Event = {
                "event": "run",
                "arm": suggestion.arm.name,
                "number": suggestion.number,
                "seed": seed,
                "status": status,
                "value": value if math.isfinite(value) else None,
                "decision": CONTINUE,
            }
            if status == "complete" and self._is_worse(suggestion, {**suggestion.values(), seed: value}):
                event |= {"decision": STOP, "why": "clearly worse than the best suggestion on the same seeds"}
            self.record(event)
        return self.settle(suggestion)

    def _value_of_run(self, suggestion: Suggestion, seed: int, status: str) -> float:
        """Return by what a run that has ended counts: its best value, or what it scored on examples kept for that."""
        if self.tune.validation is None or status != "complete":
            return suggestion.best.get(seed, math.nan)
        run = next(spec for spec in suggestion.runs if spec.seed == seed)
        value = self.folder.trial(run.trial_id).result().get("suggestion_value")
        return math.nan if value is None else float(value)

    def _check_room(self, suggestion: Suggestion) -> None:
        """Leave a suggestion unfinished whose run failed because the disk is full: its failure is none of its values.

        Raises:
            SweepError: so it did.
        """
        run = self.folder.trial(suggestion.current_run.trial_id)
        failure = run.failure()
        if failure.kind != "disk":
            return
        run.forget_failure()  # `attempts.jsonl` has it
        raise SweepError(
            f"{self.folder.path}: the disk is full ({suggestion.name}: {failure.message}); make room, and run the "
            "sweep again: the search goes on where it was"
        )

    def settle(self, suggestion: Suggestion) -> str:
        """End a suggestion if what is known of it says so; return whether it goes on."""
        if suggestion.status is not None:
            return STOP
        failed = [seed for seed, status in suggestion.ended_runs.items() if status == "failed"]
        if suggestion.contradiction:
            self.end(suggestion, "failed", suggestion.contradiction)
        elif suggestion.stopped:
            self.end(suggestion, "pruned", suggestion.stopped)
        elif failed:
            run = next(spec for spec in suggestion.runs if spec.seed == failed[0])
            self.end(suggestion, "failed", self.folder.trial(run.trial_id).failure().message)
        elif suggestion.is_finished and not math.isfinite(suggestion.mean):
            self.end(suggestion, "failed", f"the validation {suggestion.arm.metric} is not a number")
        elif suggestion.is_finished:
            self.end(suggestion, "complete", "")
        return CONTINUE if suggestion.status is None else STOP

    def _is_worse(self, suggestion: Suggestion, values: Mapping[int, float]) -> bool:
        alpha = self.tune.seed_test
        best = self.incumbents.get(suggestion.arm.name)
        if alpha is None or best is None or len(values) == len(suggestion.runs):
            return False
        return is_clearly_worse(values, best.values(), suggestion.arm.sign, alpha)

    def end(self, suggestion: Suggestion, status: Outcome, why: str) -> None:
        """Write down how a suggestion ended, and free the disk of its models."""
        event: Event = {
            "event": "end",
            "arm": suggestion.arm.name,
            "number": suggestion.number,
            "status": status,
            "value": suggestion.mean if status == "complete" else None,
            "why": why,
        }
        self.record(event)
        self.publish_end(suggestion)

    def publish_end(self, suggestion: Suggestion) -> None:
        """Bring folders and study to what the log says of an ended suggestion."""
        self.tidy(suggestion)
        self.studies[suggestion.arm.name].finish(suggestion)

    def tidy(self, suggestion: Suggestion) -> None:
        """Bring the folders of an ended suggestion to what the log says of it; once more changes nothing."""
        if suggestion.status == "pruned":
            self.folder.trial(suggestion.current_run.trial_id).prune(suggestion.why)
        self.remove_models(suggestion)

    def remove_models(self, suggestion: Suggestion) -> None:
        """Delete checkpoints: the comparison trains anew."""
        for spec in suggestion.runs:
            self.folder.trial(spec.trial_id).remove_models()

    def record(self, event: Event) -> None:
        """Write an event down, then take it in."""
        self.log.append(event)
        self.learn(event)

    def learn(self, event: Event) -> None:
        """Take in an event that is in the log."""
        key = event["arm"], event["number"]
        tally = self.tallies[event["arm"]]
        if event["event"] == "retry":
            self._queue_again(*key)
            return
        if event["event"] == "suggest":
            self._learn_suggestion(event)
            return
        suggestion = self.suggestions[key]
        suggestion.learn(event)
        if event["event"] != "end":
            return
        tally.counts["running"] -= 1
        tally.counts[event["status"]] += 1
        if event["status"] == "complete":
            known = self.incumbents.get(event["arm"])
            found = [one for one in (known, suggestion) if one is not None]
            best = min(found, key=lambda one: (-one.arm.sign * (one.value or 0.0), one.number))
            self.incumbents[event["arm"]], tally.best = best, best.value

    def _learn_suggestion(self, event: Event) -> None:
        arm = next(arm for arm in self.arms if arm.name == event["arm"])
        retry_of = event.get("retry_of")
        if retry_of is not None:
            self._queue_again(arm.name, retry_of)  # logs of raybert 0.1 do not say so before
            self._retries[arm.name].remove(retry_of)
            self.tallies[arm.name].num_retries -= 1
        found = Suggestion(arm, event["number"], event["params"], retry_of, event.get("sampler", {}))
        self.suggestions[arm.name, found.number] = found
        self._num_suggestions[arm.name] += 1
        self.tallies[arm.name].counts["running"] += 1

    def _queue_again(self, arm: str, number: int) -> None:
        """Count a failed suggestion no more, because it waits to be tried again."""
        if (arm, number) not in self._tried_again:
            self._tried_again.add((arm, number))
            self._retries[arm].append(number)
            self.tallies[arm].counts["failed"] -= 1
            self.tallies[arm].num_retries += 1

    # Looking.

    def failed(self) -> list[Suggestion]:
        """Return the failed suggestions that were not tried again."""
        failed = [one for one in self.suggestions.values() if one.status == "failed"]
        return [one for one in failed if (one.arm.name, one.number) not in self._tried_again]

    def best(self) -> dict[str, Params]:
        """Return the best values of every arm with a complete suggestion."""
        found = {arm.name: self.incumbents.get(arm.name) for arm in self.arms}
        return {name: dict(one.params) for name, one in found.items() if one is not None}

    def retry_failed(self, retry: str = "failed") -> int:
        """Queue failed suggestions again, each once, as new ones with the same values; return how many.

        Args:
            retry: the value of `--retry`: `failed`, `all`, or a kind of failure.
        """
        queued = 0
        for suggestion in list(self.suggestions.values()):
            if suggestion.status != "failed" or not self._is_wanted(suggestion, retry):
                continue
            if (suggestion.arm.name, suggestion.number) not in self._tried_again:
                self.record({"event": "retry", "arm": suggestion.arm.name, "number": suggestion.number})
                queued += 1
            for spec in suggestion.runs:
                self.folder.trial(spec.trial_id).forget_failure()
        return queued

    def _is_wanted(self, suggestion: Suggestion, retry: str) -> bool:
        runs = [self.folder.trial(spec.trial_id) for spec in suggestion.runs]
        kinds = [run.failure().kind for run in runs if run.status() == "failed"]
        # Of a run whose failure could not be recorded, because the disk was full, the log has the words.
        return any(is_wanted(kind, retry) for kind in kinds or (kind_in_words(suggestion.why),))
