"""The public modules for scripts: `raybert.losses`, `raybert.metrics`, `raybert.folds`."""

import numpy as np
import pytest
import torch
from sklearn.metrics import balanced_accuracy_score, confusion_matrix, f1_score, matthews_corrcoef
from torch.nn import functional

import raybert

LABELS = np.array([0] * 12 + [1] * 6 + [2] * 6)


def test_losses_are_those_of_torch_where_torch_has_them():
    logits, labels = torch.randn(6, 3, generator=torch.Generator().manual_seed(0)), torch.tensor([0, 1, 2, 0, 1, 2])
    plain = functional.cross_entropy(logits, labels, reduction="none")
    torch.testing.assert_close(raybert.losses.cross_entropy(logits, labels), plain)
    torch.testing.assert_close(raybert.losses.focal(logits, labels, gamma=0.0), plain)
    torch.testing.assert_close(raybert.losses.focal(logits, labels, gamma=2.0), plain * (1 - (-plain).exp()) ** 2)


def test_weights_of_classes_follow_from_labels():
    np.testing.assert_allclose(raybert.losses.class_weights(LABELS), [24 / 36, 24 / 18, 24 / 18])
    assert raybert.losses.class_weights([0, 0, 2], num_classes=4)[[1, 3]].tolist() == [0.0, 0.0]
    assert raybert.losses.positive_weight([0, 0, 0, 1]) == 3.0
    assert raybert.losses.focal_alpha([0, 0, 0, 1]) == 0.75
    assert raybert.losses.focal_alpha([0, 0, 0, 1], "balanced") == 0.25
    with pytest.raises(raybert.DataError, match=r"labels: must be \(n,\) class numbers 0..1, got int64"):
        raybert.losses.positive_weight([0, 2])
    with pytest.raises(raybert.ConfigError, match="class_weights: must be"):
        raybert.losses.class_weights(LABELS, "inverted")


def test_metrics_are_those_of_scikit_learn():
    probs = np.random.default_rng(0).dirichlet(np.ones(3), 24)
    predicted = probs.argmax(1)
    found = raybert.metrics.measure(LABELS, probs)
    assert found["macro_f1"] == pytest.approx(f1_score(LABELS, predicted, average="macro"))
    assert found["mcc"] == pytest.approx(matthews_corrcoef(LABELS, predicted))
    assert found["macro_recall"] == pytest.approx(balanced_accuracy_score(LABELS, predicted))
    assert found["ece"] == raybert.metrics.calibration_error(LABELS, probs)
    np.testing.assert_array_equal(raybert.metrics.confusion(LABELS, predicted), confusion_matrix(LABELS, predicted))
    assert raybert.metrics.per_class(LABELS, probs)["num_examples"].tolist() == [12, 6, 6]
    assert raybert.metrics.measure([0, 1, 1, 0], [0.1, 0.9, 0.4, 0.2])["recall"] == 0.5  # of class 1 alone
    with pytest.raises(raybert.DataError, match="rows must sum to 1; take the softmax"):
        raybert.metrics.measure([0, 1], [[3.0, 1.0], [0.0, 1.0]])
    with pytest.raises(raybert.DataError, match=r"labels: must be class numbers 0..1"):
        raybert.metrics.measure([0, 2], [0.1, 0.9])


def test_folds_spread_classes_keep_groups_whole_and_follow_the_seed():
    fold = raybert.folds.assign(LABELS, 3)
    assert np.bincount(fold).tolist() == [8, 8, 8]
    assert all(np.bincount(LABELS[fold == f]).tolist() == [4, 2, 2] for f in range(3))
    assert not np.array_equal(fold, raybert.folds.assign(LABELS, 3, seed=1))
    np.testing.assert_array_equal(fold, raybert.folds.assign(LABELS, 3))
    groups = np.arange(24) // 2
    grouped = raybert.folds.assign(LABELS, 3, groups=groups)
    assert all(len(set(grouped[groups == group])) == 1 for group in set(groups))
    with pytest.raises(raybert.DataError, match=r"num_folds: must be <= 3 \(groups of class 1\), got 4"):
        raybert.folds.assign(LABELS, 4, groups=groups)


def test_cuts_meet_their_shares_class_by_class():
    part = raybert.folds.cut(LABELS, [1 / 3, 1 / 3])
    assert [np.bincount(LABELS[part == p]).tolist() for p in range(3)] == [[4, 2, 2]] * 3
    with pytest.raises(raybert.DataError, match="in total below 1"):
        raybert.folds.cut(LABELS, [0.5, 0.5])
