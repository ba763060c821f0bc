"""What the strategies of coreset selection and active learning compute, against their formulas written out."""

import numpy as np
import pytest
from scipy.special import rel_entr
from scipy.stats import entropy

import raybert
from raybert.errors import SelectionError
from raybert.selection.strategies.dynamics import dual_depth_score, dynamic_uncertainty
from raybert.selection.strategies.places import contrast, distance_from_class

GENERATOR = np.random.default_rng(5)
DYNAMICS = GENERATOR.dirichlet(np.ones(3), (12, 6)).astype(np.float32)
LABELS = GENERATOR.integers(0, 3, 12)


def test_dynamic_uncertainty_is_the_mean_over_spans_of_the_deviation_of_p_y():
    p_y = np.array([[[0.2, 0.8], [0.4, 0.6], [0.6, 0.4], [0.6, 0.4]]])
    # Spans 0.2 .4 .6 and .4 .6 .6: deviations .2 and sqrt(((.4-.5333)^2 + 2 (.6-.5333)^2) / 2) = .1154701.
    assert dynamic_uncertainty(p_y, np.array([0]), 3)[0] == pytest.approx((0.2 + 0.1154701) / 2)
    expected = [
        np.mean([np.std(DYNAMICS[i, k : k + 4, LABELS[i]].astype(float), ddof=1) for k in range(3)]) for i in range(12)
    ]
    np.testing.assert_allclose(dynamic_uncertainty(DYNAMICS, LABELS, 4), expected)


def test_dual_depth_score_is_that_of_the_authors_code():
    span, decay, length = 4, 0.9, 6
    probs = DYNAMICS.astype(np.float64)
    expected = np.zeros(12)
    for k in range(length - span + 1):
        changes = []
        for j in range(span - 1):
            after, before = probs[:, k + j + 1], probs[:, k + j]
            changes.append(np.abs(after * (np.log(after + 1e-8) - np.log(before + 1e-8))).sum(axis=1))
        mean = sum(changes) / (span - 1)
        unevenness = np.sqrt(sum((change - mean) ** 2 for change in changes))
        expected += unevenness * decay * (1 - decay) ** (length - span - k)
    np.testing.assert_allclose(dual_depth_score(DYNAMICS, span, decay), expected)
    even = np.array([[[0.5, 0.5], [0.5, 0.5], [0.5, 0.5]]])
    assert dual_depth_score(even, 3, 0.9)[0] == 0


@pytest.mark.parametrize("name", ["dyn_unc", "tdds"])
def test_a_span_longer_than_the_run_is_refused(name):
    with pytest.raises(SelectionError, match="span: must be <= 6, the checkpoints of the run behind `dynamics`, got 7"):
        raybert.select(name, 3, labels=LABELS, dynamics=DYNAMICS, parameters={"span": 7})


def test_published_rules_of_dynamics_take_the_highest():
    chosen = raybert.select(
        "dyn_unc", 4, labels=LABELS, dynamics=DYNAMICS, parameters={"drop_hardest": 0, "balance": "none"}
    ).positions
    scores = dynamic_uncertainty(DYNAMICS, LABELS, 3)
    assert chosen.tolist() == np.argsort(-scores)[:4].tolist()


def test_moderate_takes_the_median_distances_from_the_centre_of_the_class():
    points = np.array([[0.0, 0], [1, 0], [2, 0], [9, 0], [5, 5], [5, 6]], np.float32)
    labels = np.array([0, 0, 0, 0, 1, 1])
    # Medians (1.5, 0) and (5, 5.5); means (3, 0) and (5, 5.5).
    np.testing.assert_allclose(distance_from_class(points, labels, "median"), [1.5, 0.5, 0.5, 7.5, 0.5, 0.5])
    np.testing.assert_allclose(distance_from_class(points, labels, "mean"), [3, 2, 1, 6, 0.5, 0.5])
    embeddings = GENERATOR.normal(size=(41, 5))
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    distances = np.linalg.norm(embeddings - np.median(embeddings, axis=0), axis=1)
    kept = raybert.select("moderate", 11, labels=np.zeros(41, int), embeddings=embeddings).positions
    assert set(kept.tolist()) == set(np.argsort(distances)[15:26].tolist())


def test_contrast_is_the_mean_divergence_of_the_neighbours():
    probs = GENERATOR.dirichlet(np.ones(4), 15)
    neighbours = np.array([np.setdiff1d(np.arange(15), [i])[:5] for i in range(15)])
    expected = [np.mean([rel_entr(probs[v], probs[i]).sum() for v in neighbours[i]]) for i in range(15)]
    np.testing.assert_allclose(contrast(probs, neighbours), expected)
    assert entropy(probs[1], probs[0]) == pytest.approx(rel_entr(probs[1], probs[0]).sum())


def test_cal_finds_the_example_that_its_neighbours_disagree_with():
    embeddings = np.repeat(np.eye(3), 6, axis=0) + GENERATOR.normal(scale=0.02, size=(18, 3))
    probs = np.tile([0.9, 0.1], (18, 1))
    probs[7] = [0.1, 0.9]
    labels = np.zeros(18, int)
    found = raybert.select("cal", 1, labels=labels, probs=probs, embeddings=embeddings, parameters={"neighbours": 5})
    assert found.positions.tolist() == [7]
    with pytest.raises(SelectionError, match="finite"):
        raybert.select("cal", 1, labels=labels, probs=np.full((18, 2), np.nan), embeddings=embeddings)
