"""Projections of embeddings: those of scikit-learn, up to signs, which are fixed here."""

import sys

import numpy as np
import pytest
from sklearn.decomposition import PCA

from raybert.analysis.statistics.projection import project
from raybert.analysis.statistics.subsets import Subset, first_of_each
from raybert.errors import SweepError


def test_two_components_are_those_of_a_reference_with_fixed_signs():
    generator = np.random.default_rng(0)
    rows = generator.normal(size=(200, 6)) * [5, 3, 1, 1, 0.5, 0.1] + 7
    found = project(rows)
    reference = PCA(2).fit(rows)
    np.testing.assert_allclose(np.abs(found.points), np.abs(reference.transform(rows)), atol=1e-8)
    np.testing.assert_allclose(found.shares, reference.explained_variance_ratio_, rtol=1e-6)
    np.testing.assert_allclose(project(-rows).points, -found.points, atol=1e-8)  # the axes keep their signs


def test_points_on_a_line_and_equal_points_have_places():
    line = project(np.arange(5.0)[:, None])
    np.testing.assert_allclose(line.points, [[-2, 0], [-1, 0], [0, 0], [1, 0], [2, 0]])
    assert line.shares == (1.0, 0.0)
    assert project(np.ones((4, 3))).points.tolist() == [[0.0, 0.0]] * 4


def test_what_is_not_installed_or_not_known_is_one_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "umap", None)
    with pytest.raises(SweepError, match=r"projection: umap needs a package: pip install 'raybert\[umap\]'"):
        project(np.eye(4), "umap")
    with pytest.raises(SweepError, match="projection: must be one of pca, umap, got 'tsne'"):
        project(np.eye(4), "tsne")


def subset(strategy: str, budget: int, seed: int, fold: int = 0, kind: str = "distinct") -> Subset:
    return Subset(strategy, budget, kind, seed, fold, np.array([1, 0]))


def test_a_picture_has_each_strategy_once_at_its_first_seed_and_smallest_budget():
    subsets = [
        subset("b", 20, 0),
        subset("all", 100, 0, kind="none"),
        subset("b", 10, 0),
        subset("a", 10, 1),
        subset("a", 10, 0, fold=1),
        subset("a", 20, 0),
    ]
    assert [(s.strategy, s.budget, s.seed) for s in first_of_each(subsets)] == [("b", 10, 0), ("a", 20, 0)]
