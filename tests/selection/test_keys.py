"""What is drawn and what breaks ties are different numbers, so that `random` is no strategy's tie-breaker."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import spearmanr

from raybert import select
from raybert.analysis.statistics.overlap import compare_subsets
from raybert.analysis.statistics.subsets import Subset
from raybert.config import StrategyConfig
from raybert.selection import build_strategy, strategy_names
from raybert.selection.choose import select_from_pool
from raybert.selection.keys import HashedIds, draw_keys, keys_for, tie_keys
from raybert.selection.strategies.losses import infobatch
from raybert.testing import make_pool

N, K, SEEDS = 600, 60, 12
IDS = np.arange(N).astype(str)
DRAWS = {"random", "random_stratified", "random_epoch", "semdedup", "label_errors", "h_score", "curriculum"}
"""One draw on purpose: what differs between `random` and these (by their `then`, `of`, first pass) is the rule."""


def ranks_agree(one, other):
    return abs(spearmanr(one, other).statistic)


def test_draws_ties_and_other_purposes_are_unrelated_functions():
    draw, tie = draw_keys(IDS, 3), tie_keys(IDS, 3)
    families = [draw, tie, keys_for("ccs", draw), keys_for("nulls", draw), keys_for("ties", draw), draw_keys(IDS, 4)]
    for i, one in enumerate(families):
        assert len(set(one.tolist())) == N
        for other in families[:i]:
            assert ranks_agree(one, other) < 4 / np.sqrt(N)


@pytest.mark.parametrize("seed", [0, 7])
def test_ids_that_are_hashed_once_have_the_keys_of_every_seed(seed):
    hashed = HashedIds.of(IDS)
    assert np.array_equal(hashed.draw_keys(seed), draw_keys(IDS, seed))
    assert np.array_equal(hashed.tie_keys(seed), tie_keys(IDS, seed))


def test_draws_are_those_of_raybert_0_1():
    assert draw_keys(np.array(["a", "example-17"]), 5).tolist() == [2914472986844296934, 10171575473732712597]
    chosen = select("random", 6, labels=np.arange(40) % 2, seed=1).positions
    assert chosen.tolist() == [39, 6, 16, 1, 31, 17]


def overlaps(strategy_of_seed):
    """Return how many examples a strategy shares with `random` of the same seed, seed by seed."""
    labels = np.arange(N) % 4
    chosen = [set(strategy_of_seed(seed).tolist()) for seed in range(SEEDS)]
    drawn = [set(select("random", K, labels=labels, seed=seed).positions.tolist()) for seed in range(SEEDS)]
    return np.array([len(one & other) for one, other in zip(chosen, drawn, strict=True)])


def tied(name, seed, coarse):
    """Return what a strategy chooses of signals in which many, or all, examples are equal."""
    pool = make_pool(N, tie_seed=seed)
    signals = {key: np.broadcast_to(values[:1], values.shape) for key, values in pool.signals.items()}
    if coarse:  # two kinds of examples
        kind = (np.arange(N) // 4) % 2
        signals = {key: values[kind] for key, values in pool.signals.items()}
    alike = replace(pool, labels=np.arange(N) % 4, signals={**signals, "lengths": pool.signals["lengths"]})
    alike = replace(alike, tie_keys=tie_keys(IDS, seed), draw_keys=draw_keys(IDS, seed))
    return select_from_pool(build_strategy(StrategyConfig(name=name)), alike, K).positions


TIED = [
    name
    for name in strategy_names()
    if name not in DRAWS and build_strategy(StrategyConfig(name=name)).spends() == "distinct"
]


@pytest.mark.slow
@pytest.mark.parametrize("coarse", [False, True], ids=["all equal", "two kinds"])
@pytest.mark.parametrize("name", TIED)
def test_a_strategy_with_ties_shares_no_more_with_its_own_random_than_with_anothers(name, coarse):
    same = overlaps(lambda seed: tied(name, seed, coarse))
    # 6 of 60 by chance, with a standard deviation of 2.2 each: .64 of the mean of twelve.
    assert same.mean() == pytest.approx(K * K / N, abs=2.6), same


def test_rankings_of_counts_agree_with_random_as_the_overlap_table_says_by_chance():
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 2, N)
    dynamics = np.repeat(generator.integers(1, 4, (N, 1)) / 4, 6, axis=1)
    dynamics = np.stack([dynamics, 1 - dynamics], axis=2)
    rows = []
    for seed in range(SEEDS):
        subsets = [
            Subset(name, K, "distinct", seed, 0, np.bincount(positions, minlength=N))
            for name, positions in (
                ("forgetting", select("forgetting", K, labels=labels, seed=seed, dynamics=dynamics).positions),
                ("random", select("random", K, labels=labels, seed=seed).positions),
            )
        ]
        rows += compare_subsets(subsets)[["jaccard", "jaccard_by_chance"]].to_numpy().tolist()
    jaccard, by_chance = np.mean(rows, axis=0)
    assert jaccard == pytest.approx(by_chance, abs=0.02)


def test_ccs_draws_inside_its_strata_by_keys_of_its_own():
    probs = np.column_stack([np.linspace(0.5, 1, N), 1 - np.linspace(0.5, 1, N)])
    same = overlaps(lambda seed: select("ccs", K, labels=np.zeros(N), seed=seed, probs=probs).positions)
    assert same.mean() == pytest.approx(K * K / N, abs=2.6)


def test_infobatch_drops_by_keys_that_are_not_those_of_random():
    shared = []
    for seed in range(SEEDS):
        pool = replace(make_pool(N), draw_keys=draw_keys(IDS, seed))
        kept, _ = infobatch(np.arange(N, dtype=float), 0.5, keys_for_pass(pool))
        dropped = set(range(N)) - set(kept.tolist())
        drawn = set(np.argsort(pool.draw_keys)[:K].tolist())
        shared.append(len(dropped & drawn))
    assert np.mean(shared) == pytest.approx(K / 4, abs=3)  # a half of the lower half


def keys_for_pass(pool, number=1):
    from raybert.selection.keys import mix_keys

    return mix_keys(pool.draw_keys, number)


def test_the_inputs_that_get_a_null_are_not_those_of_random():
    first = [set(np.argsort(keys)[:K].tolist()) for keys in (draw_keys(IDS, 0), keys_for("nulls", draw_keys(IDS, 0)))]
    assert len(first[0] & first[1]) < 15


@pytest.mark.parametrize("name", ["random", "random_stratified"])
def test_a_draw_is_nested_and_stays_when_the_pool_grows(name):
    labels = np.arange(N) % 3
    small, large = (select(name, k, labels=labels, seed=2, example_ids=IDS).positions for k in (20, 90))
    assert large[:20].tolist() == small.tolist()
    order = np.random.default_rng(1).permutation(N)
    permuted = order[select(name, 90, labels=labels[order], seed=2, example_ids=IDS[order]).positions]
    assert permuted.tolist() == large.tolist()
    part = select("random", 90, labels=labels[:500], seed=2, example_ids=IDS[:500]).positions
    grown = select("random", 90, labels=labels, seed=2, example_ids=IDS).positions
    assert set(grown.tolist()) - set(range(500, N)) <= set(part.tolist())


def test_a_pool_with_keys_of_ties_alone_draws_by_others():
    pool = make_pool(N)
    alone = type(pool)(pool.labels, pool.num_classes, pool.tie_keys, pool.signals, pool.generator)
    assert ranks_agree(alone.draw_keys, alone.tie_keys) < 4 / np.sqrt(N)
    np.testing.assert_array_equal(alone.subset(np.arange(9)).draw_keys, alone.draw_keys[:9])
