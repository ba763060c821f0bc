"""Training on sets of labels and on numbers: what is learned, said in its own unit, and loaded by plain transformers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModelForSequenceClassification

from raybert.config import CheckpointsConfig, LossConfig, ModelConfig, StartConfig, TrainConfig
from raybert.data import TokenizedData
from raybert.data.examples import answers_of
from raybert.models import Encoder, build_classifier, load_model
from raybert.models.tasks import fold_scale, scale_outputs, task_of
from raybert.training import FitRequest, LocalSurroundings
from raybert.training.inference import Inference
from raybert.training.kept import kept_checkpoints
from raybert.training.measures.of_targets import target_metrics
from raybert.training.targets import objective_of
from tests.processes import on_ranks
from tests.training.test_loop import FAST, StopAfter, train


def with_labels(data: TokenizedData) -> TokenizedData:
    """Two labels from the class that the first word piece gives away: of class 0 the first, of 1 both, of 2 none."""
    sets = np.array([[1, 0], [1, 1], [0, 0]], np.float32)
    tables = {name: replace(table, targets=sets[table.labels]) for name, table in tables_of(data).items()}
    return replace(data, **tables, task="multi_label", outputs=("first", "second"))


def with_numbers(data: TokenizedData) -> TokenizedData:
    values = np.array([[100.0], [140.0], [90.0]], np.float32)
    tables = {name: replace(table, targets=values[table.labels]) for name, table in tables_of(data).items()}
    return replace(data, **tables, task="regression", outputs=("price",))


def tables_of(data: TokenizedData) -> dict:
    return {name: getattr(data, name) for name in ("train", "validation", "test")}


MAKERS = {"multi_label": (with_labels, "bce", "micro_f1"), "regression": (with_numbers, "mse", "rmse")}


def config_of(task: str, **changes: object) -> TrainConfig:
    _, loss, metric = MAKERS[task]
    return FAST.model_copy(update={"loss": LossConfig(name=loss), "best_metric": metric, **changes})


def model_of(encoder: Encoder, data: TokenizedData, **settings: object) -> object:
    return build_classifier(encoder, data.output_names, 0, ModelConfig(dropout=0.0, **settings), data.task)


@pytest.mark.parametrize("task", MAKERS)
@pytest.mark.parametrize("settings", [{}, {"pooling": "mean"}], ids=["own head", "pooled"])
def test_a_separable_problem_is_learned(tiny_bert: Encoder, tokens: TokenizedData, task: str, settings: dict):
    data = MAKERS[task][0](tokens)
    model = model_of(tiny_bert, data, **settings)
    result = train(model, data, config_of(task, learning_rate=4e-3), total_steps=120)
    metrics = result.test_metrics or {}
    if task == "multi_label":
        assert metrics["micro_f1"] > 0.95
        assert 0 <= result.best_row["train_accuracy"] <= 1
    else:
        assert metrics["rmse"] < 6  # of 90, 100 and 140
        assert metrics["pearson"] > 0.95
        assert np.isnan(result.best_row["train_accuracy"])
    assert metrics == pytest.approx(target_metrics(answers_of(data.test), result.test_probs))
    assert np.isfinite(result.train_losses).all()


@pytest.mark.parametrize("task", MAKERS)
def test_best_loads_with_plain_transformers_whose_predictions_and_loss_are_ours(
    tiny_bert: Encoder, tokens: TokenizedData, tmp_path: Path, task: str
):
    data = MAKERS[task][0](tokens)
    model = model_of(tiny_bert, data)
    result = train(model, data, config_of(task), total_steps=20, surroundings=StopAfter(tmp_path, 10**6))
    folder = tmp_path / "best"
    plain = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    assert plain.config.problem_type == {"multi_label": "multi_label_classification"}.get(task, task)
    assert plain.config.id2label == dict(enumerate(data.output_names))
    batch = data.batch(data.test, np.arange(len(data.test)))
    with torch.no_grad():
        outputs = plain(**batch)
    probs = outputs.logits.sigmoid() if task == "multi_label" else outputs.logits
    assert np.allclose(probs.numpy(), result.test_probs, rtol=1e-4, atol=1e-4)
    metrics = target_metrics(answers_of(data.test), result.test_probs)
    ours = metrics["loss"] if task == "multi_label" else metrics["rmse"] ** 2
    assert outputs.loss.item() == pytest.approx(ours, rel=1e-4)
    assert task_of(load_model(folder)) == task
    again = Inference(load_model(folder), data, "fp32").probs(data.test)
    assert np.allclose(again, result.test_probs, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("task", MAKERS)
def test_a_run_that_is_stopped_goes_on_as_if_it_was_not(
    tiny_bert: Encoder, tokens: TokenizedData, tmp_path: Path, task: str
):
    data = MAKERS[task][0](tokens)
    whole = train(model_of(tiny_bert, data), data, config_of(task), total_steps=14)
    model = model_of(tiny_bert, data)
    assert train(model, data, config_of(task), total_steps=14, surroundings=StopAfter(tmp_path, 1)).stopped
    rest = train(
        model_of(tiny_bert, data), data, config_of(task), total_steps=14, surroundings=StopAfter(tmp_path, 10**6)
    )
    assert np.array_equal(whole.test_probs, rest.test_probs)
    assert np.array_equal(whole.train_losses, rest.train_losses)


@pytest.mark.parametrize("loss", [LossConfig(name="huber", delta=0.5), LossConfig(name="mse")])
def test_the_unit_of_numbers_changes_nothing_but_the_unit(tiny_bert: Encoder, tokens: TokenizedData, loss: LossConfig):
    data = with_numbers(tokens)
    scaled = replace(
        data,
        **{name: replace(table, targets=table.targets * 1000 + 5) for name, table in tables_of(data).items()},
    )
    config = config_of("regression", loss=loss)
    one, other = (train(model_of(tiny_bert, each), each, config, total_steps=12) for each in (data, scaled))
    assert np.allclose(one.test_probs * 1000 + 5, other.test_probs, rtol=1e-3)


def test_the_scale_of_a_model_goes_into_its_last_layer(tiny_bert: Encoder, tokens: TokenizedData):
    data = with_numbers(tokens)
    model = model_of(tiny_bert, data).eval()
    inference = Inference(model, data, "fp32")
    bare = inference.probs(data.test)
    scale_outputs(model, 110.0, 20.0)
    scaled = inference.probs(data.test)
    assert np.allclose(scaled, bare * 20 + 110, rtol=1e-6)
    fold_scale(model)
    fold_scale(model)  # nothing is left to fold
    assert np.allclose(inference.probs(data.test), scaled, rtol=1e-5)
    again = model_of(tiny_bert, data).eval()
    assert np.array_equal(Inference(again, data, "fp32").probs(data.test), bare)


def test_a_reused_process_forgets_the_scale_of_the_run_before(tiny_bert: Encoder, tokens: TokenizedData):
    data = with_numbers(tokens)
    first = train(model_of(tiny_bert, data), data, config_of("regression"), total_steps=8)
    model = model_of(tiny_bert, data)
    scale_outputs(model, 3.0, 9.0)  # as if a run had died in between
    second = train(model_of(tiny_bert, data), data, config_of("regression"), total_steps=8)
    assert np.array_equal(first.test_probs, second.test_probs)


def test_one_of_several_labels_is_what_transformers_train(tiny_bert: Encoder, tokens: TokenizedData):
    data = with_labels(tokens)
    model = model_of(tiny_bert, data).eval()
    batch = data.batch(data.train, np.arange(16))
    outputs = model(**batch)
    request = FitRequest(config=config_of("multi_label"), total_steps=1, seed=0)
    objective = objective_of(model, data, request)
    found = objective.losses(outputs.logits, batch)
    assert found.terms[0].mean().item() == pytest.approx(outputs.loss.item(), rel=1e-6)
    assert torch.equal(found.values, found.terms[0].detach())


def _train_as_rank(rank: int, world_size: int, task: str, tokens: TokenizedData, encoder: Encoder) -> tuple:
    data = MAKERS[task][0](tokens)
    model = model_of(encoder, data)
    surroundings = LocalSurroundings(rank=rank, world_size=world_size)
    result = train(model, data, config_of(task), total_steps=10, surroundings=surroundings)
    return [row["train_loss"] for row in result.rows], result.test_probs, result.train_losses


@pytest.mark.slow
@pytest.mark.parametrize("task", MAKERS)
def test_two_ranks_equal_one_process_with_the_same_global_batch(tiny_bert: Encoder, tokens: TokenizedData, task: str):
    one = _train_as_rank(0, 1, task, tokens, tiny_bert)
    two, _ = on_ranks(_train_as_rank, 2, 2, task, tokens, tiny_bert)
    for ours, theirs in zip(two, one, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("task", MAKERS)
def test_checkpoints_say_what_their_evaluation_measured_and_change_nothing(
    tiny_bert: Encoder, tokens: TokenizedData, tmp_path: Path, task: str
):
    data = MAKERS[task][0](tokens)
    config = config_of(task, eval_every=4)
    whole = train(model_of(tiny_bert, data), data, config, total_steps=8)
    kept = config.model_copy(update={"checkpoints": CheckpointsConfig(every=4)})
    surroundings = LocalSurroundings(checkpoint_folder=tmp_path)
    watched = train(model_of(tiny_bert, data), data, kept, total_steps=8, surroundings=surroundings)
    assert np.array_equal(watched.test_probs, whole.test_probs)
    metric = f"validation_{config.best_metric}"
    for one, row in zip(kept_checkpoints(tmp_path), whole.rows, strict=True):
        probs = Inference(load_model(one.folder), data, "fp32").probs(data.validation)
        found = target_metrics(answers_of(data.validation), probs)[config.best_metric]
        assert found == pytest.approx(row[metric], rel=1e-5)
    first = str(kept_checkpoints(tmp_path)[0].folder)
    rest = config.model_copy(update={"start": StartConfig(checkpoint=first)})
    assert np.array_equal(train(model_of(tiny_bert, data), data, rest, total_steps=8).test_probs, whole.test_probs)


@pytest.mark.parametrize("task", MAKERS)
def test_weights_alone_say_the_same_in_a_run_on_other_numbers(
    tiny_bert: Encoder, tokens: TokenizedData, tmp_path: Path, task: str
):
    data = MAKERS[task][0](tokens)
    surroundings = LocalSurroundings(checkpoint_folder=tmp_path)
    before = train(model_of(tiny_bert, data), data, config_of(task), total_steps=8, surroundings=surroundings)
    start = StartConfig(checkpoint=str(tmp_path / "best"), weights_only=True)
    config = config_of(task, start=start, learning_rate=1e-12)
    others = {"train": replace(data.train, targets=data.train.targets[::-1] * 3 + 1)} if task == "regression" else {}
    after = train(model_of(tiny_bert, data), replace(data, **others), config, total_steps=1)
    assert np.allclose(after.test_probs, before.test_probs, rtol=1e-4)
