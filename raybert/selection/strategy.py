"""What a selection strategy is: a frozen, registered class whose fields are its keys in the sweep file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import numpy as np

from raybert.config import Section
from raybert.config.tasks import ONE_CLASS, Task
from raybert.lazy import old_names
from raybert.selection.old_words import accept_old_words
from raybert.selection.passes import PassRequest, refresh_signals
from raybert.selection.pool import Pool, Selection
from raybert.training.interface import PassPlan

BudgetKind = Literal["distinct", "per_epoch", "none"]
Schedule = Literal["once", "rounds", "epoch"]
NullInputs = Literal["empty", "mask"]


class Strategy(Section):
    """Base of all strategies. Subclasses are frozen: fields are parameters, class variables are facts.

    A subclass sets `name` and `needs` and implements `choose`; its first docstring line is what `raybert ls strategies`
    prints. When it chooses, what is dropped before it and who chooses after it is not its business (see `compose`).
    """

    in_words: ClassVar[Mapping[str, str]] = {"": "a strategy: its name, or a section with `name`"}
    name: ClassVar[str] = ""
    needs: ClassVar[frozenset[str]] = frozenset()
    budget_kind: ClassVar[BudgetKind] = "distinct"
    schedules: ClassVar[tuple[Schedule, ...]] = ("once",)
    """When it can choose; the first is the default."""
    nested: ClassVar[bool] = False
    """Whether a smaller budget's selection is contained in a larger one's."""
    uses_seed: ClassVar[bool] = True
    """Whether the seed matters beyond ties (given the same signals)."""
    citation: ClassVar[str] = ""
    operations: ClassVar[str] = ""
    """Of one choice, given its signals: k of n examples, with embeddings of d numbers. Empty: not told."""
    copies_of_embeddings: ClassVar[int] = 0
    """Of the pool's embeddings that its own rule holds beside them, in float32."""
    passes_in_training: ClassVar[str] = ""
    """Forward passes over the pool that it asks the model in training for, whatever its signals; empty: none."""
    weakness: ClassVar[str] = ""
    """Where it is known to choose badly, in a line; `raybert ls strategies` prints it."""
    added: ClassVar[frozenset[str]] = frozenset()
    """Parameters that came after trials had finished without them: part of a trial's id only where they are set."""
    tasks: ClassVar[frozenset[Task]] = ONE_CLASS
    """What it is defined for, beside what its signals are: one class per example; others say `raybert.config.tasks`."""
    rule_version: ClassVar[int] = 1
    """Raised when the same parameters and signals choose other examples: what was finished before is trained anew."""

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        accept_old_words(cls)

    def choose(self, pool: Pool, budget: int) -> Selection:
        """Return exactly `budget` distinct positions of the pool, in the order of selection.

        Those in `pool.selected` come first and count. A strategy of budget kind `none` gets the pool size, and takes
        all of it unless it says otherwise.
        """
        if self.budget_kind == "none":
            return Selection(np.arange(len(pool)), np.full(len(pool), np.nan))
        raise NotImplementedError

    def plan_pass(self, request: PassRequest) -> PassPlan:
        """Return what one pass trains on, for the schedule `epoch`.

        By default pass 0 chooses by the pool's own signals and later ones by outputs of the current model.
        """
        pool = request.pool
        if request.number > 0:
            pool = refresh_signals(pool, request.view, self.required_signals())
        selection = self.choose(pool, request.budget)
        return PassPlan(selection.positions, selection.weights)

    @property
    def title(self) -> str:
        """What messages call it."""
        return self.name or type(self).__name__

    def parts(self) -> tuple[Strategy, ...]:
        """Return the strategies among its parameters."""
        values = [getattr(self, name) for name in type(self).model_fields]
        inside = [part for value in values for part in (value if isinstance(value, tuple) else (value,))]
        return tuple(part for part in inside if isinstance(part, Strategy))

    def required_signals(self) -> frozenset[str]:
        """Return the signals that its own rule reads with these parameters; by default `needs`."""
        return frozenset(self.needs)

    def all_tasks(self) -> frozenset[Task]:
        """Return what it and what is composed with it is defined for."""
        return frozenset.intersection(self.tasks, *(part.all_tasks() for part in self.parts()))

    def all_signals(self) -> frozenset[str]:
        """Return the signals that it and what is composed with it read."""
        return self.required_signals()

    def check_columns(self, columns: Mapping[str, np.ndarray]) -> None:
        """Refuse columns of the source that it cannot use, before anything is trained; by default ask its parts.

        Args:
            columns: name -> values of all examples of the source, of those columns that strategies read.

        Raises:
            SelectionError: says of which column, and what is wrong with it.
        """
        for part in self.parts():
            part.check_columns(columns)

    def chooses_in_parts(self, pool_size: int) -> bool:
        """Tell whether its own rule cuts a pool of this size into parts (see `geometry.parts`)."""
        return False

    def comparisons(self, pool_size: int, budget: int, num_classes: int) -> float:
        """Return how many pairs of embeddings its own rule compares at most in a choice; 0: a few for each example.

        Args:
            pool_size: n.
            budget: k, that are chosen.
            num_classes: C.
        """
        return 0.0

    def spends(self) -> BudgetKind:
        """Return what the budget means with these parameters; asked before every pass, it is that of a pass."""
        is_per_pass = self.schedules[0] == "epoch" and self.budget_kind == "distinct"
        return "per_epoch" if is_per_pass else self.budget_kind

    def least_proxies(self) -> int:
        """Return how many proxies it must have to have a say, its parts included."""
        return max((part.least_proxies() for part in self.parts()), default=1)

    def full_passes(self) -> int:
        """Return how many passes take all of the pool before it chooses, for the schedule `epoch`."""
        return 0

    def takes(self, num_examples: int) -> int:
        """Return how many of n examples it trains on where it has no budget: what `budget` says in tables."""
        return num_examples

    def takes_by_rule(self) -> bool:
        """Tell whether it has no budget, and only its choice says how many examples it takes."""
        return False

    def null_inputs(self) -> NullInputs | None:
        """Return which null its proxies must have seen in training (IFD); None: ordinary proxies."""
        return next((null for part in self.parts() if (null := part.null_inputs())), None)


accept_old_words(Strategy)
__getattr__ = old_names(
    __name__,
    {
        "EpochRequest": "raybert.selection.passes:PassRequest",
        "Filter": "raybert.selection.filter:Filter",
        "Kept": "raybert.selection.filter:Kept",
    },
)
