"""How much of planted noise strategies keep, by hand, and areas under curves by scikit-learn."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from raybert.analysis.results.notes import planted_notes
from raybert.analysis.statistics.planted import area_under_curve, planted_kept
from raybert.analysis.statistics.subsets import Subset

KINDS = {0: np.array(["flip", "flip", "", "", "", "duplicate", "", ""])}


def subset(strategy, *positions, scores=None, seed=0, kind="distinct"):
    return Subset(strategy, 4, kind, seed, 0, np.bincount(positions, minlength=8), scores)


def test_shares_are_counted_by_hand():
    scores = np.array([9.0, 7, 8, 1, 2, 3, 4, 5])
    table = planted_kept([subset("a", 0, 1, 2, 3, scores=scores), subset("a", 0, 4, 5, 6, seed=1)], KINDS)
    flip, duplicate = table.set_index("kind").loc["flip"], table.set_index("kind").loc["duplicate"]
    assert flip[["num_planted", "kept", "kept_of_all", "share", "pool_share", "ratio", "num_trials"]].tolist() == (
        pytest.approx([2, 0.75, 0.5, 0.375, 0.25, 1.5, 2])
    )
    assert flip["kept_std"] == pytest.approx(np.std([1, 0.5], ddof=1))
    assert flip["auc"] == pytest.approx(11 / 12)  # 12 pairs, one of which (7 against 8) is the wrong way round
    assert duplicate[["kept", "share", "pool_share"]].tolist() == pytest.approx([0.5, 0.125, 0.125])


def test_passes_count_each_for_itself_where_every_pass_chooses():
    table = planted_kept([subset("e", 0, 0, 0, 4, kind="per_epoch")], KINDS).set_index("kind")
    assert table.loc["flip", "share"] == pytest.approx(0.75)
    assert table.loc["flip", "kept"] == pytest.approx(0.5)


def test_nothing_planted_is_no_row():
    assert planted_kept([], {}).empty
    assert planted_notes(planted_kept([], {})) == []


def test_areas_are_those_of_scikit_learn():
    generator = np.random.default_rng(0)
    for _ in range(20):
        scores = np.round(generator.normal(size=50), 1)  # with ties
        positive = generator.random(50) < 0.3
        assert area_under_curve(scores, positive) == pytest.approx(roc_auc_score(positive, scores))
    scores[:10] = np.nan
    expected = roc_auc_score(positive[10:], scores[10:])
    assert area_under_curve(scores, positive) == pytest.approx(expected)
    assert np.isnan(area_under_curve(None, positive))
    assert np.isnan(area_under_curve(scores, np.zeros(50, bool)))


def test_the_note_names_who_takes_least_and_most_and_whose_score_tells_it():
    telling, blind = np.array([9.0, 8, 1, 2, 3, 4, 5, 6]), np.array([1.0, 8, 1, 2, 3, 4, 5, 9])
    subsets = [
        subset("all", *range(8)),
        subset("cleaner", 2, 3, 4, 5, scores=telling),
        subset("random", 0, 2, 3, 4),
        subset("dirty", 0, 1, 2, 3, scores=blind),
    ]
    assert planted_notes(planted_kept(subsets, {0: np.array(["flip", "flip", *[""] * 6])})) == [
        "planted flip, 4 examples: 25.0% of the pool, 0.0% of what cleaner chose, 50.0% of what dirty chose; the score "
        "that tells it best is that of cleaner (AUC 1.00)"
    ]


def test_a_score_that_tells_nothing_is_not_named():
    flat = np.zeros(8)
    notes = planted_notes(planted_kept([subset("a", 0, 2, 3, 4, scores=flat)], {0: np.array(["flip", *[""] * 7])}))
    assert notes == ["planted flip, 4 examples: 12.5% of the pool, 25.0% of what a chose"]
