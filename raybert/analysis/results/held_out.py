"""What the predictions of finished runs tell beside their metrics: collapse, the majority class, further metrics."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from raybert.config.metrics import TRIAL_METRICS
from raybert.training.measures.chance import is_weak

PREDICTIONS_FILE = "predictions.parquet"
_SEVERAL = 5
"""Held-out examples of a class from which on its absence among predictions is no accident of a small split."""


def held_out_columns(folder: Path, further: str | None = None) -> dict[str, Any]:
    """Return what a finished run's predictions tell: columns of `TRIALS`; nothing where none are readable.

    Args:
        folder: of the run.
        further: a metric that is also measured on test.
    """
    splits = _read(folder / PREDICTIONS_FILE)
    if not splits:
        return {}
    labels = np.concatenate([labels for labels, _ in splits.values()])
    predicted = np.concatenate([probs.argmax(axis=1) for _, probs in splits.values()])
    found: dict[str, Any] = {"num_never_predicted": never_predicted(labels, predicted)}
    if "validation" in splits:
        own, probs = splits["validation"]
        share = float(np.bincount(own).max() / len(own))
        hits = int((probs.argmax(axis=1) == own).sum())
        found |= {"majority_share": share, "is_weak": int(is_weak(hits, len(own), share))}
    if further is not None and further not in TRIAL_METRICS and "test" in splits:
        from raybert.training.measures.metrics import evaluation_metrics  # scikit-learn is slow to import

        found[f"test_{further}"] = evaluation_metrics(*splits["test"]).get(further, np.nan)
    return found


def never_predicted(labels: np.ndarray, predicted: np.ndarray) -> int:
    """Return how many classes are never predicted.

    Only classes with 5 or more examples count, unless a single class is predicted of all.

    Args:
        labels: (m,) of held-out examples.
        predicted: (m,) likewise.
    """
    classes, counts = np.unique(labels, return_counts=True)
    missing = ~np.isin(classes, predicted)
    if len(np.unique(predicted)) == 1 < len(classes):
        return int(missing.sum())
    return int((missing & (counts >= _SEVERAL)).sum())


def add_held_out(trials: pd.DataFrame, folder: Path, metric: str) -> pd.DataFrame:
    """Return trials with what the predictions of the complete ones tell.

    Args:
        trials: with the columns of `TRIALS`.
        folder: of the sweep.
        metric: of the sweep; measured on test where runs did not.
    """
    rows: list[dict[str, Any]] = [
        held_out_columns(folder / "trials" / trial_id, metric) if status == "complete" else {}
        for trial_id, status in trials[["trial_id", "status"]].itertuples(index=False)
    ]
    found = pd.DataFrame(rows, index=trials.index)
    names: Sequence[str] = ("num_never_predicted", "majority_share", "is_weak", f"test_{metric}")
    for name in names:
        if name in found and name not in (f"test_{other}" for other in TRIAL_METRICS):
            is_count = name in trials and str(trials[name].dtype) == "Int64"
            trials[name] = found[name].astype("Int64" if is_count else "float64")
    if f"test_{metric}" not in trials:  # before the first run has finished, too
        trials[f"test_{metric}"] = float("nan")
    return trials


def unreadable_predictions(trials: pd.DataFrame, folder: Path) -> list[str]:
    """Return the ids of the complete runs whose predictions are there, but torn.

    Args:
        trials: `Sweep.trials`.
        folder: of the sweep.
    """
    unknown = trials[(trials["status"] == "complete") & trials["num_never_predicted"].isna()]
    return [name for name in unknown["trial_id"] if (folder / "trials" / name / PREDICTIONS_FILE).is_file()]


def _read(path: Path) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return of every split (m,) labels and (m, C) probabilities; nothing of a file that is missing or torn.

    The tables do not need it: that it is torn is a note (`unreadable_predictions`).
    """
    if not path.is_file():
        return {}
    try:
        with pq.ParquetFile(path) as file:
            table = file.read(use_threads=False)
    except (OSError, pa.ArrowException):
        return {}
    split = np.asarray(table["split"].to_pylist())
    labels = table["label"].to_numpy()
    names = [name for name in table.column_names if name.startswith("prob_")]
    probs = np.stack([table[name].to_numpy() for name in names], axis=1)
    return {str(name): (labels[split == name], probs[split == name]) for name in dict.fromkeys(split)}
