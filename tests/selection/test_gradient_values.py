"""BADGE, BALD and SCDP against their definitions."""

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.sparse import csr_matrix
from scipy.stats import entropy
from sklearn.feature_extraction.text import TfidfVectorizer

import raybert
from raybert.errors import SelectionError
from raybert.selection.geometry.gradients import hallucinated_residuals, spread_by_squared_distance
from raybert.selection.scorers.tfidf import geometric_median, tfidf_distances
from raybert.selection.strategies.gradients import mutual_information

GENERATOR = np.random.default_rng(2)
N, C, D = 30, 3, 5
PROBS = GENERATOR.dirichlet(np.ones(C), N).astype(np.float32)
FEATURES = GENERATOR.normal(size=(N, D)).astype(np.float32)
GRADIENTS = np.einsum("nc,nd->ncd", hallucinated_residuals(PROBS).astype(float), FEATURES.astype(float)).reshape(N, -1)


def test_the_residual_takes_the_prediction_for_the_label():
    probs = np.array([[0.7, 0.2, 0.1], [0.1, 0.3, 0.6]])
    np.testing.assert_allclose(hallucinated_residuals(probs), [[-0.3, 0.2, 0.1], [0.1, 0.3, -0.4]], atol=1e-7)


def test_distances_are_those_of_the_outer_products_that_nobody_makes():
    positions, distances = spread_by_squared_distance(
        hallucinated_residuals(PROBS), FEATURES, 12, np.random.default_rng(0)
    )
    assert positions[0] == np.linalg.norm(GRADIENTS, axis=1).argmax()
    assert len(set(positions.tolist())) == 12
    expected = [np.linalg.norm(GRADIENTS[positions[0]])] + [
        np.linalg.norm(GRADIENTS[positions[k]] - GRADIENTS[positions[:k]], axis=1).min() for k in range(1, 12)
    ]
    np.testing.assert_allclose(distances, expected, rtol=1e-4)


def test_the_second_is_drawn_by_its_squared_distance():
    residuals, draws = hallucinated_residuals(PROBS[:8]), 3000
    gradients = GRADIENTS[:8]
    first = int(np.linalg.norm(gradients, axis=1).argmax())
    chances = np.square(gradients - gradients[first]).sum(axis=1)
    generator = np.random.default_rng(1)
    second = [spread_by_squared_distance(residuals, FEATURES[:8], 2, generator)[0][1] for _ in range(draws)]
    shares = np.bincount(second, minlength=8) / draws
    np.testing.assert_allclose(shares, chances / chances.sum(), atol=4 * 0.5 / np.sqrt(draws))


def test_equal_gradients_are_not_drawn_twice_before_all_others_and_then_by_the_tie_key():
    same = np.repeat(np.arange(3), 4)
    positions, distances = spread_by_squared_distance(
        hallucinated_residuals(PROBS)[same], FEATURES[same], 12, np.random.default_rng(0), tie_keys=np.arange(12)[::-1]
    )
    assert set(same[positions[:3]]) == {0, 1, 2}
    assert (distances[3:] == 0).all()
    assert positions[3:].tolist() == sorted(positions[3:].tolist(), reverse=True)


def test_badge_reads_the_first_proxy_and_goes_on_from_what_is_selected():
    labels = np.zeros(N, int)
    stacked = np.stack([PROBS, PROBS[::-1]], axis=1)
    one, two = (
        raybert.select("badge", 5, labels=labels, probs=probs, features=FEATURES).positions.tolist()
        for probs in (PROBS, stacked)
    )
    assert one == two
    later, distances = spread_by_squared_distance(
        hallucinated_residuals(PROBS), FEATURES, 3, np.random.default_rng(0), selected=one
    )
    assert not set(later) & set(one)
    assert distances[0] == pytest.approx(np.linalg.norm(GRADIENTS[later[0]] - GRADIENTS[one], axis=1).min(), rel=1e-4)
    with pytest.raises(SelectionError, match="finite"):
        raybert.select("badge", 5, labels=labels, probs=PROBS, features=np.full((N, D), np.nan))


def test_mutual_information_is_entropy_of_the_mean_less_mean_of_the_entropies():
    passes = GENERATOR.dirichlet(np.ones(4), (20, 7))
    expected = [entropy(p.mean(axis=0)) - np.mean([entropy(q) for q in p]) for p in passes]
    np.testing.assert_allclose(mutual_information(passes), expected)
    # Sure of one class and then of another: ln 2. Unsure in the same way each time: nothing.
    np.testing.assert_allclose(
        mutual_information(np.array([[[1.0, 0], [0, 1]], [[0.5, 0.5], [0.5, 0.5]]])), [np.log(2), 0]
    )
    chosen = raybert.select("bald", 1, labels=[0, 0], dropout_probs=np.array([[[0.5, 0.5]] * 2, [[1.0, 0], [0, 1]]]))
    assert chosen.positions.tolist() == [1]


@pytest.mark.parametrize("shape", [(9, 2), (25, 4), (40, 3)])
def test_the_geometric_median_is_what_a_general_optimiser_finds(shape):
    rows = np.random.default_rng(shape[0]).normal(size=shape) ** 3

    def total(point):
        return np.linalg.norm(rows - point, axis=1).sum()

    found = geometric_median(csr_matrix(rows))
    best = minimize(
        total, rows.mean(axis=0), method="Nelder-Mead", options={"xatol": 1e-9, "fatol": 1e-12, "maxiter": 20000}
    )
    assert total(found) <= best.fun + 1e-6
    np.testing.assert_allclose(found, best.x, atol=1e-3)


def test_a_median_that_is_a_row_is_found_and_one_that_is_none_is_left():
    heavy = np.array([[0.0, 0]] * 5 + [[1, 0], [0, 1], [-1, -1]])
    np.testing.assert_allclose(geometric_median(csr_matrix(heavy)), [0, 0], atol=1e-5)
    # The mean (1, 0) is a row, and no median: with three rows on a line to the left it lies further there.
    rows = np.array([[-1.0, 0], [-1.1, 0], [-0.9, 0], [1, 0], [7, 0]])
    assert geometric_median(csr_matrix(rows))[0] == pytest.approx(-0.9, abs=1e-3)
    assert geometric_median(csr_matrix(np.ones((4, 2)))).tolist() == [1, 1]


TEXTS = ["a cat sat", "a cat ran", "a dog ran far away", "zebra quark zebra", "a cat sat on a dog"]


def test_tf_and_idf_are_those_of_the_paper():
    words = [text.split() for text in TEXTS]
    vocabulary = sorted({word for text in words for word in text})
    idf = {word: np.log(5 / (1 + sum(word in text for text in words))) for word in vocabulary}
    rows = np.array([[text.count(word) / len(text) * idf[word] for word in vocabulary] for text in words])
    middle = geometric_median(csr_matrix(rows))
    np.testing.assert_allclose(tfidf_distances(TEXTS), np.linalg.norm(rows - middle, axis=1), rtol=1e-5)
    assert TfidfVectorizer(token_pattern=r"(?u)\b\w+\b").fit(TEXTS).get_feature_names_out().tolist() == vocabulary
    assert tfidf_distances(["", " !", "?"]).tolist() == [0, 0, 0]
    assert np.isfinite(tfidf_distances(["", "one", "two words"])).all()


def test_scdp_takes_the_far_of_small_pools_and_strata_of_large_ones():
    far = raybert.select("scdp", 1, labels=[0] * 5, texts=TEXTS).positions
    assert far.tolist() == [3]
    distances = np.concatenate([np.linspace(0, 0.9, 190), np.linspace(9, 10, 10)])
    labels = np.zeros(200, int)
    kept = {
        size: distances[
            raybert.select(
                "scdp", 20, labels=labels, tfidf_distance=distances, parameters={"large_from": size, "strata": 10}
            ).positions
        ]
        for size in (200, 201)
    }
    assert kept[201].min() >= np.sort(distances)[-20]
    assert (kept[200] < 5).sum() == 10  # of the two strata with members half each
