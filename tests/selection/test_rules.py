"""Strategies do what they say: mixtures mix, filters drop errors, strata are drawn from, scales make no difference."""

from dataclasses import replace

import numpy as np
import pytest

from raybert import select
from raybert.config import StrategyConfig
from raybert.selection import build_strategy
from raybert.selection.choose import select_from_pool
from raybert.selection.geometry.points import unit_rows
from raybert.selection.schedule import make_pass_planner, round_targets
from raybert.selection.scorers.aflite import aflite_signal
from raybert.selection.strategies.filters import is_confidently_another
from raybert.selection.strategies.mixed import equal_width_strata, normalised_entropy
from raybert.selection.strategies.proxies import el2n, grand
from raybert.testing import SimulatedView, make_pool


def build(**entry):
    return build_strategy(StrategyConfig.model_validate(entry))


def chosen_of(pool, budget, **entry):
    return select_from_pool(build(**entry), pool, budget).positions


# --- qdit_lite: alpha mixes confidence and coverage from the first choice to the last


def mixture_pool(kind, n=400, seed=0):
    """Return a pool of one class whose confidence and places are unrelated."""
    generator = np.random.default_rng(seed)
    pool = make_pool(n)
    confidence = {"even": generator.random(n), "sure": generator.beta(8, 1, n), "unsure": generator.beta(1, 8, n)}
    first = 0.25 + 0.75 * confidence.get(kind, generator.random(n))
    probs = np.column_stack([first, *[(1 - first) / 3] * 3])
    centres = generator.normal(size=(6 if kind == "clusters" else n, 16))
    points = centres[generator.integers(0, len(centres), n)] + 0.3 * generator.normal(size=(n, 16))
    return replace(
        pool, labels=np.zeros(n, np.int64), signals={"probs": probs, "embeddings": points.astype(np.float32)}
    )


@pytest.mark.parametrize("budget", [40, 120])
@pytest.mark.parametrize("kind", ["even", "sure", "unsure", "clusters"])
def test_half_coverage_is_neither_the_ranking_by_confidence_nor_coverage_alone(kind, budget):
    pool = mixture_pool(kind)
    mixed, sure, covering = (
        set(chosen_of(pool, budget, name="qdit_lite", alpha=alpha).tolist()) for alpha in (0.5, 0.0, 1.0)
    )
    assert len(mixed & sure) < 0.85 * budget  # 99-100 % when gains were measured against the first one
    assert len(mixed & covering) < 0.85 * budget
    assert len(mixed & (sure | covering)) > len(mixed) / 2


def test_the_ends_of_the_mixture_are_confidence_and_facility_location():
    pool = mixture_pool("even")
    surest = np.argsort(normalised_entropy(pool))[:50]
    assert set(chosen_of(pool, 50, name="qdit_lite", alpha=0.0)) == set(surest)
    covering = chosen_of(pool, 50, name="facility_location")
    assert chosen_of(pool, 50, name="qdit_lite", alpha=1.0).tolist() == covering.tolist()


@pytest.mark.parametrize("kind", ["even", "sure", "clusters"])
def test_the_more_coverage_weighs_the_better_is_the_pool_covered_and_the_less_sure_is_the_choice(kind):
    pool = mixture_pool(kind)
    points = unit_rows(pool.signals["embeddings"])
    similarity, sureness = (1 + points @ points.T) / 2, 1 - normalised_entropy(pool)
    chosen = [chosen_of(pool, 60, name="qdit_lite", alpha=alpha) for alpha in (0.0, 0.25, 0.5, 0.75, 1.0)]
    covered = [similarity[:, rows].max(axis=1).mean() for rows in chosen]
    sure = [sureness[rows].mean() for rows in chosen]
    assert covered == sorted(covered)
    assert sure == sorted(sure, reverse=True)
    assert covered[2] - covered[0] > 0.15 * (covered[4] - covered[0])  # half and half is really between the two
    assert sure[2] - sure[4] > 0.15 * (sure[0] - sure[4])


# --- label_errors: the confident joint


CLEANLAB = {
    # cleanlab 2.9.0: np.flatnonzero(find_label_issues(labels, probs, filter_by="confident_learning", n_jobs=1))
    # of `noisy(seed, classes)` below.
    (0, 2): [32, 40],
    (1, 3): [2, 7, 10, 19, 23, 25, 26, 32, 41, 46, 56, 58],
    (2, 4): [0, 1, 20, 21, 31, 32, 33, 35, 36, 38, 52, 56, 58],
    (3, 6): [1, 4, 20, 24, 32, 33, 40, 47, 49, 50, 53],
}


def noisy(seed, classes, n=60):
    """Return labels, a fifth of them wrong, with probabilities of a model that mostly knows; and which are wrong."""
    generator = np.random.default_rng(seed)
    truth = np.concatenate([np.arange(classes), generator.integers(0, classes, n - classes)])
    wrong = generator.random(n) < 0.2
    labels = np.where(wrong, (truth + generator.integers(1, classes, n)) % classes, truth)
    probs = generator.dirichlet(np.ones(classes), n) + 1.5 * np.eye(classes)[truth]
    return labels, probs / probs.sum(axis=1, keepdims=True), wrong


@pytest.mark.parametrize(("seed", "classes"), CLEANLAB)
def test_label_errors_are_those_that_cleanlab_finds(seed, classes):
    labels, probs, _ = noisy(seed, classes)
    assert np.flatnonzero(is_confidently_another(probs, labels)).tolist() == CLEANLAB[seed, classes]


@pytest.mark.parametrize("seed", range(12))
def test_label_errors_are_those_of_the_installed_cleanlab(seed):
    filters = pytest.importorskip("cleanlab.filter")
    generator = np.random.default_rng(seed)
    classes = 2 + seed % 5
    labels, probs, _ = noisy(seed, classes, 200)
    if seed % 3 == 0:  # ties
        probs = np.round(probs, 1) + 1e-9
        probs /= probs.sum(axis=1, keepdims=True)
    if seed % 4 == 1:  # a model that knows nothing
        probs = generator.dirichlet(np.ones(classes), 200)
    if seed % 4 == 3:  # a class that nobody is labelled with
        labels[labels == 1] = 0
    theirs = filters.find_label_issues(labels, probs, filter_by="confident_learning", n_jobs=1)
    np.testing.assert_array_equal(is_confidently_another(probs, labels), theirs)


def test_label_errors_drop_nothing_of_a_clean_pool_that_a_model_knows():
    generator = np.random.default_rng(5)
    labels = generator.integers(0, 3, 500)
    probs = generator.dirichlet(np.ones(3), 500) + 4 * np.eye(3)[labels]
    probs /= probs.sum(axis=1, keepdims=True)
    assert not is_confidently_another(probs, labels).any()  # half of it was under its class's mean
    chosen = select("label_errors", 500, labels=labels, heldout_probs=probs)
    assert chosen.refilled == 0


def test_label_errors_find_planted_flips_and_little_else():
    labels, probs, wrong = noisy(7, 4, 2000)
    found = is_confidently_another(probs, labels)
    assert wrong[found].mean() > 0.9
    assert found[wrong].mean() > 0.7


def test_label_errors_bear_examples_without_probabilities_and_pools_of_one():
    labels, probs, _ = noisy(3, 6)
    gone = np.isin(np.arange(60), [10, 20])
    probs[gone] = np.nan
    found = is_confidently_another(probs, labels)
    assert not found[gone].any()
    np.testing.assert_array_equal(found[~gone], is_confidently_another(probs[~gone], labels[~gone]))
    assert is_confidently_another(np.array([[0.9, 0.1]]), np.array([0])).tolist() == [False]


# --- ccs: every stratum is drawn from, however small a class's quota


def ccs_pool(n=600):
    """Return a pool of three classes in which few examples are hard."""
    generator = np.random.default_rng(0)
    own = 1 - generator.beta(1, 12, n)
    labels = np.arange(n) % 3
    probs = np.repeat(((1 - own) / 2)[:, None], 3, axis=1)
    probs[np.arange(n), labels] = own
    return replace(make_pool(n), labels=labels, num_classes=3, signals={"probs": probs})


@pytest.mark.parametrize("budget", [12, 30, 90, 147])
def test_ccs_draws_from_every_stratum_of_every_class_whatever_the_quota(budget):
    pool = ccs_pool()
    chosen = chosen_of(pool, budget, name="ccs", drop_hardest=0.1)
    scores = el2n(pool.signals["probs"], pool.labels)
    for label in range(3):
        rows = np.flatnonzero(pool.labels == label)
        kept = rows[np.argsort(scores[rows])][: 200 - 20]
        strata = equal_width_strata(scores[kept], budget // 3)
        drawn = np.isin(kept, chosen)
        assert drawn.sum() == budget // 3
        assert set(strata[drawn]) == set(strata), "a stratum was left out"


def test_ccs_without_quotas_has_as_many_strata_as_the_budget():
    pool = ccs_pool()
    chosen = chosen_of(pool, 20, name="ccs", balance="none", drop_hardest=0)
    scores = el2n(pool.signals["probs"], pool.labels)
    strata = equal_width_strata(scores, 20)
    assert set(strata[chosen]) == set(strata)
    assert scores[chosen].max() > 0.9 * scores.max()


def test_ccs_of_one_example_a_class_is_a_draw():
    pool = ccs_pool()
    seeds = [
        chosen_of(replace(pool, draw_keys=make_pool(600, tie_seed=seed).draw_keys), 3, name="ccs") for seed in range(3)
    ]
    assert len({tuple(chosen) for chosen in seeds}) == 3


# --- rounds: the whole budget decides which end is kept


def rounds_of(pool, budget, rounds, **entry):
    """Return what is selected after each round, where the model of the moment says what the proxies said."""
    planner, _ = make_pass_planner(
        build(schedule="rounds", rounds=rounds, **entry), pool, budget, total_steps=10 * rounds, batch_size=8
    )
    plan, plans = None, []
    for number in range(rounds):
        plan = planner.next_pass(number, plan, SimulatedView(pool, 10 * number, 10 * rounds))
        plans.append(plan.positions)
    return plans


@pytest.mark.parametrize("share", [0.3, 0.5, 0.8])
@pytest.mark.parametrize("name", ["el2n", "grand"])
def test_rounds_of_a_large_budget_are_hard_from_the_first_one(name, share):
    pool = make_pool()
    budget = round(share * len(pool))
    scores = {"el2n": el2n(pool.signals["probs"], pool.labels)}
    scores["grand"] = grand(pool.signals["probs"], pool.signals["feature_norms"], pool.labels)
    hardest_first = np.argsort(-scores[name])[48:]  # the hardest fifth is dropped
    view_is_the_proxy = replace(pool, signals={**pool.signals, "embeddings": norms_as_features(pool)})
    plans = rounds_of(view_is_the_proxy, budget, 5, name=name, balance="none")
    for positions, target in zip(plans, round_targets(budget, 5), strict=True):
        assert len(positions) == target
        assert set(positions[:192]) == set(hardest_first[:target])


def norms_as_features(pool):
    return np.column_stack([pool.signals["feature_norms"], np.zeros(len(pool))]).astype(np.float32)


def test_rounds_of_a_small_budget_stay_in_the_middle():
    pool = make_pool()
    plans = rounds_of(pool, 48, 4, name="el2n", balance="none")
    assert set(plans[-1]) == set(chosen_of(pool, 48, name="el2n", balance="none"))


def test_a_follower_goes_by_the_whole_budget_too():
    pool = make_pool()
    follower = {"name": "el2n", "balance": "none"}
    scores = el2n(pool.signals["probs"], pool.labels)
    first = rounds_of(pool, 120, 5, name="k_center", then=follower)[0]
    candidates = chosen_of(pool, 72, name="k_center")
    hard = candidates[np.argsort(-scores[candidates])][int(0.2 * 72) :]
    assert set(first) == set(hard[:24])


# --- embeddings: one scale for all


@pytest.mark.parametrize("scale", [8.0, 0.37])
@pytest.mark.parametrize(
    "name",
    ["k_center", "diversity", "facility_location", "semdedup", "entropy_diversity", "qdit_lite", "edfs_lite", "d2"],
)
def test_every_strategy_takes_embeddings_of_any_scale_alike(name, scale):
    pool = make_pool(120)
    points = pool.signals["embeddings"] * np.random.default_rng(1).uniform(0.5, 2.0, (120, 1)).astype(np.float32)
    given = {"labels": pool.labels, "probs": pool.signals["probs"]}
    expected = select(name, 30, embeddings=pool.signals["embeddings"], **given).positions
    assert select(name, 30, embeddings=points * np.float32(scale), **given).positions.tolist() == expected.tolist()


@pytest.mark.parametrize("scale", [4.0, 3.0, 1e-3])
def test_aflite_does_not_depend_on_the_scale_of_the_embeddings(scale):
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 2, 200)
    points = generator.normal(size=(200, 6)).astype(np.float32)
    points[::2, 0] += 4 * labels[::2]
    expected, scaled = aflite_signal(points, labels, 0), aflite_signal(points * np.float32(scale), labels, 0)
    assert (expected == scaled).all(axis=1).mean() > 0.97
    np.testing.assert_allclose(scaled[:, 1], expected[:, 1], atol=0.1)
    if scale == 4.0:  # no rounding at all
        np.testing.assert_array_equal(scaled, expected)


# --- safer defaults: where wrong labels are is dropped first


def planted(seed, n=800, classes=4):
    """Return a pool of which a fifth of the labels is wrong, with the dynamics of a model that learns the right ones."""
    generator = np.random.default_rng(seed)
    truth = generator.integers(0, classes, n)
    wrong = generator.random(n) < 0.2
    labels = np.where(wrong, (truth + generator.integers(1, classes, n)) % classes, truth)
    ease = generator.gamma(2.0, size=(n, 1, 1))
    logits = (
        generator.normal(size=(n, 6, classes))
        + ease * np.linspace(0.4, 2, 6)[:, None] * np.eye(classes)[truth][:, None]
    )
    logits += 9 * np.linspace(0, 1, 6)[:, None] ** 3 * np.eye(classes)[labels][:, None]  # at last all is memorised
    dynamics = np.exp(logits) / np.exp(logits).sum(axis=2, keepdims=True)
    signals = {**make_pool(n).signals, "dynamics": dynamics, "probs": dynamics[:, 2]}
    return replace(make_pool(n), labels=labels, num_classes=classes, signals=signals), wrong


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("share", [0.1, 0.3])
@pytest.mark.parametrize("name", ["forgetting", "cartography", "ifd"])
def test_defaults_choose_fewer_wrong_labels_than_a_draw_and_the_published_rules_more(name, share, seed):
    pool, wrong = planted(seed)
    budget = round(share * len(pool))
    by_default, published = (
        wrong[chosen_of(pool, budget, name=name, **entry)].mean() for entry in ({}, {"drop_hardest": 0.0})
    )
    assert by_default < 0.15
    assert by_default < published
    assert name == "ifd" or published > 0.2


def test_what_was_learned_least_is_dropped_in_every_class_and_comes_back_last():
    pool, _ = planted(3)
    confidence = pool.signals["dynamics"][np.arange(800), :, pool.labels].mean(axis=1)
    chosen = select_from_pool(build(name="forgetting", drop_hardest=0.25), pool, 700)
    assert chosen.refilled == 700 - (800 - sum(int(0.25 * (pool.labels == label).sum()) for label in range(4)))
    kept, back = np.split(chosen.positions, [700 - chosen.refilled])
    for label in range(4):
        rows = back[pool.labels[back] == label]
        assert len(rows) == 0 or confidence[rows].max() <= confidence[kept][pool.labels[kept] == label].min()
    assert len(chosen.pool_scores) == 800
    assert not np.isnan(chosen.pool_scores).any()


def test_a_direction_or_a_region_of_ones_own_drops_nothing():
    pool, _ = planted(4)
    hard = chosen_of(pool, 80, name="forgetting", direction="hard")
    assert hard.tolist() == chosen_of(pool, 80, name="forgetting", drop_hardest=0.0).tolist()
    region = chosen_of(pool, 80, name="cartography", region="hard")
    assert region.tolist() == chosen_of(pool, 80, name="cartography", region="hard", drop_hardest=0.0).tolist()


def test_entropy_diversity_prefers_the_middle_of_small_budgets_and_can_be_told_otherwise():
    pool = make_pool()
    entropy = normalised_entropy(pool)
    places = entropy.argsort().argsort()
    alike = {"balance": "none", "beta": 2.0}
    middle = chosen_of(pool, 24, name="entropy_diversity", **alike)
    assert np.abs(places[middle] - 119.5).max() <= 24
    hard = chosen_of(pool, 24, name="entropy_diversity", direction="hard", **alike)
    assert places[hard].min() >= 240 - 48
    large = select_from_pool(build(name="entropy_diversity", **alike), pool, 200)
    assert set(places[large.positions[:192]]) == set(range(192))  # without the hardest fifth, which comes back last
    assert large.refilled == 8
    greedy = chosen_of(pool, 24, name="entropy_diversity", method="greedy", direction="hard", balance="none")
    assert places[greedy[0]] == 239


def test_entropy_diversity_by_default_leaves_out_what_no_label_fits():
    generator = np.random.default_rng(0)
    own = np.concatenate([np.full(100, 0.5), generator.uniform(0.6, 1, 300)])  # a quarter of coin tosses
    probs = np.column_stack([own, 1 - own])
    pool = replace(make_pool(400), labels=np.arange(400) % 2, num_classes=2)
    pool = replace(pool, signals={**pool.signals, "probs": probs})
    assert (chosen_of(pool, 40, name="entropy_diversity") >= 100).all()
    assert (chosen_of(pool, 40, name="entropy_diversity", direction="hard") < 100).mean() > 0.7
