"""The Optuna study of an arm: a mirror of the log of decisions, which samplers learn from and dashboards show."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import optuna
import sqlalchemy
from optuna.samplers import RandomSampler
from optuna.storages import BaseStorage
from optuna.study import Study, StudyDirection
from optuna.trial import FixedTrial, FrozenTrial, Trial, TrialState, create_trial

from raybert.config import TuneConfig
from raybert.errors import SweepError
from raybert.sweeping.plan.arms import Arm
from raybert.sweeping.plan.search_space import Params
from raybert.sweeping.search.kept_optimizers import check_optimizers
from raybert.sweeping.search.samplers import make_sampler
from raybert.sweeping.search.storage import why_not_stored
from raybert.sweeping.search.suggestion import Suggestion

_STATES = {"complete": TrialState.COMPLETE, "pruned": TrialState.PRUNED, "failed": TrialState.FAIL}
STATUSES = {state: status for status, state in _STATES.items()}
"""How a suggestion ended, in Optuna's words and in ours."""
_FIXED = "fixed_params"
"""System attribute in which Optuna notes queued values."""


class ArmStudy:
    """What an arm writes into its study. Only Optuna's ask, tell and add_trial write.

    A sampler is made anew for every suggestion, so that a new driver goes on as the one before it would have. Optuna
    lets nobody take a trial over that another process has begun: where such are left, `rebuild` writes the study anew.

    Args:
        arm: whose study it is.
        tune: the settings.
        storage: where the study is kept.
        name: of the study.
    """

    def __init__(self, arm: Arm, tune: TuneConfig, storage: BaseStorage, name: str) -> None:
        self.arm, self._tune, self._storage, self._name = arm, tune, storage, name
        self._begun: dict[int, Trial] = {}
        self._checked: set[str] = set()
        self.study = self._open()

    def _open(self) -> Study:
        direction = StudyDirection.MAXIMIZE if self.arm.mode == "max" else StudyDirection.MINIMIZE
        arm = self.arm
        facts = {"strategy": arm.strategy, "grid": arm.grid, "metric": arm.metric, "order": arm.order, "arm": arm.name}
        with self._using("could not be opened"):
            study = optuna.create_study(
                storage=self._storage, study_name=self._name, direction=direction, load_if_exists=True
            )
            for key, value in facts.items():
                study.set_user_attr(key, value)
        return study

    def trials(self) -> list[FrozenTrial]:
        """Return all suggestions by number, those of raybert 0.1 left out that only wait to be made."""
        return [trial for trial in self._all() if trial.state != TrialState.WAITING]

    def waiting_retries(self) -> list[int]:
        """Return the numbers of failed suggestions that raybert 0.1 has queued again in the study alone."""
        waiting = [trial for trial in self._all() if trial.state == TrialState.WAITING]
        return [trial.user_attrs["retry_of"] for trial in waiting if "retry_of" in trial.user_attrs]

    def _all(self) -> list[FrozenTrial]:
        with self._using("could not be read"):
            return self.study.get_trials(deepcopy=False)

    def ask(self, number: int, fixed: Params | None, retry_of: int | None) -> tuple[Params, dict[str, Any]]:
        """Make the next suggestion; return its values, and what the sampler must know of it later (CMA-ES).

        Args:
            number: that it must get.
            fixed: values that are given; None: the sampler gives all.
            retry_of: number of the failed suggestion that it tries again.

        Raises:
            SweepError: another process writes into the study, the database did not take it, or what it keeps of
                CMA-ES is no numbers.
        """
        check_optimizers(self._all(), f"study '{self._name}'", self._checked)
        self.study.sampler = make_sampler(self._tune, number, has_conditions=self.arm.space.has_conditions)
        trial = self._begin(number, fixed, retry_of)
        return dict(trial.params), sampler_state(self._all()[number])

    def _begin(self, number: int, fixed: Params | None, retry_of: int | None) -> Trial:
        with self._writing(number):
            if fixed is not None:
                self.study.enqueue_trial(fixed, user_attrs={} if retry_of is None else {"retry_of": retry_of})
            trial = self.study.ask()
            self._begun[number] = trial
            if trial.number == number:
                self.arm.space.sample(trial)
                return trial
        raise SweepError(
            f"study '{self._name}': must be written by this sweep alone, but suggestion {number} is number "
            f"{trial.number} there; stop what else writes into it and run the sweep again"
        )

    def report(self, number: int, examples_seen: int, value: float) -> None:
        """Write an intermediate value; NaN is left out."""
        if math.isfinite(value):
            with self._writing(number):
                self._begun[number].report(value, examples_seen)

    def finish(self, suggestion: Suggestion) -> None:
        """Write how a suggestion ended that is on its way.

        Raises:
            SweepError: the database did not take it.
        """
        number, status = suggestion.number, suggestion.status
        assert status is not None
        trial = self._begun.pop(number)
        with self._writing(number):
            for key, entry in suggestion.attributes().items():
                trial.set_user_attr(key, entry)
            value = suggestion.value if status == "complete" else None
            self.study.tell(trial, value, state=_STATES[status])

    def _writing(self, number: int) -> AbstractContextManager[None]:
        return self._using(f"suggestion {number} could not be written")

    @contextmanager
    def _using(self, what: str) -> Iterator[None]:
        """Say in one line that the database does not answer: what is on its way is then continued from the log."""
        try:
            yield
        except (sqlalchemy.exc.SQLAlchemyError, optuna.exceptions.StorageInternalError, OSError) as error:
            unknown = f"{type(error.__cause__ or error).__name__}; run the sweep again"
            raise SweepError(f"study '{self._name}': {what}: {why_not_stored(error) or unknown}") from error

    def rebuild(self, suggestions: Sequence[Suggestion]) -> None:
        """Make the study say what the log says, if it does not; what it knows besides (of CMA-ES) is kept.

        Args:
            suggestions: of the arm, by number from 0 on, without gaps.
        """
        known = self._all()
        if len(known) == len(suggestions) and all(map(_says_the_same, known, suggestions)):
            return
        same = {trial.number: trial for trial, one in zip(known, suggestions, strict=False) if _is_of(trial, one)}
        with self._using("could not be written anew"):
            optuna.delete_study(study_name=self._name, storage=self._storage)
            self._begun.clear()
            self.study = self._open()
            self.study.sampler = RandomSampler()  # all values are given
            for suggestion in suggestions:
                self._add(suggestion, same.get(suggestion.number))

    def _add(self, suggestion: Suggestion, known: FrozenTrial | None) -> None:
        """Add a suggestion of the log at the end of the study."""
        if suggestion.status is None:
            self._begin(suggestion.number, suggestion.params, suggestion.retry_of)
            for seen, value in suggestion.first_curve().items():
                self.report(suggestion.number, seen, value)
            return
        if known is None or not _says_the_same(known, suggestion):
            known = self._made(suggestion, known)
        with self._writing(suggestion.number):
            self.study.add_trial(known)

    def _made(self, suggestion: Suggestion, known: FrozenTrial | None) -> FrozenTrial:
        assert suggestion.status is not None
        values = suggestion.first_curve()
        value = suggestion.value
        if suggestion.status == "pruned" and values:
            value = values[max(values)]  # as `tell` does
        state = suggestion.sampler_state or (sampler_state(known) if known is not None else {})
        again = {} if suggestion.retry_of is None else {"retry_of": suggestion.retry_of}
        return create_trial(
            state=_STATES[suggestion.status],
            value=value,
            params=suggestion.params,
            distributions=distributions(self.arm, suggestion.params),
            user_attrs={**again, **suggestion.attributes()},
            system_attrs=state,
            intermediate_values=values,
        )


def sampler_state(trial: FrozenTrial) -> dict[str, Any]:
    """Return what a sampler has noted with a trial to read it again later, as CMA-ES does; mostly nothing."""
    return {key: value for key, value in trial.system_attrs.items() if key != _FIXED}


def distributions(arm: Arm, params: Params) -> dict[str, Any]:
    """Return the distributions that values were drawn from.

    Raises:
        ValueError: a value is missing.
    """
    trial = FixedTrial(params)
    arm.space.sample(trial)
    return trial.distributions


def _is_of(trial: FrozenTrial, suggestion: Suggestion) -> bool:
    return trial.params == suggestion.params


def _says_the_same(trial: FrozenTrial, suggestion: Suggestion) -> bool:
    """Tell whether the study knows how a suggestion ended, as the log does."""
    if suggestion.status is None or not _is_of(trial, suggestion):
        return False
    is_same_value = suggestion.status != "complete" or trial.value == suggestion.value
    return STATUSES.get(trial.state) == suggestion.status and is_same_value
