import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raybert import Selection, Strategy
from raybert.config import StrategyConfig
from raybert.errors import SelectionError
from raybert.selection import build_strategy, strategy_names
from raybert.selection.choose import select_from_pool
from raybert.testing import CHECKS, check_strategy, fresh, make_pool

VARIANTS = [
    {"name": "el2n", "direction": "hard", "balance": "none"},
    {"name": "el2n", "window": [0.2, 0.6]},
    {"name": "confidence", "measure": "margin", "direction": "hard", "drop_hardest": 0.1},
    {"name": "el2n", "balance": "equal"},
    {"name": "el2n", "balance": "error"},
    {"name": "el2n", "balance": "difficulty", "direction": "hard"},
    {"name": "forgetting", "balance": "difficulty"},
    {"name": "qdit_lite", "balance": "equal"},
    {"name": "scdp", "method": "strata", "balance": "error"},
    {"name": "random_stratified", "balance": "error"},
    {"name": "influence", "measure": "product", "direction": "middle"},
    {"name": "el2n", "then": "k_center"},
    {"name": "k_center", "pre": ["semdedup", "label_errors"]},
    {"name": "el2n", "direction": "easy", "pre": {"name": "drop_hardest", "share": 0.3}, "then": "random"},
    {"name": "label_errors", "then": {"name": "el2n", "then": "diversity"}},
    {"name": "k_center", "pre": "h_score"},
    {"name": "label_errors", "budget": "auto"},
    {"name": "semdedup", "budget": "auto", "pre": "label_errors"},
    {"name": "random_as", "of": {"name": "semdedup", "budget": "auto"}},
    {"name": "random_as", "of": {"name": "all", "pre": "label_errors"}},
    {"name": "diversity", "method": "facility_location"},
    {"name": "entropy_diversity", "method": "greedy"},
    {"name": "entropy_diversity", "balance": "none"},
    {"name": "qdit_lite", "balance": "none", "alpha": 0.9},
    {"name": "d2", "balance": "none", "score": "aum"},
    {"name": "ccs", "score": {"name": "confidence", "direction": "hard"}, "strata": 7, "balance": "none"},
    {"name": "edfs_lite", "shares": [0, 0, 1]},
    {"name": "ifd", "null_input": "mask"},
    {"name": "cartography", "region": "easy"},
    {"name": "curriculum", "of": "k_center", "score": "forgetting", "growth": "linear"},
    {"name": "curriculum", "of": "pool"},
    {"name": "infobatch", "prune": 0.9},
    {"name": "curriculum", "score": "losses"},
    {"name": "loss_threshold", "rule": "quantile", "threshold": 0.5, "min_keep": 5},
]


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("name", strategy_names())
def test_every_strategy_keeps_the_contract(name, check):
    check(build_strategy(StrategyConfig(name=name)))


@pytest.mark.parametrize("entry", VARIANTS, ids=str)
@pytest.mark.parametrize("check", [c for c in CHECKS if "seed" not in c.__name__], ids=lambda check: check.__name__)
def test_parameters_and_compositions_keep_the_contract(entry, check):
    check(build_strategy(StrategyConfig.model_validate(entry)))


class Careless(Strategy):
    """Makes one mistake."""

    name = "careless"
    mistake: str

    def choose(self, pool, budget):
        positions = np.arange(budget)
        if self.mistake == "position":
            return Selection(positions, np.zeros(budget))
        if self.mistake == "order":  # another seed gives another set, but by position
            positions = np.random.default_rng(int(pool.tie_keys.min() % 1000)).permutation(len(pool))[:budget]
        if self.mistake == "short":
            positions = positions[1:]
        if self.mistake == "state":
            positions = pool.generator.choice(len(pool), budget, replace=False)
        if self.mistake == "global":
            positions = np.random.permutation(len(pool))[:budget]  # noqa: NPY002 - the mistake
        return Selection(positions, np.zeros(len(positions)))


@pytest.mark.parametrize(
    ("mistake", "message"),
    [
        ("position", "uses_seed is True, but"),
        ("short", "must return exactly 1 positions, got 0"),
        ("global", "the same pool must give the same selection"),
        ("state", "uses_seed is True, but"),
        ("order", "permuted pool must give the permuted selection"),
    ],
)
def test_the_contract_finds_mistakes(mistake, message):
    with pytest.raises((AssertionError, SelectionError), match=message):
        check_strategy(Careless(mistake=mistake))


def test_a_strategy_may_bring_its_own_signal():
    class Longest(Strategy):
        """The longest texts."""

        name = "longest"
        needs = frozenset({"my_lengths"})
        uses_seed = False
        nested = True

        def choose(self, pool, budget):
            order = np.lexsort((pool.tie_keys, -pool.signals["my_lengths"]))
            fresh = order[~np.isin(order, pool.selected)]
            positions = np.concatenate([pool.selected, fresh])[:budget]
            return Selection(positions, pool.signals["my_lengths"][positions].astype(float))

    check_strategy(Longest(), make_pool(my_lengths=np.random.default_rng(1).permutation(240).astype(float)))


SLOW = {"facility_location", "d2", "semdedup"}
OWN_SIZE = {name for name in strategy_names() if build_strategy(StrategyConfig(name=name)).takes_by_rule()}
"""They may find nothing to take in a small pool, and say so: `test_own_size`."""
QUICK = sorted({*strategy_names()} - SLOW - OWN_SIZE)


@given(st.integers(1, 40), st.data())
@settings(max_examples=40, deadline=None)
def test_any_budget_of_any_small_pool_is_met_and_nested(num_examples, data):
    strategy = build_strategy(StrategyConfig(name=data.draw(st.sampled_from(QUICK))))
    pool = make_pool(num_examples, seed=data.draw(st.integers(0, 5)))
    budget = data.draw(st.integers(1, num_examples))
    chosen = select_from_pool(strategy, fresh(pool), budget).positions
    if strategy.spends() != "none":
        assert len(set(chosen.tolist())) == budget
    if strategy.nested:
        larger = select_from_pool(strategy, fresh(pool), num_examples).positions
        assert larger[: len(chosen)].tolist() == chosen.tolist()
