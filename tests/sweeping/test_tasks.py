"""Sweeps of several labels and of numbers, from the file to `best/` in plain transformers."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

import raybert
from raybert.sweeping.folder.predictions import read_predictions

OWN = {
    "multi_label": {"function": "sklearn.metrics:label_ranking_loss", "direction": "lower"},
    "regression": {"function": "sklearn.metrics:median_absolute_error", "direction": "lower"},
}
WORDS = {"food": "soup", "travel": "train", "money": "bill"}


def write_notes(folder: Path) -> Path:
    generator = np.random.default_rng(0)
    rows = []
    for number in range(240):
        labels = [name for name, mark in zip(WORDS, generator.random(3) < 0.5, strict=True) if mark]
        words = generator.permutation([*(WORDS[name] for name in labels), "note", "of", "today"]).tolist()
        rows.append({"text": f"{' '.join(words)} {number}", "topics": labels, "stars": 10.0 * len(labels) + 100})
    path = folder / "notes.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def config_of(source: Path, task: str) -> dict:
    of_labels = task == "multi_label"
    return {
        "name": task,
        "data": {"source": str(source), "label": "topics" if of_labels else "stars", "task": task, "max_length": 16},
        "model": {"encoder": "raybert-tiny-random"},
        "train": {
            "length": {"steps": 60},
            "learning_rate": 3e-3,
            "batch_size": 16,
            "precision": "fp32",
            "metrics": [OWN[task]],
        },
        "selection": {"budget": 0.4},
        "sweep": {
            "strategies": ["all", "random", "el2n", "confidence" if of_labels else "infobatch"],
            "seeds": 3,
            "plots": [],
        },
    }


@pytest.mark.long
@pytest.mark.ray
@pytest.mark.parametrize("task", ["multi_label", "regression"])
def test_a_sweep_reaches_verdicts_and_its_best_model_is_one_of_plain_transformers(
    ray_cluster: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, task: str
):
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    monkeypatch.chdir(tmp_path)
    source = write_notes(tmp_path)
    found = raybert.sweep(config_of(source, task))
    assert (found.trials["status"] == "complete").all()
    metric = {"multi_label": "micro_f1", "regression": "rmse"}[task]
    assert (found.task, found.metric) == (task, metric)
    summary = found.summary().set_index("strategy")
    assert {"random", "el2n"} <= {*summary.index}
    assert np.isfinite(summary.loc["random", f"test_{metric}_mean"])
    comparisons = found.compare()
    assert comparisons["difference_low"].notna().any()
    assert (found.trials["num_never_predicted"].fillna(-1) >= 0).all()
    best = found.best_trials[0]
    targets, stored = read_predictions(found.folder / "trials" / best / "predictions.parquet")["test"]
    assert targets.shape == stored.shape == (len(targets), 3 if task == "multi_label" else 1)

    model = AutoModelForSequenceClassification.from_pretrained(found.folder / "best").eval()
    tokenizer = AutoTokenizer.from_pretrained(found.folder / "best")
    texts = ["soup today", "a train and a bill", "nothing"]
    with torch.no_grad():
        logits = model(**tokenizer(texts, padding=True, truncation=True, max_length=16, return_tensors="pt")).logits
    predicted = raybert.predict(found.folder, texts)
    if task == "multi_label":
        names = [f"prob_{model.config.id2label[k]}" for k in range(3)]
        assert np.allclose(predicted[names].to_numpy(), logits.sigmoid().numpy(), atol=2e-3)
    else:
        assert np.allclose(predicted["predicted"].to_numpy(), logits[:, 0].numpy(), atol=0.3)
    evaluated = raybert.evaluate(found.folder, resamples=50)
    assert evaluated.metric(metric)[0] == pytest.approx(
        float(found.trials.set_index("trial_id").loc[best, f"test_{metric}"]), abs=1e-6
    )
    own = OWN[task]["function"].partition(":")[2]
    trusted = raybert.evaluate(found.folder, resamples=0, trust=True)
    assert trusted.metric(own)[0] == pytest.approx(found.trials.set_index("trial_id").loc[best, f"test_{own}"])
    every = raybert.evaluate_all(found.folder)
    means = every.metrics.set_index(["strategy", "split", "metric"])["mean"]
    mean = found.trials.query("strategy == 'random'")[f"test_{own}"].mean()
    assert means["random", "test", own] == pytest.approx(mean)
    kept = pd.read_parquet(every.folders["random"] / "test" / "predictions.parquet")
    assert len(kept) == 3 * len(targets)
    again = raybert.evaluate(found.folder / "best", source, by=["stars"], resamples=0)
    assert again.by.drop_duplicates("group")["num_examples"].sum() == 240
    assert again.predictions["seen"].value_counts()["test"] == len(targets)
    frame = pd.read_json(source, lines=True)
    assert len(again.labels) == len(frame)
    card = (found.folder / "best" / "README.md").read_text()
    assert ("any number of labels" if task == "multi_label" else "predicts the number") in card
