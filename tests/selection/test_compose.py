from dataclasses import replace

import numpy as np
import pytest

from raybert import select
from raybert.config import StrategyConfig
from raybert.errors import ConfigError, SelectionError
from raybert.selection import build_strategy
from raybert.selection.catalogue import describe_strategies
from raybert.selection.choose import select_from_pool
from raybert.selection.filter import Filter, Kept
from raybert.selection.identity import strategy_identity, strategy_label
from raybert.selection.strategies.filters import is_confidently_another, label_doubt
from raybert.selection.strategies.proxies import el2n
from raybert.testing import make_pool


def build(**entry):
    return build_strategy(StrategyConfig.model_validate(entry))


def test_then_chooses_among_the_candidates_of_the_first():
    pool = make_pool()
    hard = {"direction": "hard", "balance": "none"}
    chosen = select_from_pool(build(name="el2n", then="k_center", candidates=2, **hard), pool, 20).positions
    hardest = select_from_pool(build(name="el2n", **hard), pool, 40).positions
    assert set(chosen) <= set(hardest)
    inner = select_from_pool(build(name="k_center"), pool.subset(np.sort(hardest)), 20).positions
    assert chosen.tolist() == np.sort(hardest)[inner].tolist()


def test_a_filter_drops_before_and_what_it_dropped_comes_back_least_bad_first():
    pool = make_pool()
    doubt = label_doubt(pool.signals["heldout_probs"], pool.labels)
    is_dropped = is_confidently_another(pool.signals["heldout_probs"], pool.labels)
    kept = np.flatnonzero(~is_dropped)
    strategy = build(name="random", pre="label_errors")
    few = select_from_pool(strategy, pool, len(kept))
    assert set(few.positions) == set(kept)
    assert few.refilled == 0
    more = select_from_pool(strategy, pool, len(kept) + 3)
    assert more.refilled == 3
    np.testing.assert_allclose(doubt[more.positions[-3:]], np.sort(doubt[is_dropped])[:3])
    everything = select_from_pool(strategy, pool, len(pool))
    assert sorted(everything.positions.tolist()) == list(range(len(pool)))


def test_label_errors_takes_class_quotas_of_the_rest_by_default():
    pool = make_pool()
    chosen = select_from_pool(build(name="label_errors"), pool, 40).positions
    kept = np.flatnonzero(~is_confidently_another(pool.signals["heldout_probs"], pool.labels))
    assert set(chosen) <= set(kept)
    expected = select_from_pool(build(name="random_stratified"), pool.subset(kept), 40).positions
    assert chosen.tolist() == kept[expected].tolist()


def test_every_text_doubled_is_kept_once_and_doubles_with_two_labels_are_listed():
    generator = np.random.default_rng(0)
    points = generator.normal(size=(60, 16)).astype(np.float32)
    labels = generator.integers(0, 2, 60)
    other = labels.copy()
    other[:5] = 1 - other[:5]
    selection = select(
        "semdedup",
        65,
        labels=np.concatenate([labels, other]),
        embeddings=np.concatenate([points, points]),
        parameters={"epsilon": 1e-4},
    )
    # 55 texts once each, and five that have two labels twice.
    assert set((selection.positions % 60).tolist()) == set(range(60))
    pairs = {tuple(sorted(pair)) for pair in selection.conflicts.tolist()}
    assert pairs == {(i, i + 60) for i in range(5)}
    assert selection.refilled == 0


def test_what_earlier_rounds_chose_is_never_dropped():
    pool = make_pool()
    suspicious = np.flatnonzero(is_confidently_another(pool.signals["heldout_probs"], pool.labels))[:6]
    for strategy in (build(name="k_center", pre="label_errors"), build(name="el2n", pre="label_errors", then="random")):
        positions = select_from_pool(strategy, replace(pool, selected=suspicious), 20).positions
        assert set(suspicious) <= set(positions)


def test_drop_hardest_works_with_any_score_inside_classes():
    pool = make_pool()
    strategy = build(name="all", pre={"name": "drop_hardest", "score": "aum", "share": 0.25})
    kept = select_from_pool(strategy, pool, len(pool)).positions
    for label in range(4):
        assert (pool.labels[kept] == label).sum() == (pool.labels == label).sum() - int(
            0.25 * (pool.labels == label).sum()
        )


def test_default_directions_are_those_of_the_table():
    pool = make_pool()
    scores = el2n(pool.signals["probs"], pool.labels)
    middle = select_from_pool(build(name="el2n", balance="none"), pool, 24).positions
    ranks = scores.argsort().argsort()
    assert np.abs(ranks[middle] - 119.5).max() <= 12
    large = select_from_pool(build(name="el2n", balance="none"), pool, 120).positions
    assert ranks[large].max() == 240 - 48 - 1  # the hardest fifth is dropped, then the hardest first
    assert ranks[large[0]] == 240 - 48 - 1


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"name": "all", "then": "random"}, r"then: must be left out, 'all' leaves no smaller set"),
        ({"name": "el2n", "then": "all"}, r"then: must choose a fixed number of examples once, which 'all' does not"),
        ({"name": "el2n", "then": "random_epoch"}, "which 'random_epoch' does not"),
        (
            {"name": "el2n", "schedule": "rounds", "then": "ccs"},
            "must be a strategy that keeps what earlier rounds chose",
        ),
        ({"name": "el2n", "schedule": "epoch", "pre": "semdedup"}, "pre: must be left out with the schedule epoch"),
        ({"name": "random_epoch", "then": "random"}, "then: must be left out with the schedule epoch"),
        ({"name": "random", "pre": ["k_center"]}, r"pre\[0\]: must be a filter .*got 'k_center'"),
        ({"name": "random", "pre": ["semdedpu"]}, r"strategy\.pre\[0\]: unknown 'semdedpu'; did you mean 'semdedup'"),
        ({"name": "random", "then": {"name": "el2n", "directoin": 1}}, r"strategy\.then\.directoin: unknown key"),
        ({"name": "semdedup", "candidates": 2}, "candidates: must be left out"),
        ({"name": "k_center", "direction": "easy"}, "direction: must be left out, 'k_center' does not rank by a score"),
        ({"name": "random", "drop_hardest": 0.1}, "as a filter write `pre:"),
        ({"name": "curriculum", "of": "all"}, "of: must choose a fixed number of examples once"),
        ({"name": "ccs", "score": "k_center"}, "score"),
        ({"name": "forgetting", "schedule": "rounds"}, "schedule: must be one of once for 'forgetting'"),
    ],
)
def test_what_makes_no_sense_is_one_clear_line(entry, message):
    with pytest.raises(ConfigError, match=message) as caught:
        build(**entry)
    assert "\n" not in str(caught.value)


def test_nested_strategies_have_a_label_an_identity_and_their_signals():
    strategy = build(name="el2n", then={"name": "k_center"}, pre=["semdedup"])
    assert strategy_label(strategy) == "el2n(pre=[semdedup], then=k_center)"
    assert strategy.all_signals() == {"probs", "embeddings"}
    identity = strategy_identity(strategy)
    assert identity["then"]["name"] == "k_center"
    assert identity["pre"][0]["name"] == "semdedup"
    assert strategy_identity(build(name="el2n", then="diversity")) != strategy_identity(
        build(name="el2n", then="facility_location")
    )


def test_the_list_says_which_end_is_kept_by_default():
    rows = {row["name"]: row for row in describe_strategies()}
    expected = "direction=middle (from 30% of the pool: hard without the hardest 20%)"
    assert expected in rows["el2n"]["parameters"]
    assert "direction=hard up to a score of 1 without the hardest 30%" in rows["ifd"]["parameters"]
    assert "score=el2n" in rows["ccs"]["parameters"]
    assert "then=random_stratified" in rows["label_errors"]["parameters"]
    assert "drop_hardest" not in rows
    assert len(rows) > 40


def test_rules_for_small_budgets_go_by_the_share_of_the_whole_pool():
    pool = make_pool()
    budget = len(pool) // 10
    first = build(name="el2n", direction="middle", balance="none")
    by_default = build(name="el2n", balance="none", then="random")  # three budgets are 30 %, where el2n turns hard
    candidates = set(select_from_pool(first, pool, 3 * budget).positions)
    assert set(select_from_pool(by_default, pool, budget).positions) <= candidates
    last = select_from_pool(build(name="random", then={"name": "el2n", "balance": "none"}), pool, budget)
    inner = select_from_pool(build(name="random"), pool, 3 * budget).positions
    expected = select_from_pool(first, pool.subset(np.sort(inner)), budget).positions
    assert last.positions.tolist() == np.sort(inner)[expected].tolist()


def test_a_filter_that_drops_everything_is_refilled():
    class Nothing(Filter):
        name = "nothing"

        def keep(self, pool):
            return Kept(np.zeros(len(pool), bool), -np.arange(len(pool)))

    pool = make_pool()
    found = select_from_pool(build(name="el2n").model_copy(update={"pre": (Nothing(),)}), pool, 3)
    assert found.positions.tolist() == [len(pool) - 1, len(pool) - 2, len(pool) - 3]
    assert found.refilled == 3


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"name": "el2n", "rounds": 3}, "rounds: must be left out without `schedule: rounds`, got 3"),
        ({"name": "el2n", "candidates": 2}, "candidates: must be left out without `then`, got 2"),
        (
            {"name": "el2n", "pre": {"name": "semdedup", "then": "k_center"}},
            r"pre\[0\].then: must be left out, a filter in `pre` only drops",
        ),
        (
            {"name": "ifd", "null_input": "mask", "then": {"name": "ifd", "null_input": "empty"}},
            "null_input: must be the same in all parts, got empty and mask",
        ),
    ],
)
def test_what_would_be_ignored_is_refused(entry, message):
    with pytest.raises(ConfigError, match=message):
        build(**entry)


def test_refilled_examples_are_the_last_ones_of_a_balanced_ranking():
    labels = np.array([0] * 20 + [1] * 20)
    probs = np.column_stack([np.linspace(0.01, 0.99, 40), np.linspace(0.99, 0.01, 40)])
    chosen = select("el2n", 30, labels=labels, probs=probs, parameters={"window": [0.0, 0.25]})
    assert chosen.refilled == 20
    kept = select("el2n", 10, labels=labels, probs=probs, parameters={"window": [0.0, 0.25]})
    assert kept.refilled == 0
    assert set(chosen.positions[:10]) == set(kept.positions)


@pytest.mark.parametrize(
    ("labels", "probs", "message"),
    [
        (
            ["a", "b", "a"],
            np.full((3, 2), 0.5),
            r"labels: must be \(n,\) class numbers 0..C-1, got <U1 of shape \(3,\)",
        ),
        ([0, -1, 1], np.full((3, 2), 0.5), "labels: .* got one of -1"),
        ([0, 1, 2], np.full((3, 2), 0.5), r"probs: .* a column per class \(3\) .* got float64 of shape \(3, 2\)"),
        ([0, 1, 1], np.full(3, 0.5), r"probs: .* 2 or 3 dimensions, got float64 of shape \(3,\)"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(labels, probs, message):
    with pytest.raises(SelectionError, match=message):
        select("el2n", 1, labels=labels, probs=probs)
