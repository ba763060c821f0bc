"""Results of several labels and of numbers: what a failed run is scored as, what collapses, which task it is."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from raybert.analysis.plots.targets import draw_label_f1, draw_true_and_predicted
from raybert.analysis.results.held_out import held_out_columns
from raybert.analysis.results.majority import majority_classes
from raybert.analysis.results.predicted_targets import PredictedTargets
from raybert.analysis.results.task import second_metric, task_of_runs
from raybert.sweeping.folder.predictions import read_predictions
from raybert.training.measures.of_targets import target_metrics


def write_predictions(folder: Path, targets: np.ndarray, probs: np.ndarray) -> None:
    folder.mkdir(parents=True)
    width = targets.shape[1]
    frame = pd.DataFrame(
        {"split": ["validation", "test"] * (len(targets) // 2), "row": range(len(targets)), "label": 0}
    )
    for k in range(width):
        frame[f"target_{k}"] = targets[:, k].astype(np.float32)
    for k in range(width):
        frame[f"prob_{k}"] = probs[:, k].astype(np.float32)
    frame.to_parquet(folder / "predictions.parquet")


def test_what_is_predicted_comes_back_as_targets(tmp_path: Path):
    targets, probs = np.eye(4, 3), np.full((4, 3), 0.25)
    write_predictions(tmp_path / "a", targets, probs)
    found = read_predictions(tmp_path / "a" / "predictions.parquet")
    assert found["test"][0].tolist() == targets[1::2].tolist()
    assert found["validation"][1].tolist() == probs[::2].tolist()


def test_a_label_that_is_never_predicted_is_a_collapse(tmp_path: Path):
    targets = np.tile([[1, 1, 0], [1, 1, 0], [0, 0, 1], [0, 0, 0]], (5, 1))
    probs = targets * [0.9, 0.2, 0.9]
    write_predictions(tmp_path / "a", targets, probs)
    found = held_out_columns(tmp_path / "a", "map", ("test",))
    assert found["num_never_predicted"] == 1
    assert found["majority_share"] == 0.5  # of validation, rows 0, 2, 4, ...
    assert found["is_weak"] == 1
    assert found["test_map"] == pytest.approx(target_metrics(targets[1::2], probs[1::2].astype(np.float32))["map"])


def test_numbers_do_not_collapse(tmp_path: Path):
    write_predictions(tmp_path / "a", np.arange(10.0)[:, None], np.ones((10, 1)))
    assert held_out_columns(tmp_path / "a") == {"num_never_predicted": 0}


@pytest.mark.parametrize(
    ("answer", "targets", "metric"),
    [
        ([1.0, 0.0], np.array([[1, 0], [1, 0], [0, 1], [1, 1]]), "subset_accuracy"),
        ([2.5], np.arange(4.0)[:, None], "mae"),
    ],
)
def test_a_failed_run_is_scored_as_what_says_the_same_of_all(tmp_path: Path, answer, targets, metric):
    write_predictions(tmp_path / "trials" / "done", targets, targets)
    plan = [{"trial_id": name, "data_key": "d"} for name in ("done", "failed")]
    (tmp_path / "plan.json").write_text(json.dumps({"trials": plan}))
    data = {"d": {"details": {"constant_answer": answer}}}
    (tmp_path / "manifest.json").write_text(json.dumps({"data": data}))
    found = majority_classes(tmp_path, ["failed"])["failed"]
    wanted = target_metrics(targets[1::2], np.tile(answer, (2, 1)))[metric]
    assert found.value(metric) == pytest.approx(wanted)
    assert found.probs(3).tolist() == [answer] * 3


def test_the_task_is_read_off_what_was_measured():
    assert task_of_runs(pd.DataFrame({"test_rmse_mean": [1.0]})) == "regression"
    assert task_of_runs(pd.DataFrame({"validation_subset_accuracy": [np.nan, 0.5]})) == "multi_label"
    assert task_of_runs(pd.DataFrame({"test_rmse": [np.nan], "test_accuracy": [0.5]}), "accuracy") == "classification"
    assert task_of_runs(pd.DataFrame(), "spearman") == "regression"
    assert [second_metric("regression", name) for name in ("rmse", "r2")] == ["spearman", "rmse"]
    assert [second_metric("classification", name) for name in ("accuracy", "mcc")] == ["macro_f1", "accuracy"]


def test_pictures_hold_every_label_and_strategy():
    generator = np.random.default_rng(0)
    targets = (generator.random((40, 3)) < 0.5).astype(float)
    found = [PredictedTargets(name, 10, ((targets, generator.random((40, 3))),) * 2) for name in ("all", "random")]
    figure = draw_label_f1(found, ("x", "y", "z"), {})
    assert figure is not None
    shown = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert sorted(text[0] for text in shown) == ["x", "y", "z"]
    numbers = [PredictedTargets("all", 10, ((np.arange(5.0)[:, None], np.ones((5, 1))),))]
    figure = draw_true_and_predicted(numbers, "price", {})
    assert figure is not None
    assert "RMSE" in figure.axes[0].get_title(loc="left")
    assert draw_label_f1([], (), {}) is None
    assert draw_true_and_predicted([], "price", {}) is None
