"""Published and hand-computed values of every score and rule."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import entropy as scipy_entropy

from raybert.selection.folds import assign_folds
from raybert.selection.losses import cross_entropy, mean_cross_entropy
from raybert.selection.ranking import tie_keys
from raybert.selection.strategies.curriculum import competence, easiest_part
from raybert.selection.strategies.dynamics import area_under_margin, data_map, forgetting_events
from raybert.selection.strategies.filters import label_doubt
from raybert.selection.strategies.losses import infobatch
from raybert.selection.strategies.mixed import Ccs, equal_width_strata, spill_over, water_fill
from raybert.selection.strategies.proxies import Ifd, RhoLoss, el2n, grand, uncertainty
from raybert.testing import make_pool


@pytest.mark.parametrize(
    ("correct", "events"), [("00000", 5), ("11111", 0), ("01010", 2), ("00111", 0), ("10001", 1), ("10101", 2)]
)
def test_forgetting_events(correct, events):
    assert forgetting_events(np.array([[c == "1" for c in correct]]))[0] == events


def test_the_data_map_is_mean_and_population_deviation_of_the_labels_probability():
    dynamics = np.array([[[0.2, 0.8], [0.5, 0.5], [0.9, 0.1]]])
    confidence, variability = data_map(dynamics, np.array([0]))
    assert confidence[0] == pytest.approx(0.5333333)
    assert variability[0] == pytest.approx(0.2867442)


def test_area_under_the_margin_is_to_the_largest_other_class():
    dynamics = np.array([[[0.5, 0.3, 0.2], [0.1, 0.2, 0.7]]])
    assert area_under_margin(dynamics, np.array([0]))[0] == pytest.approx((0.2 - 0.6) / 2)
    assert area_under_margin(dynamics, np.array([2]))[0] == pytest.approx((-0.3 + 0.5) / 2)


@pytest.mark.parametrize(
    ("budget", "sizes", "taken"),
    [
        (30, [1, 10, 100], [1, 10, 19]),
        (10, [0, 0, 5, 5, 90], [0, 0, 3, 3, 4]),
        (0, [3, 4], [0, 0]),
        (7, [3, 4], [3, 4]),
    ],
)
def test_water_filling(budget, sizes, taken):
    assert water_fill(budget, np.array(sizes)) == taken


@given(st.lists(st.integers(0, 60), min_size=1, max_size=12), st.data())
def test_water_filling_spends_the_budget_and_is_as_even_as_sizes_allow(sizes, data):
    budget = data.draw(st.integers(0, sum(sizes)))
    taken = water_fill(budget, np.array(sizes))
    assert sum(taken) == budget
    assert all(0 <= t <= size for t, size in zip(taken, sizes, strict=True))
    open_strata = [t for t, size in zip(taken, sizes, strict=True) if t < size]
    if open_strata:  # what is not full has at least as much as any other, up to one
        assert min(open_strata) >= max(taken) - 1


def test_strata_have_equal_widths_and_a_constant_is_one():
    assert equal_width_strata(np.array([0.0, 0.24, 0.26, 0.74, 1.0]), 4).tolist() == [0, 0, 1, 2, 3]
    assert equal_width_strata(np.full(3, 0.7), 4).tolist() == [0, 0, 0]


@given(st.lists(st.integers(0, 40), min_size=3, max_size=3), st.data())
def test_spilling_spends_the_budget(sizes, data):
    budget = data.draw(st.integers(0, sum(sizes)))
    taken = spill_over(budget, (0.5, 0.3, 0.2), sizes)
    assert sum(taken) == budget
    assert all(0 <= t <= size for t, size in zip(taken, sizes, strict=True))


def test_shares_are_filled_easy_first_and_spill_to_the_next():
    assert spill_over(100, (0.5, 0.3, 0.2), [200, 200, 200]) == [50, 30, 20]
    assert spill_over(100, (0.5, 0.3, 0.2), [40, 200, 200]) == [40, 40, 20]
    assert spill_over(100, (0.5, 0.3, 0.2), [60, 30, 10]) == [60, 30, 10]


def test_infobatch_keeps_the_expected_loss():
    losses = np.array([0.1, 0.2, 0.3, 0.4, 4.0, 5.0])
    sums = []
    for seed in range(4000):
        positions, weights = infobatch(losses, 0.5, tie_keys(np.arange(6).astype(str), seed))
        assert {4, 5} <= set(positions.tolist())
        assert weights.sum() == pytest.approx(6.0)
        assert (weights[losses[positions] > 1] == 1).all()
        sums.append((weights * losses[positions]).sum())
    assert np.mean(sums) == pytest.approx(10.0, abs=0.01)


def test_infobatch_keeps_what_it_knows_no_loss_of_and_never_drops_a_whole_side():
    losses = np.array([np.nan, 0.1, 5.0])
    for seed in range(20):
        positions, weights = infobatch(losses, 0.99, tie_keys(np.arange(3).astype(str), seed))
        assert positions.tolist() == [0, 1, 2]
        assert weights.tolist() == [1, 1, 1]


def test_grand_is_the_norm_of_the_last_layers_gradient():
    torch.manual_seed(0)
    layer, features = torch.nn.Linear(5, 3), torch.randn(4, 5)
    labels = np.array([0, 2, 1, 1])
    expected = []
    for h, y in zip(features, labels, strict=True):
        layer.zero_grad()
        torch.nn.functional.cross_entropy(layer(h[None]), torch.tensor([y])).backward()
        expected.append(float(torch.sqrt(layer.weight.grad.square().sum() + layer.bias.grad.square().sum())))
    probs = layer(features).softmax(-1).detach().numpy()
    norms = np.linalg.norm(features.numpy(), axis=1)
    np.testing.assert_allclose(grand(probs, norms, labels), expected, rtol=1e-5)
    doubled = grand(np.stack([probs, probs], 1), np.stack([norms, norms], 1), labels)
    np.testing.assert_allclose(doubled, expected, rtol=1e-5)


def test_ifd_of_a_model_that_ignores_the_text_is_one_and_of_certainty_zero():
    pool = make_pool(100)
    prior = np.bincount(pool.labels) / 100
    ignoring = np.tile(prior, (100, 1)).astype(np.float32)
    np.testing.assert_allclose(Ifd().scores(with_signals(pool, probs=ignoring)), 1.0, rtol=1e-5)
    certain = np.eye(4, dtype=np.float32)[pool.labels]
    np.testing.assert_allclose(Ifd().scores(with_signals(pool, probs=certain)), 0.0, atol=1e-6)
    same = with_signals(pool, null_probs=pool.signals["probs"])
    np.testing.assert_allclose(Ifd(null_input="empty").scores(same), 1.0, rtol=1e-6)


def test_ifd_takes_the_highest_up_to_one_and_refills_with_the_lowest_above():
    pool = make_pool(60)
    scores = Ifd().scores(pool)
    kept = int((scores <= 1).sum())
    strategy = Ifd(balance="none", drop_hardest=0)
    chosen = strategy.choose(pool, kept)
    assert set(chosen.positions) == set(np.flatnonzero(scores <= 1))
    assert (np.diff(scores[chosen.positions]) <= 0).all()
    more = strategy.choose(pool, kept + 2)
    above = np.sort(scores[scores > 1])
    np.testing.assert_allclose(scores[more.positions[kept:]], above[:2])
    assert more.refilled == 2


def test_rho_is_the_loss_above_the_irreducible_one():
    pool = make_pool(50)
    own = cross_entropy(pool.signals["probs"], pool.labels)
    np.testing.assert_allclose(RhoLoss().scores(pool), own - pool.signals["irreducible_loss"], rtol=1e-6)


def test_losses_equal_torch_and_are_averaged_over_models_not_their_probabilities():
    logits = torch.randn(6, 3, generator=torch.Generator().manual_seed(0))
    labels = np.array([0, 1, 2, 2, 1, 0])
    expected = torch.nn.functional.cross_entropy(logits, torch.from_numpy(labels), reduction="none").numpy()
    probs = logits.softmax(-1).numpy()
    np.testing.assert_allclose(cross_entropy(probs, labels), expected, rtol=1e-5)
    flipped = probs[:, ::-1].copy()
    both = mean_cross_entropy(np.stack([probs, flipped], 1), labels)
    np.testing.assert_allclose(both, (cross_entropy(probs, labels) + cross_entropy(flipped, labels)) / 2)


def test_entropy_equals_scipy():
    probs = np.random.default_rng(0).dirichlet(np.ones(5), 20)
    np.testing.assert_allclose(uncertainty(probs, "entropy"), scipy_entropy(probs, axis=1))


def test_doubt_is_measured_from_the_mean_of_the_class():
    probs = np.array([[0.9, 0.1], [0.5, 0.5], [0.2, 0.8], [0.4, 0.6]])
    np.testing.assert_allclose(label_doubt(probs, np.array([0, 0, 1, 1])), [-0.2, 0.2, -0.1, 0.1])


def test_self_confidence_equals_that_of_cleanlab():
    rank = pytest.importorskip("cleanlab.rank")
    generator = np.random.default_rng(1)
    probs, labels = generator.dirichlet(np.ones(3), 80), generator.integers(0, 3, 80)
    theirs = rank.get_self_confidence_for_each_label(labels, probs)
    for label in range(3):
        rows = labels == label
        expected = theirs[rows].mean() - theirs[rows]
        np.testing.assert_allclose(label_doubt(probs, labels)[rows], expected, atol=1e-12)


@given(st.integers(2, 90), st.integers(2, 7), st.integers(0, 5))
def test_folds_are_even_and_so_is_every_class_in_them(count, num_folds, seed):
    labels = np.random.default_rng(seed).integers(0, 3, count)
    folds = assign_folds(labels, tie_keys(np.arange(count).astype(str), seed), num_folds)
    sizes = np.bincount(folds, minlength=num_folds)
    assert sizes.max() - sizes.min() <= 1
    for label in range(3):
        inside = np.bincount(folds[labels == label], minlength=num_folds)
        assert inside.max() - inside.min() <= 1


def test_competence_grows_from_its_start_to_one():
    assert competence(0.0, 0.25, "sqrt") == competence(0.0, 0.25, "linear") == 0.25
    assert competence(1.0, 0.25, "sqrt") == competence(1.0, 0.25, "linear") == 1.0
    assert competence(0.5, 0.25, "linear") == pytest.approx(0.625)
    assert competence(0.5, 0.25, "sqrt") == pytest.approx(np.sqrt(0.0625 + 0.9375 * 0.5))


def test_the_easiest_part_is_of_every_class():
    scores = np.array([0.9, 0.1, 0.5, 0.3, np.nan, 0.2])
    labels = np.array([0, 0, 0, 0, 1, 1])
    keys = np.arange(6, dtype=np.uint64)
    assert easiest_part(scores, labels, 0.5, keys).tolist() == [1, 3, 5]
    assert easiest_part(scores, labels, 1.0, keys).tolist() == [0, 1, 2, 3, 4, 5]
    assert easiest_part(scores, labels, 0.01, keys).tolist() == [1, 5]


def with_signals(pool, **signals):
    from dataclasses import replace

    return replace(pool, signals={**pool.signals, **signals})


def test_ccs_drops_by_the_whole_budget_and_draws_evenly_from_strata():
    pool = make_pool(400)
    scores = el2n(pool.signals["probs"], pool.labels)
    small = Ccs(balance="none", strata=10).choose(pool, 40).positions
    kept = np.sort(scores)[: 400 - 120]
    assert scores[small].max() <= kept.max()
    width = (kept.max() - kept.min()) / 10

    def count(values):
        return np.bincount(np.minimum(((values - kept.min()) / width).astype(int), 9), minlength=10)

    assert count(scores[small]).tolist() == water_fill(40, count(kept))
    # The share follows the whole budget, though the quota of a class may be more than a tenth of it.
    per_class = Ccs().choose(pool, 40).positions
    for label in range(4):
        rows = np.flatnonzero(pool.labels == label)
        allowed = np.sort(scores[rows])[: len(rows) - int(0.3 * len(rows))]
        assert scores[per_class][pool.labels[per_class] == label].max() <= allowed.max()
