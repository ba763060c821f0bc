"""What a finished run predicted of held-out examples, and metrics that are measured from it where the run did not."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from raybert.config.extra_tests import TEST
from raybert.sweeping.folder.trial_folder import TrialFolder

PREDICTIONS_FILE = "predictions.parquet"
EXTRA_PREDICTIONS_FILE = "extra_predictions.parquet"
"""Of further test sets (`data.extra_tests`), whose names are its splits."""


def validation_value(trial: TrialFolder, metric: str) -> float:
    """Return what a finished run is ranked by: the metric of its best evaluation on validation.

    A grid may vary `train.best_metric`, and then not every run has measured that of the sweep: it is measured from the
    kept predictions, so that one metric ranks them all.

    Args:
        trial: its folder.
        metric: `train.best_metric` of the sweep.

    Returns:
        The value; NaN: it is undefined there, or the run never predicted validation (a refit has trained on it).
    """
    value = trial.result().get(f"validation_{metric}")
    if value is not None:
        return float(value)
    return measured(read_predictions(trial.path / PREDICTIONS_FILE), "validation", metric)


def measured(splits: dict[str, tuple[np.ndarray, np.ndarray]], split: str, metric: str) -> float:
    """Return a metric of what was predicted of a split; NaN: nothing was, or it is undefined there."""
    if split not in splits:
        return math.nan
    from raybert.training.measures.metrics import evaluation_metrics  # scikit-learn is slow to import

    return float(evaluation_metrics(*splits[split]).get(metric, math.nan))


def read_splits(folder: Path, test: str = TEST) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return what `read_predictions` does of a run, its `test` being a further test set where that is asked for.

    Args:
        folder: of the run.
        test: name of one of `data.extra_tests`; default: the test split of the data.
    """
    splits = read_predictions(folder / PREDICTIONS_FILE)
    if test == TEST:
        return splits
    splits.pop(TEST, None)
    found = read_predictions(folder / EXTRA_PREDICTIONS_FILE).get(test)
    return splits if found is None else splits | {TEST: found}


def read_predictions(path: Path) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return of every split (m,) labels and (m, C) probabilities; nothing of a file that is missing or torn.

    Of another task than classification: (m, L) targets and (m, L) probabilities of labels, or (m, 1) numbers.

    The tables do not need it: that it is torn is a note (`raybert.analysis.results.held_out`).
    """
    if not path.is_file():
        return {}
    try:
        with pq.ParquetFile(path) as file:
            classes = [name for name in file.schema_arrow.names if name.startswith("prob_")]
            wanted = [name for name in file.schema_arrow.names if name.startswith("target_")]
            table = file.read(["split", "label", *wanted, *classes], use_threads=False)
    except (OSError, pa.ArrowException):
        return {}
    # By number: an object per row of a large test split would take most of the time to load a sweep.
    splits = table["split"].combine_chunks().dictionary_encode()
    split = splits.indices.to_numpy()
    labels = table["label"].to_numpy()
    if wanted:
        labels = np.stack([table[name].to_numpy() for name in wanted], axis=1)
    probs = np.stack([table[name].to_numpy() for name in classes], axis=1)
    names = enumerate(splits.dictionary.to_pylist())
    return {str(name): (labels[split == number], probs[split == number]) for number, name in names}
