"""Losses of sets of labels and of numbers: by hand, beside torch, and beside what transformers compute."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from raybert.config import LossConfig
from raybert.errors import ConfigError
from raybert.training.measures.target_losses import bce_of_labels, build_target_loss, errors, focal_of_labels

CPU = torch.device("cpu")


def outputs_and_labels() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(6, 3, generator=generator), (torch.rand(6, 3, generator=generator) < 0.4).float()


def test_binary_losses_are_those_of_torch():
    logits, targets = outputs_and_labels()
    weights = torch.tensor([1.0, 2.5, 0.5])
    wanted = nn.BCEWithLogitsLoss(pos_weight=weights, reduction="none")(logits, targets).mean(dim=1)
    assert torch.allclose(bce_of_labels(logits, targets, weights), wanted)
    assert bce_of_labels(torch.zeros(1, 2), torch.tensor([[1.0, 0.0]])).item() == pytest.approx(math.log(2))


def test_focal_losses_by_hand_and_without_gamma_they_are_binary_ones():
    logits = torch.tensor([[math.log(3.0), 0.0]])  # p = .75, .5
    found = focal_of_labels(logits, torch.tensor([[1.0, 0.0]]), gamma=2.0, alpha=torch.tensor([0.25, 0.25]))
    wanted = (0.25 * 0.25**2 * -math.log(0.75) + 0.75 * 0.5**2 * -math.log(0.5)) / 2
    assert found.item() == pytest.approx(wanted)
    logits, targets = outputs_and_labels()
    assert torch.allclose(focal_of_labels(logits, targets, gamma=0.0), bce_of_labels(logits, targets))
    smoothed = focal_of_labels(logits, targets, gamma=0.0, smoothing=0.2)
    assert torch.allclose(smoothed, bce_of_labels(logits, targets, smoothing=0.2), atol=1e-6)


def test_errors_of_numbers_are_those_of_torch_once_standardised():
    found, wanted = torch.tensor([[3.0], [10.0]]), torch.tensor([[1.0], [0.0]])
    assert errors(found, wanted, 2.0).tolist() == [1.0, 25.0]
    huber = nn.HuberLoss(delta=1.5, reduction="none")
    assert torch.allclose(errors(found, wanted, 2.0, 1.5), huber(found / 2, wanted / 2)[:, 0])


def test_weights_are_counted_label_by_label():
    targets = np.array([[1, 0], [0, 0], [0, 1], [0, 0]] * 3, np.float32)
    targets[0, 1] = 1
    logits, some = torch.zeros(1, 2), torch.tensor([[1.0, 1.0]])
    loss = build_target_loss(LossConfig(name="bce", pos_weight="auto"), "multi_label", targets, 1.0, CPU)
    assert loss.values(logits, some).item() == pytest.approx(math.log(2) * (9 / 3 + 8 / 4) / 2)
    loss = build_target_loss(LossConfig(name="bce", pos_weight=3), "multi_label", targets, 1.0, CPU)
    assert loss.values(logits, some).item() == pytest.approx(3 * math.log(2))
    loss = build_target_loss(LossConfig(name="focal", gamma=0, alpha="inverse"), "multi_label", targets, 1.0, CPU)
    assert loss.values(logits, some).item() == pytest.approx(math.log(2) * (9 / 12 + 8 / 12) / 2)
    assert loss.plain(logits, some).item() == pytest.approx(math.log(2))
    assert loss.denominator(targets[:5]) == 5.0


def test_a_loss_of_ones_own_must_give_one_value_an_example():
    logits, targets = outputs_and_labels()
    own = build_target_loss(
        LossConfig(), "multi_label", targets.numpy(), 1.0, CPU, function=lambda x, y: ((x - y) ** 2).sum(dim=1)
    )
    assert own.values(logits, targets).shape == (6,)
    wrong = build_target_loss(LossConfig(), "multi_label", targets.numpy(), 1.0, CPU, function=lambda x, y: x - y)
    with pytest.raises(ConfigError, match=r"one loss per example \(6,\), got \(6, 3\)"):
        wrong.values(logits, targets)
