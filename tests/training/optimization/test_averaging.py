import copy
import math

import numpy as np
import pytest
import torch
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn, get_swa_multi_avg_fn

from raybert.config import AveragingConfig, EarlyStoppingConfig, TrainConfig
from raybert.models import load_classifier
from raybert.training import FitRequest, FixedPasses, Inference, LocalSurroundings, fit
from raybert.training.measures.early_stopping import evaluations_since_better
from raybert.training.optimization.averaging import WeightAverage


@pytest.mark.parametrize(
    ("config", "function"),
    [
        (AveragingConfig(kind="ema", decay=0.8, start=0.3), get_ema_multi_avg_fn(0.8)),
        (AveragingConfig(kind="swa", start=0.3), get_swa_multi_avg_fn()),
    ],
)
def test_averages_are_those_of_torch_from_their_start_on(config, function):
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.Linear(3, 2))
    theirs = AveragedModel(model, multi_avg_fn=function)
    ours = WeightAverage(model, config)
    for step in range(1, 11):
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(torch.randn_like(parameter))
        ours.update(step, 10)
        if step >= 3:
            theirs.update_parameters(model)
    before = copy.deepcopy(model.state_dict())
    with ours.applied():
        for parameter, expected in zip(model.parameters(), theirs.module.parameters(), strict=True):
            torch.testing.assert_close(parameter, expected)
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name])


def test_before_its_start_there_is_no_average():
    model = torch.nn.Linear(2, 2)
    average = WeightAverage(model, AveragingConfig(kind="swa", start=0.9))
    average.update(8, 10)
    weight = model.weight.detach().clone()
    with average.applied():
        assert torch.equal(model.weight, weight)
    assert average.count == 0


def run(model, tokens, config, surroundings=None, total_steps=20):
    source = FixedPasses(np.arange(96))
    request = FitRequest(config, total_steps, seed=0)
    return fit(model, tokens, source, request, surroundings or LocalSurroundings())


SETTINGS = {"batch_size": 16, "learning_rate": 3e-3, "precision": "fp32", "eval_every": 4, "checkpoint_seconds": 0}


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["ema", "swa"])
def test_the_average_is_what_is_evaluated_kept_and_continued(tiny_bert, tokens, tmp_path, kind):
    averaging = AveragingConfig(kind=kind, decay=0.7, start=0.2)
    config = TrainConfig(**SETTINGS, averaging=averaging)
    model = load_classifier(tiny_bert, tokens.label_names, 0)
    whole = run(model, tokens, config)
    kept = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    table = tokens.test
    probs = Inference(model, tokens, "fp32").probs(table)
    np.testing.assert_allclose(probs, whole.test_probs, atol=1e-6)
    plain = run(load_classifier(tiny_bert, tokens.label_names, 0), tokens, TrainConfig(**SETTINGS))
    assert plain.rows[-1]["validation_loss"] != whole.rows[-1]["validation_loss"]
    assert plain.rows[-1]["train_loss"] == whole.rows[-1]["train_loss"]  # training itself is the same

    class StopAtTwelve(LocalSurroundings):
        def should_stop(self) -> bool:
            return len(self.rows) == 3

    model = load_classifier(tiny_bert, tokens.label_names, 0)
    assert run(model, tokens, config, StopAtTwelve(tmp_path)).stopped
    model = load_classifier(tiny_bert, tokens.label_names, 5)
    again = run(model, tokens, config, LocalSurroundings(tmp_path))
    assert again.test_metrics == whole.test_metrics
    assert all(torch.equal(value, kept[name]) for name, value in model.state_dict().items())


def test_patience_counts_evaluations_without_a_better_score():
    assert evaluations_since_better([0.5, 0.6, 0.6, 0.59], 0.0) == 2
    assert evaluations_since_better([0.5, 0.6, 0.61, 0.62], 0.05) == 2
    assert evaluations_since_better([0.5, 0.54, 0.58], 0.05) == 0
    assert evaluations_since_better([math.nan, 0.1], 0.0) == 0
    assert evaluations_since_better([0.1, math.nan], 0.0) == 1
    assert evaluations_since_better([], 0.0) == 0


def test_training_ends_when_patience_does_with_the_best_weights(tiny_bert, tokens):
    config = TrainConfig(
        **SETTINGS, best_metric="loss", early_stopping=EarlyStoppingConfig(patience=2, min_change=10.0)
    )
    result = run(load_classifier(tiny_bert, tokens.label_names, 0), tokens, config)
    # The first evaluation is better than nothing, the next two are not ten nats better.
    assert result.optimizer_steps == 12
    assert not result.stopped
    assert result.best_row["validation_loss"] == min(row["validation_loss"] for row in result.rows)
    assert result.test_metrics is not None


@pytest.mark.parametrize("metric", ["auc_roc", "weighted_f1"])
def test_any_metric_may_choose_the_best_evaluation(tiny_bert, tokens, metric):
    config = TrainConfig(**SETTINGS, best_metric=metric)
    result = run(load_classifier(tiny_bert, tokens.label_names, 0), tokens, config)
    values = [row[f"validation_{metric}"] for row in result.rows]
    assert result.best_row is result.rows[int(np.argmax(values))]
