"""What a selection strategy is: a frozen, registered class whose fields are its keys in the sweep file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field, SerializeAsAny, model_validator

from raybert.config import Section
from raybert.training.interface import PassPlan, PoolView

BudgetKind = Literal["distinct", "per_epoch", "none"]
Schedule = Literal["once", "rounds", "epoch"]
NullInputs = Literal["empty", "mask"]


@dataclass(frozen=True)
class Pool:
    """The candidates of one selection and what is known about them.

    Attributes:
        labels: (n,) int64 class numbers 0..C-1.
        num_classes: C.
        tie_keys: (n,) uint64, keyed hash of (seed, example_id): breaks ties and orders random draws.
        signals: per-example arrays by name, each of length n: `probs` (n, C), `embeddings` (n, d), ...
        generator: everything else random; seeded from the trial's seed.
        selected: (s,) int64 positions that earlier rounds chose; they stay, and count towards the budget.
        budget_fraction: what share of the whole pool the budget is, where this pool is a part of it or another number
            is asked for (`pre`, `then`); None: what is asked for over the pool's size.
    """

    labels: np.ndarray
    num_classes: int
    tie_keys: np.ndarray
    signals: Mapping[str, np.ndarray]
    generator: np.random.Generator
    selected: np.ndarray = field(default_factory=lambda: np.empty(0, np.int64))
    budget_fraction: float | None = None

    def __len__(self) -> int:
        return len(self.labels)

    def fraction(self, budget: int) -> float:
        """Return the share of the whole pool that a strategy's rules for small and large budgets go by."""
        return budget / len(self) if self.budget_fraction is None else self.budget_fraction

    def subset(self, rows: np.ndarray) -> Pool:
        """Return the pool of some rows; earlier choices that are not among them are left out.

        Args:
            rows: (m,) positions in this pool.
        """
        place = np.full(len(self), -1)
        place[rows] = np.arange(len(rows))
        selected = place[self.selected]
        return replace(
            self,
            labels=self.labels[rows],
            tie_keys=self.tie_keys[rows],
            signals={name: values[rows] for name, values in self.signals.items()},
            selected=selected[selected >= 0],
        )


@dataclass(frozen=True)
class Selection:
    """What a strategy chose.

    Attributes:
        positions: (k,) int64 pool rows, distinct, in the order of selection (best first).
        scores: (k,) float64, the score that each was ranked by (higher = harder); NaN where there is none.
        weights: (k,) float32 loss weights, or None for all 1.
        refilled: how many positions, at the end, were taken back from those that a filter had dropped.
        pool_scores: (n,) the score of every pool example, where the strategy ranks all of them.
        conflicts: (m, 2) pool positions that a filter found to be near-duplicates with different labels.
    """

    positions: np.ndarray
    scores: np.ndarray
    weights: np.ndarray | None = None
    refilled: int = 0
    pool_scores: np.ndarray | None = None
    conflicts: np.ndarray | None = None


class Strategy(Section):
    """Base of all strategies. Subclasses are frozen: fields are parameters, class variables are facts.

    A subclass sets `name`, `needs` and `citation`, and implements `choose`; its first docstring line is what
    `raybert ls strategies` prints.
    """

    name: ClassVar[str] = ""
    needs: ClassVar[frozenset[str]] = frozenset()
    budget_kind: ClassVar[BudgetKind] = "distinct"
    schedules: ClassVar[tuple[Schedule, ...]] = ("once",)
    nested: ClassVar[bool] = False
    """Whether a smaller budget's selection is contained in a larger one's."""
    uses_seed: ClassVar[bool] = True
    """Whether the seed matters beyond ties (given the same signals)."""
    citation: ClassVar[str] = ""

    schedule: Schedule = Field("once", description="when the strategy is asked")
    rounds: int = Field(5, ge=1, description="how often, if the schedule is `rounds`")
    pre: tuple[SerializeAsAny[Strategy], ...] = Field(
        (), description="filters before it: semdedup, label_errors, drop_hardest, or mappings with their parameters"
    )
    then: SerializeAsAny[Strategy] | None = Field(
        None, description="a second strategy that chooses the budget among what this one leaves"
    )
    candidates: float = Field(3.0, ge=1, description="what this one leaves for `then`, in budgets")

    @model_validator(mode="after")
    def _schedule_is_known(self) -> Strategy:
        if self.schedule not in self.schedules:
            raise ValueError(f"schedule: must be one of {', '.join(self.schedules)} for '{self.name}'")
        return self

    @model_validator(mode="after")
    def _nothing_is_ignored(self) -> Strategy:
        given = self.model_fields_set
        if "rounds" in given and self.schedule != "rounds":
            raise ValueError(f"rounds: must be left out without `schedule: rounds`, got {self.rounds}")
        if "candidates" in given and self.then is None:
            raise ValueError(f"candidates: must be left out without `then`, got {self.candidates:g}")
        for i, part in enumerate(self.pre):
            if "then" in part.model_fields_set:
                raise ValueError(f"pre[{i}].then: must be left out, a filter in `pre` only drops; write `then` outside")
        nulls = {null for part in self.parts() if (null := part.null_inputs())} | {self.null_inputs()} - {None}
        if len(nulls) > 1:
            raise ValueError(f"null_input: must be the same in all parts, got {' and '.join(sorted(map(str, nulls)))}")
        return self

    @model_validator(mode="after")
    def _composition_makes_sense(self) -> Strategy:
        for i, part in enumerate(self.pre):
            if not isinstance(part, Filter):
                raise ValueError(
                    f"pre[{i}]: must be a filter (semdedup, label_errors, drop_hardest), got '{part.name}', which "
                    "has no rule for what to drop; to choose in two steps write it first and name the other in `then`"
                )
        if self.schedule == "epoch" and (self.pre or self.then):
            field = "pre" if self.pre else "then"
            raise ValueError(f"{field}: must be left out with the schedule epoch, which decides anew before every pass")
        if self.then is None:
            return self
        if self.spends() != "distinct":
            raise ValueError(f"then: must be left out, '{self.name}' leaves no smaller set to choose from")
        if self.schedule == "rounds" and "rounds" not in self.then.schedules:
            raise ValueError(
                f"then: must be a strategy that keeps what earlier rounds chose, which '{self.then.name}' does not; "
                "leave out `schedule: rounds` or `then`"
            )
        if self.then.spends() != "distinct" or self.then.schedule != "once":
            raise ValueError(f"then: must choose a fixed number of examples once, which '{self.then.name}' does not")
        return self

    def parts(self) -> tuple[Strategy, ...]:
        """Return the strategies inside this one: filters, the one that follows, and those of its own parameters."""
        values = [getattr(self, name) for name in type(self).model_fields]
        return tuple(part for part in (*self.pre, *values) if isinstance(part, Strategy))

    def required_signals(self) -> frozenset[str]:
        """Return the signals that these parameters need, composition apart; by default `needs`."""
        return self.needs

    def all_signals(self) -> frozenset[str]:
        """Return the signals of this strategy, its filters and what follows it."""
        parts = [*self.pre, *([self.then] if self.then else [])]
        return self.required_signals().union(*(part.all_signals() for part in parts))

    def spends(self) -> BudgetKind:
        """Return what the budget means with these parameters; asked before every pass, it is that of a pass."""
        return "per_epoch" if self.schedule == "epoch" and self.budget_kind == "distinct" else self.budget_kind

    def null_inputs(self) -> NullInputs | None:
        """Return which null its proxies must have seen in training (IFD); None: ordinary proxies."""
        return next((null for part in self.parts() if (null := part.null_inputs())), None)

    def choose(self, pool: Pool, budget: int) -> Selection:
        """Return exactly `budget` distinct positions of the pool, in the order of selection.

        Those in `pool.selected` come first and count. A strategy of budget kind `none` gets the pool size.
        """
        raise NotImplementedError

    def plan_pass(self, request: PassRequest) -> PassPlan:
        """Return what one pass trains on, for the schedule `epoch`.

        By default pass 0 chooses by the pool's own signals and later ones by outputs of the current model.
        """
        pool = request.pool
        if request.epoch > 0:
            pool = refresh_signals(pool, request.view, self.required_signals())
        selection = self.choose(pool, request.budget)
        return PassPlan(selection.positions, selection.weights)


@dataclass(frozen=True)
class Kept:
    """What a filter decided.

    Attributes:
        keep: (n,) bool.
        badness: (n,) float, the lowest of the dropped come back first when too few are left.
        conflicts: as in `Selection`.
    """

    keep: np.ndarray
    badness: np.ndarray
    conflicts: np.ndarray | None = None


class Filter(Strategy):
    """Base of strategies that drop examples by a rule, whatever the budget, and let `then` choose among the rest.

    In another strategy's `pre` only the rule is used.
    """

    @model_validator(mode="after")
    def _candidates_are_the_rest(self) -> Filter:
        if "candidates" in self.model_fields_set:
            raise ValueError(f"candidates: must be left out, '{self.name}' leaves all that it does not drop")
        return self

    def keep(self, pool: Pool) -> Kept:
        """Return which examples stay."""
        raise NotImplementedError

    def choose(self, pool: Pool, budget: int) -> Selection:
        """Return the budget in the order of the tie keys, dropped examples last (`then` does better)."""
        kept = self.keep(pool)
        order = np.lexsort((pool.tie_keys, np.where(kept.keep, -np.inf, kept.badness)))
        fresh = order[~np.isin(order, pool.selected)]
        positions = np.concatenate([pool.selected, fresh[: budget - len(pool.selected)]])
        refilled = int((~kept.keep[positions]).sum())
        return Selection(positions, kept.badness[positions], refilled=refilled, pool_scores=kept.badness)


@dataclass(frozen=True)
class PassRequest:
    """What a strategy with the schedule `epoch` is asked before every pass.

    Attributes:
        pool: as before training.
        budget: examples.
        epoch: 0, 1, 2, ...
        previous: plan of the pass before.
        view: the current model and its training losses.
        batch_size: examples per optimizer step.
    """

    pool: Pool
    budget: int
    epoch: int
    previous: PassPlan | None
    view: PoolView
    batch_size: int
    base: Callable[[], Selection]
    """What `of` chose before training, computed once (see `curriculum`)."""


def refresh_signals(
    pool: Pool, view: PoolView, needs: frozenset[str], pooling: Literal["mean", "cls"] | None = None
) -> Pool:
    """Return the pool with outputs of the current model in place of those of proxies, where they are needed.

    Args:
        pool: as before training.
        view: the current model.
        needs: signals that will be read.
        pooling: of the embeddings, where these are a proxy's too; None: those of the frozen encoder, which stay.
    """
    fresh: dict[str, np.ndarray] = {}
    if pooling is not None and "embeddings" in needs:
        fresh["embeddings"] = view.embed(pooling=pooling)
    if "feature_norms" in needs:
        fresh["probs"], features = view.predict_with_features()
        fresh["feature_norms"] = np.linalg.norm(features, axis=1)
    elif "probs" in needs:
        fresh["probs"] = view.predict()
    return replace(pool, signals={**pool.signals, **fresh}) if fresh else pool


def mean_probs(probs: np.ndarray) -> np.ndarray:
    """Return (n, C) probabilities from (n, C) of one model or (n, m, C) of m proxies."""
    return probs if probs.ndim == 2 else probs.mean(axis=1)
