"""The Optuna studies of a search: where they are kept, what an arm writes into its own, and the best of each."""

from __future__ import annotations

import math
import sqlite3
import warnings
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import optuna
import sqlalchemy
from optuna.distributions import BaseDistribution
from optuna.samplers import RandomSampler
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend
from optuna.study import Study
from optuna.trial import FrozenTrial, Trial, TrialState
from ray.tune.search.optuna import OptunaSearch

from raybert.config import RaybertConfig, TuneConfig, load_stored_config
from raybert.errors import SweepError
from raybert.sweeping.plan.arms import Arm
from raybert.sweeping.plan.search_space import Params
from raybert.sweeping.search.samplers import make_sampler

STUDY_FILE, JOURNAL_FILE = "study.db", "study.journal"
_LOCK_SECONDS = 60
"""How long a write waits for readers of the SQLite file, such as a dashboard that polls."""
_METRIC = "value"


@contextmanager
def open_storage(tune: TuneConfig, folder: Path) -> Iterator[BaseStorage]:
    """Open what holds the studies of a results folder, for the length of a `with` block.

    Raises:
        SweepError: the file is no database, or no database answers at the URL.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        storage = _make_storage(tune, folder)
    except (sqlalchemy.exc.SQLAlchemyError, sqlite3.Error, OSError, RuntimeError, ImportError, ValueError) as error:
        files = {"sqlite": folder / STUDY_FILE, "journal": folder / JOURNAL_FILE}
        where = files.get(tune.storage, tune.storage)
        remedy = "delete it: it is then written anew from decisions.jsonl" if where != tune.storage else "is it up?"
        raise SweepError(
            f"{where}: cannot be opened as a database of studies ({type(error).__name__}); {remedy}"
        ) from error
    try:
        yield storage
    finally:
        if isinstance(storage, RDBStorage):
            storage.engine.dispose()


def _make_storage(tune: TuneConfig, folder: Path) -> BaseStorage:
    if tune.storage == "journal":
        _cut_torn_line(folder / JOURNAL_FILE)
        return JournalStorage(JournalFileBackend(str(folder / JOURNAL_FILE)))  # reads all of it
    storage = RDBStorage(tune.storage) if tune.storage != "sqlite" else _open_sqlite(folder / STUDY_FILE)
    storage.get_all_studies()  # a damaged file shows here
    return storage


def _cut_torn_line(path: Path) -> None:
    """Cut off what a power cut has left of a last line: the log of decisions has it, and Optuna could not read on."""
    content = path.read_bytes() if path.exists() else b""
    whole, newline, torn = content.rpartition(b"\n")
    if torn:
        with path.open("r+b") as file:
            file.truncate(len(whole) + len(newline))


def _open_sqlite(path: Path) -> RDBStorage:
    """Open the file of the studies with a write-ahead log: readers never wait, and a commit costs no sync.

    A power cut may take the last commits away, but the log of decisions has them (measured: 0.3 ms a commit in place
    of 17 ms).
    """
    if not path.exists():  # what belongs to a file that was deleted would spoil a new one
        for leftover in ("-wal", "-shm"):
            path.with_name(path.name + leftover).unlink(missing_ok=True)
    with closing(sqlite3.connect(path, timeout=_LOCK_SECONDS)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
    url = sqlalchemy.URL.create("sqlite", database=str(path)).render_as_string(hide_password=False)
    storage = RDBStorage(url, engine_kwargs={"connect_args": {"timeout": _LOCK_SECONDS}})
    sqlalchemy.event.listen(storage.engine, "connect", lambda found, _: found.execute("PRAGMA synchronous=NORMAL"))
    storage.engine.dispose()
    return storage


def study_name(config: RaybertConfig, arm_name: str) -> str:
    """Return the name of an arm's study: that of the arm; in a database of many sweeps, behind the sweep's."""
    assert config.sweep.tune is not None
    return f"{config.name}: {arm_name}" if "://" in config.sweep.tune.storage else arm_name


class ArmStudy(OptunaSearch):
    """Ray's OptunaSearch of one arm, made so that a new driver can go on with it exactly.

    What it adds: a sampler that is made anew for every suggestion, suggestions that an earlier driver began, the
    number of examples seen as Optuna's step, PRUNED for what was stopped, and the mean of best values, not the last
    one, for what is complete.
    """

    def __init__(self, arm: Arm, tune: TuneConfig, storage: BaseStorage, name: str) -> None:
        super().__init__(
            space=arm.space.sample,
            metric=_METRIC,
            mode=arm.mode,
            storage=storage,
            study_name=name,
            sampler=RandomSampler(seed=tune.seed),
        )
        self.arm, self._tune = arm, tune
        study = self.study
        facts = {"strategy": arm.strategy, "grid": arm.grid, "metric": arm.metric, "order": arm.order, "arm": arm.name}
        for key, value in facts.items():
            study.set_user_attr(key, value)

    @property
    def study(self) -> Study:
        """The study itself."""
        study: Study = self._ot_study
        return study

    def trials(self) -> list[FrozenTrial]:
        """Return all suggestions by number, those that only wait to be made left out."""
        found = self.study.get_trials(deepcopy=False)
        return [trial for trial in found if trial.state != TrialState.WAITING]

    def tried_again(self) -> set[int]:
        """Return the numbers of failed suggestions that have been queued again."""
        found = self.study.get_trials(deepcopy=False)
        return {trial.user_attrs["retry_of"] for trial in found if "retry_of" in trial.user_attrs}

    def num_retries_waiting(self) -> int:
        """Return how many failed suggestions wait to be tried again."""
        found = self.study.get_trials(deepcopy=False, states=(TrialState.WAITING,))
        return sum("retry_of" in trial.user_attrs for trial in found)

    def queue_points(self) -> None:
        """Queue the points to evaluate, which are the first suggestions, as far as they are not there."""
        for point in self.arm.points[len(self.study.get_trials(deepcopy=False)) :]:
            self.study.enqueue_trial(point)

    def ask(self) -> tuple[int, Params, int | None]:
        """Make the next suggestion; return its number, its values, and which failed one it tries again, if any."""
        trials = self.study.get_trials(deepcopy=False)
        waiting = next((trial for trial in trials if trial.state == TrialState.WAITING), None)
        number = len(trials) if waiting is None else waiting.number
        return number, self._sample(number), None if waiting is None else waiting.user_attrs.get("retry_of")

    def attach(self, number: int) -> Params:
        """Take a suggestion of an earlier driver over; values that a kill prevented are sampled now.

        Raises:
            KeyError: the study has no such suggestion.
        """
        trial_id = next(trial._trial_id for trial in self.trials() if trial.number == number)
        self._ot_trials[_key(number)] = Trial(self.study, trial_id)
        return self._sample(number)

    def _sample(self, number: int) -> Params:
        self.study.sampler = make_sampler(self._tune, number, has_conditions=self.arm.space.has_conditions)
        with warnings.catch_warnings():  # about samplers that take longer than a second
            warnings.filterwarnings("ignore", "Define-by-run function", UserWarning)
            self.suggest(_key(number))
        trial: Trial = self._ot_trials[_key(number)]
        assert trial.number == number
        return dict(trial.params)

    def report(self, number: int, examples_seen: int, value: float) -> None:
        """Write an intermediate value that the study does not have yet; NaN is left out."""
        trial = self._trial(number)
        known = self.study._storage.get_trial(trial._trial_id).intermediate_values
        if math.isfinite(value) and examples_seen not in known:
            trial.report(value, examples_seen)

    def finish(self, number: int, status: str, value: float | None, attrs: Mapping[str, Any]) -> None:
        """Write how a suggestion ended that is on its way.

        Args:
            number: of the suggestion.
            status: `complete`, `pruned` or `failed`.
            value: of a complete one, finite.
            attrs: what else is known.

        Raises:
            SweepError: the database did not take it.
        """
        trial = self._trial(number)
        for key, entry in attrs.items():
            trial.set_user_attr(key, entry)
        result = {_METRIC: value} if status == "complete" else None
        self.on_trial_complete(_key(number), result, error=status == "failed")
        if not self.study._storage.get_trial(trial._trial_id).state.is_finished():  # OptunaSearch only logs an error
            raise SweepError(f"study '{self.study.study_name}': suggestion {number} could not be written; run it again")

    def try_again(self, number: int) -> bool:
        """Queue the values of a failed suggestion anew, unless that was done; return whether it was."""
        if number in self.tried_again():
            return False
        params = self.study.get_trials(deepcopy=False)[number].params
        self.study.enqueue_trial(params, user_attrs={"retry_of": number})
        return True

    def begin_waiting(self, number: int, params: Params, distributions: Mapping[str, BaseDistribution]) -> bool:
        """Begin a suggestion with known values if it waits in the study, which lost that it began; return whether."""
        storage = self.study._storage
        found = self.study.get_trials(deepcopy=False, states=(TrialState.WAITING,))
        trial_id = next((trial._trial_id for trial in found if trial.number == number), None)
        if trial_id is None:
            return False
        storage.set_trial_state_values(trial_id, TrialState.RUNNING)
        for key, distribution in distributions.items():
            storage.set_trial_param(trial_id, key, distribution.to_internal_repr(params[key]), distribution)
        return True

    def add(self, trial: FrozenTrial) -> None:
        """Add a suggestion that the study has lost."""
        self.study.add_trial(trial)

    def _trial(self, number: int) -> Trial:
        if _key(number) not in self._ot_trials:
            self.attach(number)
        found: Trial = self._ot_trials[_key(number)]
        return found


def _key(number: int) -> str:
    """Return what OptunaSearch calls a suggestion."""
    return str(number)


def load_studies(folder: Path) -> dict[str, Study]:
    """Return the studies of a results folder by arm, in the order of the arms; none: no search was begun.

    Raises:
        SweepError: they cannot be opened.
    """
    config = load_stored_config(folder / "resolved.yaml")
    tune = config.sweep.tune
    if tune is None or (tune.storage == "sqlite" and not (folder / STUDY_FILE).exists()):
        return {}
    with open_storage(tune, folder) as storage:
        names = optuna.get_all_study_names(storage)
        studies = [optuna.load_study(study_name=name, storage=storage) for name in names]
    own = [study for study in studies if study.study_name == study_name(config, study.user_attrs.get("arm", ""))]
    return {study.user_attrs["arm"]: study for study in sorted(own, key=lambda study: study.user_attrs["order"])}


def best_trial(study: Study) -> FrozenTrial | None:
    """Return the complete suggestion with the best mean value, the earlier of two equal ones; None: there is none."""
    complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    sign = -1.0 if study.direction == optuna.study.StudyDirection.MAXIMIZE else 1.0
    return min(complete, key=lambda trial: (sign * float(trial.value or 0.0), trial.number), default=None)


def best_params(folder: Path) -> dict[str, Params]:
    """Return the best values found so far for every arm of a results folder that has a complete suggestion.

    Values are as in the study: a choice that is no plain value (a list) is written as JSON.

    Raises:
        SweepError: the studies cannot be opened.
    """
    found = {arm: best_trial(study) for arm, study in load_studies(folder).items()}
    return {arm: dict(trial.params) for arm, trial in found.items() if trial is not None}
