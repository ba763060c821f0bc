"""A contract that every selection strategy keeps, as checks for your own tests.

    import pytest
    from raybert.testing import CHECKS
    from my_module import MyStrategy

    @pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
    def test_my_strategy_keeps_the_contract(check):
        check(MyStrategy())

Each check takes the strategy, and optionally a pool with the signals that it reads (see `make_pool`), and raises
`AssertionError` with what is wrong. Without a pool a column of the data (`column:rating`) is numbers. `check_signal`
does the same for a signal of your own.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from raybert.errors import SelectionError
from raybert.selection import registry
from raybert.selection.choose import check_positions, select_from_pool
from raybert.selection.compose import compose
from raybert.selection.keys import draw_keys, tie_keys
from raybert.selection.pool import Pool, Selection
from raybert.selection.schedule import EveryPassSchedule, RoundSchedule
from raybert.selection.scorers.source import COLUMN
from raybert.selection.signals import columns_read
from raybert.selection.strategy import Strategy
from raybert.selection.text_signal import TextSignal
from raybert.training.interface import PassPlan

Check = Callable[..., None]
_CLASS_SHARES = (0.6, 0.3, 0.07, 0.03)
_LENGTH = 40  # word pieces


def make_pool(num_examples: int = 240, seed: int = 0, tie_seed: int = 0, **signals: Any) -> Pool:
    """Return a pool of four unbalanced classes with plausible random values for every signal, registered ones included.

    Args:
        num_examples: n.
        seed: of the values.
        tie_seed: what a sweep calls the seed: of ties and random draws.
        **signals: arrays of length n that a strategy reads besides, or instead.
    """
    generator = np.random.default_rng(seed)
    classes = len(_CLASS_SHARES)
    labels = np.sort(generator.choice(classes, num_examples, p=_CLASS_SHARES))
    labels[: min(classes, num_examples)] = np.arange(min(classes, num_examples))
    embeddings = generator.normal(size=(num_examples, 8)).astype(np.float32)
    lengths = generator.integers(3, 2 * _LENGTH, num_examples)
    arrays: dict[str, Any] = {
        "probs": generator.dirichlet(np.ones(classes), num_examples).astype(np.float32),
        "null_probs": generator.dirichlet(np.ones(classes), num_examples).astype(np.float32),
        "heldout_probs": generator.dirichlet(np.ones(classes), num_examples).astype(np.float32),
        "dynamics": generator.dirichlet(np.ones(classes), (num_examples, 6)).astype(np.float32),
        "feature_norms": generator.gamma(5.0, size=num_examples).astype(np.float32),
        "irreducible_loss": generator.gamma(1.0, size=num_examples).astype(np.float32),
        "loss": _last_losses(num_examples),
        "embeddings": embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True),
        "perplexity": generator.lognormal(3.0, size=num_examples).astype(np.float32),
        "lexical": np.column_stack([*generator.random((3, num_examples)), lengths]).astype(np.float32),
        "readability": generator.normal(10.0, 4.0, (num_examples, 2)).astype(np.float32),
        "aflite": np.column_stack([generator.integers(0, 8, num_examples), generator.random(num_examples)]).astype(
            np.float32
        ),
        "lengths": lengths,
        "texts": _random_texts(lengths),
        "features": np.random.default_rng([seed, 1]).normal(size=(num_examples, 6)).astype(np.float32),
        "dropout_probs": np.random.default_rng([seed, 2])
        .dirichlet(np.ones(classes), (num_examples, 5))
        .astype(np.float32),
        "tfidf_distance": np.random.default_rng([seed, 3]).gamma(9.0, size=num_examples).astype(np.float32),
        "class_error": np.array([0.1, 0.2, 0.4, 0.3], np.float32)[labels],
        "influence": np.random.default_rng([seed, 4]).normal(size=(num_examples, 2)).astype(np.float32),
        "knn_shapley": np.random.default_rng([seed, 5]).normal(size=num_examples).astype(np.float32),
        "data_oob": np.random.default_rng([seed, 6]).random(num_examples).astype(np.float32),
        f"{COLUMN}score": np.random.default_rng([seed, num_examples]).normal(size=num_examples),
    }
    for name, kind in registry.text_signals.items():
        shape = (num_examples, len(kind.columns)) if kind.columns else (num_examples,)
        arrays[name] = np.random.default_rng([seed, *name.encode()]).normal(size=shape).astype(np.float32)
    arrays |= {name: np.asarray(values) for name, values in signals.items()}  # `**{"column:rating": ...}`
    for values in arrays.values():
        values.flags.writeable = False  # shared between trials: a strategy must not write into them
    ids = np.array([f"example-{i}" for i in range(num_examples)])
    generator = np.random.default_rng(tie_seed)
    return Pool(labels, classes, tie_keys(ids, tie_seed), arrays, generator, draw_keys=draw_keys(ids, tie_seed))


def _random_texts(lengths: np.ndarray) -> np.ndarray:
    """Return (n,) str of so many words, no two alike in pools of a usual size."""
    generator = np.random.default_rng(len(lengths))
    texts = np.empty(len(lengths), object)
    texts[:] = [" ".join(f"word{number}" for number in generator.integers(0, 500, length)) for length in lengths]
    return texts


def _pool_for(strategy: Strategy, pool: Pool | None) -> Pool:
    """Return a pool with the signals that a strategy reads: the given one, or a plausible one."""
    if pool is not None:
        return pool
    made = make_pool()
    columns = [COLUMN + name for name in columns_read(strategy.all_signals())]
    values = {name: np.random.default_rng([*name.encode()]).normal(size=len(made)) for name in columns}
    return replace(made, signals={**made.signals, **values})


def _last_losses(num_examples: int) -> np.ndarray:
    """Return (n,) float32 losses of a run that has seen nine examples in ten."""
    generator = np.random.default_rng(num_examples)
    losses = generator.gamma(1.0, size=num_examples).astype(np.float32)
    return np.where(np.arange(num_examples) % 10 == 9, np.float32(np.nan), losses)


def fresh(pool: Pool) -> Pool:
    """Return the pool with its generator as it was: a selection is a function of the pool, not of what ran before."""
    return replace(pool, generator=np.random.default_rng(0))


def returns_exactly_the_budget(strategy: Strategy, pool: Pool | None = None) -> None:
    """For any budget the positions are distinct, in range and exactly as many; scores and weights fit them."""
    pool = _pool_for(strategy, pool)
    for budget in (1, 2, 37, len(pool) - 1, len(pool)):
        try:
            selection = select_from_pool(strategy, fresh(pool), budget)
        except SelectionError:
            if strategy.takes_by_rule():  # and its rule keeps nothing
                continue
            raise
        count = len(np.unique(selection.positions))
        wanted = _wanted(strategy, pool, budget, count)
        assert count == wanted == len(selection.positions), f"k = {budget}: {wanted} distinct positions"
        assert len(selection.scores) == len(selection.positions), f"k = {budget}: one score per position"
        assert 0 <= selection.refilled <= len(selection.positions), f"k = {budget}: refilled counts positions"
        if selection.weights is not None:
            assert (selection.weights > 0).all(), f"k = {budget}: weights must be positive"


def _wanted(strategy: Strategy, pool: Pool, budget: int, count: int) -> int:
    """Return how many examples a strategy must choose; of one whose rule alone says it what it did choose, if any."""
    if strategy.spends() != "none":
        return budget
    return max(1, count) if strategy.takes_by_rule() else strategy.takes(len(pool))


def gives_the_same_again(strategy: Strategy, pool: Pool | None = None) -> None:
    """The same pool gives the same selection, in the same order."""
    pool = _pool_for(strategy, pool)
    one, other = (_choose(strategy, pool) for _ in range(2))
    assert one.tolist() == other.tolist(), "the same pool must give the same selection"


def depends_on_the_seed_as_declared(strategy: Strategy, pool: Pool | None = None) -> None:
    """Another seed gives another set exactly if `uses_seed` says so (signals without ties)."""
    pool = _pool_for(strategy, pool)
    if strategy.spends() == "none":
        return
    other = make_pool(len(pool), tie_seed=1)
    of_seeds = (replace(pool, tie_keys=keys.tie_keys, draw_keys=keys.draw_keys) for keys in (pool, other))
    one, two = (set(_choose(strategy, seeded).tolist()) for seeded in of_seeds)
    declared = compose(strategy).inner.uses_seed
    assert (one != two) == declared, f"uses_seed is {declared}, but that is not what happens"


def follows_a_permutation(strategy: Strategy, pool: Pool | None = None) -> None:
    """A permuted pool gives the permuted selection: position means nothing."""
    pool = _pool_for(strategy, pool)
    order = np.random.default_rng(9).permutation(len(pool))
    straight, permuted = _choose(strategy, pool), _choose(strategy, pool.subset(order))
    permuted = order[permuted]
    if strategy.spends() == "none":  # a set: nothing was ranked
        straight, permuted = np.sort(straight), np.sort(permuted)
    assert straight.tolist() == permuted.tolist(), "a permuted pool must give the permuted selection"


def nests_as_declared(strategy: Strategy, pool: Pool | None = None) -> None:
    """If `nested`, a larger budget begins with the smaller one's selection."""
    pool = _pool_for(strategy, pool)
    if compose(strategy).inner.nested:
        small, large = (_choose(strategy, pool, budget) for budget in (20, 60))
        assert small.tolist() == large[: len(small)].tolist(), "nested, but the smaller selection is not the beginning"


def survives_ties(strategy: Strategy, pool: Pool | None = None) -> None:
    """Constant signals still give a whole selection, which follows a permutation."""
    pool = _pool_for(strategy, pool)
    flat = {
        name: np.broadcast_to(np.asarray(values[:1]), np.shape(values)).copy() for name, values in pool.signals.items()
    }
    tied = replace(pool, signals=flat)
    returns_exactly_the_budget(strategy, tied)


def says_what_is_not_finite(strategy: Strategy, pool: Pool | None = None) -> None:
    """Signals of NaN or infinity give a valid selection (such examples last) or a SelectionError, nothing else."""
    pool = _pool_for(strategy, pool)
    numbers = [name for name in sorted(strategy.all_signals()) if np.asarray(pool.signals[name]).dtype.kind in "iuf"]
    for name in numbers:
        for value in (np.nan, np.inf):
            damaged = np.array(pool.signals[name], np.float32)
            damaged[::7] = value
            broken = replace(pool, signals={**pool.signals, name: damaged})
            with contextlib.suppress(SelectionError), np.errstate(all="ignore"):
                count = len(_choose(strategy, broken))
                wanted = _wanted(strategy, pool, len(_choose(strategy, pool)), count)
                assert count == wanted, f"`{name}` with {value}: the budget must be met"


def works_for_small_and_lopsided_pools(strategy: Strategy, pool: Pool | None = None) -> None:
    """One class only, a class of one, an absent class, and pools of one to five examples work."""
    pool = _pool_for(strategy, pool)
    of_one_class = np.flatnonzero(pool.labels == pool.labels[0])
    lone = np.append(of_one_class, np.flatnonzero(pool.labels != pool.labels[0])[:1])
    for rows in (of_one_class, lone, *(np.arange(n) for n in range(1, 6))):
        part = pool.subset(rows)
        for budget in {1, max(1, len(rows) // 3), len(rows)}:
            try:
                count = len(_choose(strategy, part, budget))
            except SelectionError:
                if strategy.takes_by_rule():
                    continue
                raise
            wanted = _wanted(strategy, part, budget, count)
            assert count == wanted, f"k = {budget} of {len(part)}: must choose {wanted}"


def keeps_what_earlier_rounds_chose(strategy: Strategy, pool: Pool | None = None) -> None:
    """With the schedule `rounds`, the target of every round is met and what is selected stays in front."""
    pool = _pool_for(strategy, pool)
    composed = compose(strategy)
    if "rounds" not in composed.inner.schedules:
        return
    schedule = RoundSchedule(composed.model_copy(update={"schedule": "rounds", "rounds": 4}), fresh(pool), 41, 80)
    plan: PassPlan | None = None
    for number, step in enumerate((0, 20, 40, 60)):
        view = SimulatedView(pool, step, 80)
        previous, plan = plan, schedule.next_pass(number, plan, view)
        assert len(plan.positions) == round(41 * (number + 1) / 4), "the target of a round must be met"
        check_positions(composed.title, plan.positions, len(pool), None)
        restarted = replace(schedule, pool=fresh(pool)).next_pass(number, previous, view)
        assert plan.positions.tolist() == restarted.positions.tolist(), "a restart must choose the same"
        if previous is not None:
            kept = plan.positions[: len(previous.positions)]
            assert kept.tolist() == previous.positions.tolist(), "what is selected must stay"


def plans_every_pass(strategy: Strategy, pool: Pool | None = None) -> None:
    """With the schedule `epoch`, every pass is valid, never empty, and a repetition plans the same."""
    pool = _pool_for(strategy, pool)
    composed = compose(strategy)
    if "epoch" not in composed.inner.schedules:
        return
    planner = EveryPassSchedule(composed.model_copy(update={"schedule": "epoch"}), fresh(pool), 40, 8)
    plan: PassPlan | None = None
    for number, step in enumerate((0, 30, 60, 90, 95)):
        view = SimulatedView(pool, step, 100)
        previous, plan = plan, planner.next_pass(number, plan, view)
        again = planner.next_pass(number, previous, view)
        assert len(plan.positions) > 0, f"pass {number} is empty"
        assert plan.positions.tolist() == again.positions.tolist(), f"pass {number}: the same question, another answer"
        assert plan.max_steps is None or plan.max_steps > 0, f"pass {number}: max_steps must be positive"
        if plan.batches is not None and again.batches is not None:
            assert plan.batch_sizes == again.batch_sizes, f"pass {number}: the same question, other batches"
        if plan.weights is not None:
            assert len(plan.weights) == len(plan.positions), f"pass {number}: one weight per position"
            assert (plan.weights > 0).all(), f"pass {number}: weights must be positive"


CHECKS: tuple[Check, ...] = (
    returns_exactly_the_budget,
    gives_the_same_again,
    depends_on_the_seed_as_declared,
    follows_a_permutation,
    nests_as_declared,
    survives_ties,
    says_what_is_not_finite,
    works_for_small_and_lopsided_pools,
    keeps_what_earlier_rounds_chose,
    plans_every_pass,
)
"""The whole contract."""


_TEXTS = ("", "One word.", "A text that says what it says!", "no end", "É ñ 漢字 🙂", "a\n\nb", "the " * 300)


def check_signal(signal: TextSignal, texts: Sequence[str] = _TEXTS) -> None:
    """Check that a signal has the right shape and that each value depends on its own text and label only.

    Args:
        signal: with its parameters.
        texts: to try it on; the default ones are empty, long, not ASCII, and of two paragraphs.

    Raises:
        AssertionError: values of a text differ with the texts beside it or with their order.
        SelectionError: what it returns is not numbers of the declared shape.
    """
    labels = np.arange(len(texts)) % 3
    together = signal.values(list(texts), labels)
    alone = np.concatenate([signal.values([text], labels[i : i + 1]) for i, text in enumerate(texts)])
    np.testing.assert_array_equal(together, alone, "a value must not depend on the texts beside its own")
    backwards = signal.values(list(texts)[::-1], labels[::-1])[::-1]
    np.testing.assert_array_equal(together, backwards, "a value must not depend on the order of the texts")
    assert signal.values([], labels[:0]).shape[0] == 0, "no texts have no values"


def check_strategy(strategy: Strategy, pool: Pool | None = None) -> None:
    """Run all checks.

    Raises:
        AssertionError: the first that fails.
    """
    for check in CHECKS:
        check(strategy, pool)


@dataclass(frozen=True)
class SimulatedView:
    """A `PoolView` whose model answers with the pool's own signals; losses follow from its probabilities."""

    pool: Pool
    step: int
    total_steps: int

    @property
    def position(self) -> float:
        """The steps done: the length of the run is in steps."""
        return self.step

    @property
    def passes(self) -> float | None:
        """None: the run does not end after so many."""
        return None

    def steps_to(self, position: float, num_examples: int) -> int:
        """Return the steps from here to a position."""
        return math.ceil(position) - self.step

    @property
    def train_losses(self) -> np.ndarray:
        """(n,) losses of a model that has seen four examples in five."""
        probs = self._signal("probs")
        losses = -np.log(probs[np.arange(len(self.pool)), self.pool.labels].clip(min=1e-6))
        return np.where(np.arange(len(self.pool)) % 5 == 0, np.nan, losses).astype(np.float32)

    @property
    def train_loss_passes(self) -> np.ndarray:
        """(n,) passes of these losses."""
        return np.where(np.isnan(self.train_losses), -1, 0).astype(np.int32)

    def predict(self, positions: np.ndarray | None = None) -> np.ndarray:
        """Return (m, C) probabilities."""
        return self._rows(self._signal("probs"), positions)

    def predict_with_features(self, positions: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Return probabilities and (m, d) features."""
        return self.predict(positions), self.embed(positions)

    def embed(self, positions: np.ndarray | None = None, pooling: Literal["mean", "cls"] = "mean") -> np.ndarray:
        """Return (m, d) embeddings."""
        return self._rows(self._signal("embeddings"), positions)

    def _signal(self, name: str) -> np.ndarray:
        signals: Mapping[str, np.ndarray] = self.pool.signals
        return np.asarray(signals[name] if name in signals else make_pool(len(self.pool)).signals[name])

    @staticmethod
    def _rows(values: np.ndarray, positions: np.ndarray | None) -> np.ndarray:
        return values if positions is None else values[positions]


def _choose(strategy: Strategy, pool: Pool, budget: int = 30) -> np.ndarray:
    selection: Selection = select_from_pool(strategy, fresh(pool), budget)
    return selection.positions
