"""Every metric of the complete trials of a sweep on validation and test, from the predictions that they kept."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from raybert.analysis.statistics.columns import typed_frame
from raybert.analysis.statistics.configurations import KEY
from raybert.config import METRICS
from raybert.sweeping.folder.predictions import EXTRA_PREDICTIONS_FILE, PREDICTIONS_FILE, read_predictions
from raybert.tables import BEST_F1, METRICS_PER_TRIAL, MOST_PROBABLE, TRIAL_KEYS, own_metric_columns

_SPLITS = ("validation", "test")


def metrics_per_trial(
    folder: Path, trials: pd.DataFrame, grid_columns: Sequence[str] = (), extra_tests: Sequence[str] = ()
) -> pd.DataFrame:
    """Return every metric of the complete trials and proxies: `METRICS_PER_TRIAL`, a row for each split and decision.

    Args:
        folder: of the sweep.
        trials: `Sweep.trials`.
        grid_columns: the varied hyperparameters.
        extra_tests: names of the further test sets, which are splits here.
    """
    complete = trials[(trials["status"] == "complete") & (trials["role"] != "part")]
    own = own_metric_columns(trials, *_SPLITS)
    rows: list[dict[str, Any]] = []
    for trial in complete[[*TRIAL_KEYS, *grid_columns, KEY, *own]].to_dict("records"):
        run = folder / "trials" / str(trial["trial_id"])
        splits = read_predictions(run / PREDICTIONS_FILE)
        if extra_tests:
            splits |= read_predictions(run / EXTRA_PREDICTIONS_FILE)
        about = {str(key): value for key, value in trial.items() if key not in own}
        for row in _of_splits({name: splits[name] for name in (*_SPLITS, *extra_tests) if name in splits}):
            if row["decision"] == MOST_PROBABLE:
                start = f"{row['split']}_"
                row |= {name.removeprefix(start): trial[name] for name in own if name.startswith(start)}
            rows.append(about | row)
    return typed_frame(rows, METRICS_PER_TRIAL, grid_columns)


def _of_splits(known: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> Iterator[dict[str, Any]]:
    """Yield the metrics of each split by the most probable class; of two classes also by a threshold of validation."""
    from raybert.training.measures.metrics import count_confusions, count_metrics  # scikit-learn is slow to import
    from raybert.training.measures.of_targets import has_targets
    from raybert.training.measures.weighted import best_f1_threshold, every_metric

    for split, (labels, probs) in known.items():
        about = {"split": split, "decision": MOST_PROBABLE, "threshold": np.nan, "num_examples": len(labels)}
        yield about | every_metric(labels, probs)
    if "validation" in known and has_targets(known["validation"][0]):
        yield from _of_thresholds(known)
        return
    if "validation" not in known or known["validation"][1].shape[1] != 2:
        return
    labels, probs = known["validation"]
    threshold = best_f1_threshold(labels, probs[:, 1])
    if np.isnan(threshold):
        return
    for split, (labels, probs) in known.items():
        about = {"split": split, "decision": BEST_F1, "threshold": threshold, "num_examples": len(labels)}
        yield about | count_metrics(count_confusions(labels, probs[:, 1] >= threshold, 2))


def _of_thresholds(known: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> Iterator[dict[str, Any]]:
    """Yield the metrics of several labels, each predicted from the threshold on that is best on validation."""
    from raybert.training.measures.of_targets import best_thresholds, target_metrics

    if known["validation"][0].shape[1] == 1:
        return
    thresholds = best_thresholds(*known["validation"])
    for split, (targets, probs) in known.items():
        found = target_metrics(targets, probs, thresholds)
        about = {"split": split, "decision": BEST_F1, "threshold": np.nan, "num_examples": len(targets)}
        yield about | {name: value for name, value in found.items() if not METRICS[name].needs_probs}
