"""The section `sweep.tune`: the search for each strategy's best hyperparameters."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from raybert.config.metrics import MetricName, sign_of, words_of_lower
from raybert.config.section import Section
from raybert.config.train import LengthConfig
from raybert.passwords import keep_password

Number = int | float
Mode = Literal["max", "min"]

FIRST_TUNING_SEED = 1000
"""Tuning seeds count from here: what was tuned on a seed must not be compared on it."""


class DomainConfig(Section):
    """The values of one key of the search space: a range (`low`, `high`), or a `choice`."""

    stands_for: ClassVar[str] = "choice"
    in_words: ClassVar[Mapping[str, str]] = {"": "a range ({low: ..., high: ...}) or a list of choices"}

    low: Number | None = Field(None, description="least value")
    high: Number | None = Field(None, description="greatest value, included")
    log: bool = Field(False, description="draw evenly on a logarithmic scale")
    step: Number | None = Field(None, gt=0, description="distance of two values, counted from `low`")
    int: bool | None = Field(None, description="whole numbers only; default: if the key itself takes only those")
    choice: tuple[Any, ...] | None = Field(None, description="the values themselves, of any kind")
    when: dict[str, tuple[Any, ...]] = Field(
        default_factory=dict,
        description="other key of the space -> value or values: this key is searched only where the other has them",
    )

    @field_validator("when", mode="before")
    @classmethod
    def _one_value_is_a_list(cls, when: Any) -> Any:
        if isinstance(when, dict):
            return {key: value if isinstance(value, (list, tuple)) else (value,) for key, value in when.items()}
        return when

    @model_validator(mode="after")
    def _range_or_choice(self) -> DomainConfig:
        if self.choice is not None:
            if {"low", "high", "step", "log", "int"} & {key for key, value in self if value not in (None, False)}:
                raise ValueError("must have `choice` alone, or `low` and `high`")
            if not self.choice or len({repr(value) for value in self.choice}) < len(self.choice):
                raise ValueError("choice: must hold distinct values, at least one")
            return self
        if self.low is None or self.high is None:
            raise ValueError("must have `low` and `high`, or `choice`")
        self._check_range(self.low, self.high)
        return self

    def _check_range(self, low: Number, high: Number) -> None:
        if low > high:
            raise ValueError(f"low: must be <= high, got {low} and {high}")
        if self.log and low <= 0:
            raise ValueError(f"low: must be > 0 with `log: true`, got {low}")
        if self.step is None:
            return
        if self.log:
            raise ValueError("step: must be left out with `log: true`")
        steps = (high - low) / self.step
        if not math.isclose(steps, round(steps), abs_tol=1e-9):
            raise ValueError(f"step: must lead from low to high in whole steps, got {self.step}")


class AshaConfig(Section):
    """Asynchronous successive halving: of those that have come as far, the worst are not finished."""

    reduction_factor: float = Field(3.0, gt=1, description="one in so many goes on from rung to rung")
    grace_fraction: float = Field(
        0.25, gt=0, le=1, description="share of a whole run's examples that each run sees before it can be stopped"
    )


class TuneLengthConfig(Section):
    """How long a run of the search is, where it is not as long as a trial; its schedule is that of a run so long."""

    fraction: float | None = Field(None, gt=0, lt=1, description="share of a trial's steps (or passes)")
    epochs: float | None = Field(None, gt=0, description="passes over the budget; `min_steps` does not hold for them")
    steps: int | None = Field(None, gt=0, description="T itself")

    @model_validator(mode="after")
    def _one_of_them(self) -> TuneLengthConfig:
        given = [key for key, value in self if value is not None]
        if len(given) != 1:
            raise ValueError(f"must have one of `fraction`, `epochs` and `steps`, got {' and '.join(given) or 'none'}")
        return self

    def of(self, whole: LengthConfig) -> LengthConfig:
        """Return the length of a run of the search, given that of a trial."""
        if self.fraction is None:
            return LengthConfig(epochs=self.epochs, min_steps=0, steps=self.steps)
        if whole.steps is not None:
            return LengthConfig(steps=max(1, round(self.fraction * whole.steps)))
        least = math.ceil(self.fraction * whole.min_steps)
        return LengthConfig(epochs=self.fraction * whole.num_epochs, min_steps=least)

    def __str__(self) -> str:
        if self.fraction is not None:
            return f"{100 * self.fraction:g} % of a trial's length"
        return f"{self.steps:,} steps" if self.steps is not None else f"{self.epochs:g} epochs"


class TuneConfig(Section):
    """An equal search for every strategy, each in a study of its own, before the comparison."""

    in_words: ClassVar[Mapping[str, str]] = {
        "metric": "the name of a metric (docs: reference/metrics), or of one of `train.metrics`",
        "storage": "sqlite, journal, or the URL of a database (such as postgresql://host/name)",
        "space": "a mapping of dotted keys to their values: {low: ..., high: ...}, or a list of choices",
        "points_to_evaluate": "a list of mappings of keys to values",
    }

    suggestions_per_strategy: int = Field(ge=1, description="suggestions for every strategy (and grid point)")
    space: dict[str, DomainConfig] = Field(
        min_length=1,
        description="dotted key of train, model or selection, or `strategies.<label>.<parameter>` -> its values",
    )
    metric: MetricName | None = Field(None, description="validation metric; default: `train.best_metric`")
    mode: Literal["auto", "max", "min"] = Field("auto", description=f"auto: min for {words_of_lower()}, else max")
    seeds_per_suggestion: int = Field(
        1, ge=1, le=1000, description="runs of a suggestion, on seeds that the comparison does not use"
    )
    seed_test: float | None = Field(
        0.05,
        gt=0,
        lt=1,
        description="a suggestion whose seeds so far are worse than the best one's same seeds (paired one-sided t-test "
        "with a p below this) is not finished; null: all are",
    )
    points_to_evaluate: tuple[dict[str, Any], ...] = Field((), description="suggestions to begin with: key -> value")
    sampler: Literal["tpe", "random", "cmaes", "qmc", "gp"] = Field(
        "tpe", description="what suggests; tpe: multivariate"
    )
    startup_suggestions: int = Field(
        10, ge=1, description="random suggestions before the sampler learns (tpe, gp, cmaes)"
    )
    seed: int = Field(0, ge=0, description="of the sampler; the same start-up points for every strategy")
    asha: AshaConfig | None = Field(AshaConfig(), description="early stopping; null: every run is finished")
    shared: bool = Field(
        False,
        description="one study for all strategies, which finds the winner only: cheaper, and unfair to slow learners",
    )
    pool_fraction: float | None = Field(
        None, gt=0, lt=1, description="share of the pool that is tuned on; the comparison has all of it"
    )
    validation: float | None = Field(
        None,
        gt=0,
        lt=1,
        description="share of the validation split that scores suggestions and chooses nothing, cut once, stratified; "
        "the rest chooses each run's best evaluation and stops runs early. Default: all of it does both",
    )
    length: TuneLengthConfig | None = Field(
        None, description="of the runs of the search; default: that of a trial. The comparison trains at full length"
    )
    study_name: str | None = Field(
        None,
        min_length=1,
        description="of the Optuna studies; `{arm}` stands for the strategy and its point of the grid, and must be in "
        "it where there are several studies. Default: `{arm}`, in a database `<name of the sweep>: {arm}`",
    )
    storage: str = Field(
        "sqlite",
        min_length=1,
        pattern=r"^(sqlite|journal|[a-z0-9+]+://.+|\$\{\w+\}.*)$",
        description="of the studies: sqlite (study.db), journal (study.journal), or the URL of a database, in which "
        "`${NAME}` is filled in from the environment and a password is hidden",
    )

    @field_validator("storage")
    @classmethod
    def _without_its_password(cls, storage: str) -> str:
        return keep_password(storage)

    @property
    def in_database(self) -> bool:
        """Whether the studies are in a database, which other sweeps may share, and not in a file of the folder."""
        return self.storage not in ("sqlite", "journal")

    @model_validator(mode="after")
    def _conditions_name_earlier_keys(self) -> TuneConfig:
        earlier: set[str] = set()
        for key, domain in self.space.items():
            for other in domain.when:
                if other not in earlier:
                    raise ValueError(f"space.{key}.when.{other}: must be a key of the space that stands before it")
            earlier.add(key)
        return self

    @model_validator(mode="after")
    def _room_for_the_points(self) -> TuneConfig:
        if len(self.points_to_evaluate) > self.suggestions_per_strategy:
            raise ValueError(
                f"points_to_evaluate: must be at most suggestions_per_strategy ({self.suggestions_per_strategy}), got "
                f"{len(self.points_to_evaluate)}"
            )
        return self

    def metric_name(self, best_metric: MetricName) -> MetricName:
        """Return the validation metric of the search, given `train.best_metric`."""
        return self.metric or best_metric

    def name_of_study(self, arm: str, sweep: str) -> str:
        """Return the name of an arm's study: in a database, which may hold those of other sweeps, behind the sweep's.

        Args:
            arm: its name.
            sweep: name of the sweep.
        """
        if self.study_name is not None:
            return self.study_name.replace("{arm}", arm)
        return f"{sweep}: {arm}" if self.in_database else arm

    def direction(self, best_metric: MetricName) -> Mode:
        """Return which end of the metric is better."""
        if self.mode != "auto":
            return self.mode
        return "min" if sign_of(self.metric_name(best_metric)) < 0 else "max"

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seeds of a suggestion's runs."""
        return tuple(range(FIRST_TUNING_SEED, FIRST_TUNING_SEED + self.seeds_per_suggestion))
