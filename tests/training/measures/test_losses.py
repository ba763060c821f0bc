import numpy as np
import pytest
import torch
from torch.nn import functional

from raybert.config import LossConfig, TrainConfig, validate_config
from raybert.errors import ConfigError
from raybert.models import load_classifier
from raybert.training import FitRequest, FixedPasses, LocalSurroundings, fit
from raybert.training.measures.losses import (
    binary_cross_entropy,
    build_loss,
    class_weights,
    focal,
    focal_alpha,
    positive_weight,
)

CPU = torch.device("cpu")
LOGITS = torch.randn(12, 3, generator=torch.Generator().manual_seed(0)) * 3
LABELS = torch.tensor([0, 1, 2, 2, 1, 0, 0, 0, 2, 1, 1, 0])
PAIRS, ANSWERS = LOGITS[:, :2], LABELS.clamp(max=1)
COUNTS = np.array([90, 10])


def build(labels=LABELS, num_classes=3, **entry):
    return build_loss(LossConfig(**entry), labels.numpy(), num_classes, CPU)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("weights", ["none", "inverse", "effective"])
def test_cross_entropy_divided_by_the_rule_is_that_of_torch(weights, smoothing):
    loss = build(class_weights=weights, label_smoothing=smoothing)
    ours = loss.values(LOGITS, LABELS).sum() / loss.denominator(LABELS.numpy())
    theirs = functional.cross_entropy(LOGITS, LABELS, weight=loss.class_weights, label_smoothing=smoothing)
    torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_focal_with_gamma_zero_is_cross_entropy_with_weights_too(smoothing):
    weight = torch.tensor([0.5, 1.0, 2.0])
    ours = focal(LOGITS, LABELS, gamma=0.0, smoothing=smoothing, weight=weight)
    theirs = functional.cross_entropy(LOGITS, LABELS, weight=weight, reduction="none", label_smoothing=smoothing)
    torch.testing.assert_close(ours, theirs)


def test_focal_by_hand():
    logits = torch.log(torch.tensor([[0.9, 0.1], [0.4, 0.6]]))
    values = focal(logits, torch.tensor([0, 0]), gamma=2.0, alpha=0.25)
    expected = [-0.75 * 0.1**2 * np.log(0.9), -0.75 * 0.6**2 * np.log(0.4)]
    np.testing.assert_allclose(values, expected, rtol=1e-5)
    positive = focal(logits, torch.tensor([1, 1]), gamma=2.0, alpha=0.25)
    np.testing.assert_allclose(positive[1], -0.25 * 0.4**2 * np.log(0.6), rtol=1e-5)


def test_binary_cross_entropy_is_cross_entropy_of_two_classes_and_weighs_positives():
    plain = functional.cross_entropy(PAIRS, ANSWERS, reduction="none")
    torch.testing.assert_close(binary_cross_entropy(PAIRS, ANSWERS), plain)
    weighted = binary_cross_entropy(PAIRS, ANSWERS, pos_weight=9.0)
    torch.testing.assert_close(weighted, plain * torch.where(ANSWERS == 1, 9.0, 1.0))
    smooth = binary_cross_entropy(PAIRS, ANSWERS, smoothing=0.1)
    torch.testing.assert_close(smooth, functional.cross_entropy(PAIRS, ANSWERS, reduction="none", label_smoothing=0.1))


def test_weights_by_hand():
    inverse, _ = class_weights(LossConfig(class_weights="inverse"), np.array([6, 3, 1]))
    np.testing.assert_allclose(inverse, [10 / 18, 10 / 9, 10 / 3])
    effective, _ = class_weights(LossConfig(class_weights="effective", beta=0.9), np.array([1, 2]))
    raw = np.array([1.0, 0.1 / (1 - 0.81)])
    np.testing.assert_allclose(effective, raw * 2 / raw.sum())
    assert effective.sum() == pytest.approx(2)


def test_a_missing_class_has_weight_zero_and_is_noted():
    weights, notes = class_weights(LossConfig(class_weights="inverse"), np.array([4, 0, 4]))
    assert weights[1] == 0
    assert notes == ("class 1 has no example to take its weight from: its weight is 0",)
    effective, _ = class_weights(LossConfig(class_weights="effective"), np.array([4, 0, 4]))
    np.testing.assert_allclose(effective, [1, 0, 1])


def test_factors_of_the_rare_class():
    assert positive_weight(LossConfig(name="bce", pos_weight="auto"), COUNTS) == 9.0
    assert positive_weight(LossConfig(name="bce", pos_weight="auto"), np.array([5000, 1])) == 100.0
    assert positive_weight(LossConfig(name="bce", pos_weight="auto"), np.array([7, 0])) == 7.0
    assert focal_alpha(LossConfig(name="focal", alpha="inverse"), COUNTS) == 0.9
    assert focal_alpha(LossConfig(name="focal", alpha="balanced"), COUNTS) == 0.1
    assert focal_alpha(LossConfig(name="focal", alpha=0.3), COUNTS) == 0.3
    assert focal_alpha(LossConfig(name="focal"), COUNTS) is None


def test_a_batch_of_weightless_classes_teaches_nothing():
    loss = build(labels=torch.tensor([0, 2]), class_weights="inverse")
    assert loss.denominator(np.array([1, 1])) == 1.0
    assert loss.values(LOGITS[:2], torch.tensor([1, 1])).sum() == 0


def test_a_loss_of_ones_own(tmp_path, monkeypatch):
    (tmp_path / "my_loss.py").write_text(
        "import torch\n"
        "def brier(logits, labels):\n"
        "    target = torch.nn.functional.one_hot(labels, logits.shape[1])\n"
        "    return (logits.softmax(1) - target).square().sum(1)\n"
        "def mean(logits, labels):\n"
        "    return brier(logits, labels).mean()\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    values = build(name="my_loss:brier").values(LOGITS, LABELS)
    expected = (LOGITS.softmax(1) - functional.one_hot(LABELS)).square().sum(1)
    torch.testing.assert_close(values, expected)
    weighted = build(name="my_loss:brier", class_weights="inverse")
    torch.testing.assert_close(weighted.values(LOGITS, LABELS), expected * weighted.class_weights[LABELS])
    with pytest.raises(ConfigError, match=r"'my_loss:mean' must return one loss per example \(12,\), got \(\)"):
        build(name="my_loss:mean").values(LOGITS, LABELS)
    with pytest.raises(ConfigError, match=r"train\.loss\.name: 'my_loss:nothing': the module has no 'nothing'"):
        build(name="my_loss:nothing")


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"name": "hinge"}, r"train\.loss\.name"),
        ({"name": "focal", "pos_weight": 2.0}, "pos_weight: must be left out, it belongs to the loss bce"),
        ({"alpha": 0.5}, "alpha: must be left out, it belongs to the loss focal"),
        ({"name": "focal", "alpha": 1.5}, r"alpha: must be in \(0, 1\), got 1.5"),
        ({"name": "bce", "pos_weight": -1}, "pos_weight: must be > 0, got -1"),
        ({"name": "a:b", "label_smoothing": 0.1}, "label_smoothing: must be left out"),
    ],
)
def test_keys_that_make_no_sense_are_one_clear_line(entry, message):
    with pytest.raises(ConfigError, match=message):
        validate_config({"train": {"loss": entry}})


def test_binary_losses_are_refused_for_more_classes():
    with pytest.raises(ConfigError, match="must not be `bce` with 3 classes"):
        build(name="bce")
    with pytest.raises(ConfigError, match=r"train\.loss\.alpha: must be left out with 3 classes"):
        build(name="focal", alpha=0.5)


def weights_after(tiny_bert, tokens, micro_batch_size=None, **loss):
    model = load_classifier(tiny_bert, tokens.label_names, 0, 0.0)
    config = TrainConfig(
        batch_size=24,
        micro_batch_size=micro_batch_size,
        learning_rate=1e-3,
        precision="fp32",
        loss=LossConfig(**loss),
        eval_every=4,
    )
    source = FixedPasses(np.arange(90), np.linspace(0.5, 2, 90).astype(np.float32))
    result = fit(model, tokens, source, FitRequest(config, total_steps=4, seed=0), LocalSurroundings())
    return result, model.classifier.weight.detach().clone()


@pytest.mark.parametrize(
    "loss", [{"class_weights": "inverse"}, {"name": "focal", "label_smoothing": 0.1, "weights_from": "selection"}]
)
def test_accumulation_does_not_change_a_weighted_loss(tiny_bert, tokens, loss):
    _, whole = weights_after(tiny_bert, tokens, **loss)
    result, parts = weights_after(tiny_bert, tokens, micro_batch_size=7, **loss)
    torch.testing.assert_close(whole, parts, atol=1e-5, rtol=1e-4)
    assert result.optimizer_steps == 4


def test_the_history_is_the_plain_loss_whatever_is_minimised(tiny_bert, tokens):
    plain, one = weights_after(tiny_bert, tokens)
    smoothed, other = weights_after(tiny_bert, tokens, label_smoothing=0.5)
    assert not torch.equal(one, other)
    first = slice(0, 24)  # before the first step both models are the same
    seen = ~np.isnan(plain.train_losses)
    batch = np.flatnonzero(seen)[first]
    assert len(batch) == 24
    assert (plain.train_losses[seen] > 0).all()
    assert np.isclose(plain.train_losses, smoothed.train_losses, rtol=1e-5).sum() >= 24
