"""A checkpoint of `raybert.fit` belongs to the data and objects that it was begun with: others are refused."""

import functools
import sys

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.optim.lr_scheduler import LambdaLR, SequentialLR, StepLR

import raybert
from raybert.training import PassPlan

X = torch.randn(40, 5, generator=torch.Generator().manual_seed(0))
Y = (X[:, 0] > 0).long()
ROWS = (X[:10], Y[:10])


def weighted(logits, labels, weight=1.0):
    return weight * functional.cross_entropy(logits, labels, reduction="none")


class Loss(nn.Module):
    def __init__(self, weight):
        super().__init__()
        self.weight = weight

    def forward(self, logits, labels):
        return weighted(logits, labels, self.weight)


class Items(torch.utils.data.Dataset):
    """Item by item, as a user's own dataset; with random ones no two readings are alike."""

    def __init__(self, inputs, labels, is_random=False):
        self.inputs, self.labels, self.is_random = inputs, labels, is_random

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, row):
        item = self.inputs[row]
        return (item + torch.rand(5) if self.is_random else item), self.labels[row]


class First:
    """Trains on the first rows."""

    def __init__(self, rows):
        self.rows = rows

    def next_pass(self, number, plan, view):
        return PassPlan(np.arange(self.rows))


def in_turn(model, factor):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    turns = [LambdaLR(optimizer, lambda _: factor), StepLR(optimizer, 3)]
    return {"optimizer": optimizer, "schedule": SequentialLR(optimizer, turns, [2])}


def fit(folder, model=None, dropout=0.0, make=None, **options):
    torch.manual_seed(1)
    model = nn.Sequential(nn.Dropout(dropout), nn.Linear(5, 2)) if model is None else model
    options = {"train": (X, Y), "validation": ROWS, **options, **({} if make is None else make(model))}
    return raybert.fit(model, steps=4, batch_size=8, device="cpu", checkpoint=folder, **options)


CHANGES = {
    "inputs": ({"train": (X, Y)}, {"train": (X * 2, Y)}, "own.data"),
    "items": ({"train": Items(X, Y)}, {"train": Items(X * 2, Y)}, "own.data"),
    "validation": ({"validation": ROWS}, {"validation": (X[1:11], Y[:10])}, "own.data"),
    "dropout": ({"dropout": 0.0}, {"dropout": 0.1}, "own.model"),
    "loss module": ({"loss": Loss(1.0)}, {"loss": Loss(2.0)}, "own.loss"),
    "torch's loss": (
        {"loss": nn.CrossEntropyLoss(reduction="none")},
        {"loss": nn.CrossEntropyLoss(reduction="none", label_smoothing=0.1)},
        "own.loss",
    ),
    "partial": (
        {"loss": functools.partial(weighted, weight=1.0)},
        {"loss": functools.partial(weighted, weight=2.0)},
        "own.loss",
    ),
    "closure": (
        {"loss": (lambda weight: lambda x, y: weighted(x, y, weight))(1.0)},
        {"loss": (lambda weight: lambda x, y: weighted(x, y, weight))(2.0)},
        "own.loss",
    ),
    "planner": ({"strategy": First(8)}, {"strategy": First(16)}, "own.chosen"),
    "schedules in turn": (
        {"make": lambda model: in_turn(model, 1.0)},
        {"make": lambda model: in_turn(model, 0.5)},
        "own.schedule",
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_finished_run_is_returned_for_the_same_and_refused_for_other(tmp_path, change):
    before, after, key = CHANGES[change]
    first = fit(tmp_path, **before)
    rows = []
    again = fit(tmp_path, on_evaluation=rows.append, **before)
    assert rows == []
    np.testing.assert_array_equal(again.validation_probs, first.validation_probs)
    with pytest.raises(raybert.TrialError, match=rf"other options, data or parts \(differs in .*{key}"):
        fit(tmp_path, **after)


def test_a_stopped_run_does_not_go_on_with_another_loss(tmp_path):
    steps = iter(range(9))
    assert fit(tmp_path, loss=Loss(1.0), should_stop=lambda: next(steps) >= 2, checkpoint_seconds=0).stopped
    with pytest.raises(raybert.TrialError, match="belongs to a run with other settings"):
        fit(tmp_path, loss=Loss(2.0), checkpoint_seconds=0)


def test_the_weights_that_it_begins_with_and_random_items_do_not_count(tmp_path):
    first = fit(tmp_path, train=Items(X, Y, is_random=True), model=nn.Linear(5, 2))
    again = fit(tmp_path, train=Items(X, Y, is_random=True), model=nn.Linear(5, 2))
    np.testing.assert_array_equal(again.validation_probs, first.validation_probs)


def test_other_test_data_are_measured_with_the_weights_that_are_there(tmp_path):
    first = fit(tmp_path, test=ROWS)
    turned = (X[:10], 1 - Y[:10])
    again = fit(tmp_path, test=turned)
    assert again.test["accuracy"] == pytest.approx(1 - first.test["accuracy"])
    assert again.test == fit(None, test=turned).test
    assert fit(tmp_path).test is None
    assert fit(tmp_path, test=ROWS).test == first.test


def test_changed_code_of_a_metric_that_is_named_is_another_run(tmp_path, monkeypatch):
    def named(code):
        folder = tmp_path / code
        folder.mkdir()
        (folder / "named_metric.py").write_text(f"def hits(labels, probs):\n    return {code}\n")
        monkeypatch.syspath_prepend(folder)
        monkeypatch.delitem(sys.modules, "named_metric", raising=False)
        return fit(tmp_path / "run", metrics=["named_metric:hits"], best_metric="hits")

    named("0.25")
    with pytest.raises(raybert.TrialError, match=r"differs in own.named.metrics.hits"):
        named("0.75")
