import math

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, f1_score, log_loss, roc_auc_score

from raybert.config import LengthConfig, TrainConfig
from raybert.models import load_classifier
from raybert.training.measures.metrics import classification_metrics
from raybert.training.optimization.optimizer import build_optimizer


@pytest.mark.parametrize("num_classes", [2, 4])
def test_metrics_equal_scikit_learn(num_classes):
    generator = np.random.default_rng(0)
    labels = generator.integers(0, num_classes, 300)
    probs = generator.dirichlet(np.ones(num_classes), 300)
    ours = classification_metrics(labels, probs)
    predicted = probs.argmax(1)
    assert ours["accuracy"] == pytest.approx((predicted == labels).mean())
    assert ours["macro_f1"] == pytest.approx(f1_score(labels, predicted, average="macro"))
    assert ours["weighted_f1"] == pytest.approx(f1_score(labels, predicted, average="weighted"))
    assert ours["loss"] == pytest.approx(log_loss(labels, probs))
    if num_classes == 2:
        assert ours["auc_roc"] == pytest.approx(roc_auc_score(labels, probs[:, 1]))
        assert ours["auc_pr"] == pytest.approx(average_precision_score(labels, probs[:, 1]))
    else:
        assert ours["auc_roc"] == pytest.approx(roc_auc_score(labels, probs, multi_class="ovr"))


def test_the_area_of_a_split_with_one_class_is_undefined():
    metrics = classification_metrics(np.zeros(4, int), np.full((4, 2), 0.5))
    assert math.isnan(metrics["auc_roc"])
    assert metrics["loss"] == pytest.approx(math.log(2))


def test_biases_and_norms_are_not_decayed_and_nothing_is_left_out(tiny_bert):
    model = load_classifier(tiny_bert, ("x", "y"), 0)
    decayed, others = build_optimizer(model, TrainConfig(weight_decay=0.3)).param_groups
    names = {id(p): name for name, p in model.named_parameters()}
    assert decayed["weight_decay"] == 0.3
    assert others["weight_decay"] == 0.0
    assert len(decayed["params"]) + len(others["params"]) == len(names)
    assert all("LayerNorm" in names[id(p)] or "bias" in names[id(p)] for p in others["params"])
    assert not any("LayerNorm" in names[id(p)] or "bias" in names[id(p)] for p in decayed["params"])


@pytest.mark.parametrize(
    ("length", "budget", "expected"),
    [
        ({"epochs": 3}, 200, 100),  # 3 x 7 = 21 steps are too few
        ({"epochs": 3}, 4000, 375),
        ({"epochs": 3, "min_steps": 10}, 200, 21),
        ({"epochs": 3, "min_steps": 1000}, 200, 375),  # never above the whole pool's
        ({"steps": 7}, 200, 7),
    ],
)
def test_optimizer_steps_follow_the_budget(length, budget, expected):
    assert LengthConfig(**length).resolve(budget, 4000, 32) == expected
