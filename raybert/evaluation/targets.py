"""What the run that a model is from kept: predictions of its own splits, its folds, the names of its classes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from raybert.data.unseen import UnseenExamples
from raybert.errors import SweepError
from raybert.evaluation.find import Target
from raybert.files import read_json, reading_back
from raybert.sweeping.folder.best import read_refit
from raybert.sweeping.folder.layout import SweepFolder
from raybert.sweeping.folder.trial_folder import REPAIR

_SAME_IN_ALL_FOLDS = ("strategy", "role", "seed", "grid")


def stored_predictions(target: Target, split: str) -> tuple[UnseenExamples, np.ndarray]:
    """Return the examples (without texts) of one of a run's own splits, and the (m, C) that a trial predicted for them.

    Raises:
        SweepError: there are none; says what there is.
    """
    if target.run is None or target.trial_id is None:
        raise SweepError(f"{target.model}: is not in a results folder, which would know test examples; give `data`")
    path = target.run / "trials" / target.trial_id / "predictions.parquet"
    if not path.is_file():
        raise SweepError(f"{path}: must be there to evaluate a trial, which has not finished; continue the sweep first")
    with reading_back(path, REPAIR):
        frame = pd.read_parquet(path)
        rows = frame[frame["split"] == split]
    if rows.empty:
        known = ", ".join(frame["split"].unique())
        raise SweepError(f"split: must be one of {known} of trial {target.trial_id}, got '{split}'")
    kept = held_out(target.run, target.trial_id, split)
    if len(kept) != len(rows):  # a run of an older raybert
        kept = pd.DataFrame({"example_id": rows["row"]})
    examples = UnseenExamples(
        ids=kept["example_id"].to_numpy(),
        texts=(),
        labels=rows["label"].to_numpy(np.int64),
        groups=kept["group"].to_numpy() if "group" in kept else None,
    )
    wanted = rows.filter(regex=r"^target_\d+$")
    if wanted.shape[1]:
        examples = replace(examples, labels=wanted.to_numpy(np.float32))
    return examples, rows.filter(regex=r"^prob_\d+$").to_numpy(np.float32)


def targets_of_folds(target: Target) -> list[Target]:
    """Return the trials of all folds that are one with a run's best: the same strategy, seed and grid values.

    Without cross-validation that is the target alone.
    """
    if target.run is None or target.trial_id is None:
        return [target]
    trials = SweepFolder(target.run).planned()
    best = next((trial for trial in trials if trial["trial_id"] == target.trial_id), None)
    if best is None:
        return [target]
    alike = [trial for trial in trials if all(trial.get(key) == best.get(key) for key in _SAME_IN_ALL_FOLDS)]
    ids = [
        trial["trial_id"] for trial in alike if (target.run / "trials" / trial["trial_id"] / "result.json").is_file()
    ]
    return [Target(target.run / "trials" / name / "checkpoint" / "best", target.run, name) for name in ids] or [target]


def stored_predictions_of_folds(targets: Sequence[Target], split: str) -> tuple[UnseenExamples, np.ndarray]:
    """Return the held-out examples of several folds together, each predicted by the model of its own fold.

    Raises:
        SweepError: as `stored_predictions`.
    """
    parts = [stored_predictions(target, split) for target in targets]
    groups = [examples.groups for examples, _ in parts]
    whole = UnseenExamples(
        ids=np.concatenate([examples.ids for examples, _ in parts]),
        texts=(),
        labels=np.concatenate([np.asarray(examples.labels) for examples, _ in parts]),
        groups=None if any(group is None for group in groups) else np.concatenate([np.asarray(g) for g in groups]),
    )
    return whole, np.concatenate([probs for _, probs in parts])


def held_out(run: Path, trial_id: str, split: str) -> pd.DataFrame:
    """Return example_id and [group] of a split of the data of a trial, in its order; nothing where it is not known."""
    path = run / "held_out.parquet"
    trials = SweepFolder(run).planned()
    refit = read_refit(SweepFolder(run))
    if refit is not None and refit["trial_id"] == trial_id:
        trial_id = refit["of"]  # what is held out from both is the same
    keys = [trial.get("data_key") for trial in trials if trial["trial_id"] == trial_id]
    if not path.is_file() or not keys:
        return pd.DataFrame()
    with reading_back(path, REPAIR):
        frame = pd.read_parquet(path, filters=[("data_key", "==", keys[0]), ("split", "==", split)])
    return frame.sort_values("row").dropna(axis="columns")  # beside data with groups, data without has empty ones


def output_names_of_run(run: Path, num_outputs: int, *, of_targets: bool) -> tuple[str, ...]:
    """Return the names of the classes, of the labels or of the number that a run's manifest gives.

    Args:
        run: results folder.
        num_outputs: of a model.
        of_targets: whether labels or numbers are predicted, whose classes in the manifest are strata.

    Raises:
        SweepError: no data set, or several, of so many.
    """
    path = run / "manifest.json"
    entries: list[dict[str, Any]] = list((read_json(path) or {}).get("data", {}).values())
    if not entries:
        raise SweepError(f"{path}: must say what the classes are called; run the sweep again to write it anew")
    known = {_outputs(entry) if of_targets else tuple(entry["label_names"]) for entry in entries}
    names = {each for each in known if len(each) == num_outputs}
    if len(names) != 1:
        raise SweepError(f"{path}: must have one data set of {num_outputs} classes or labels, got {len(names)}")
    return names.pop()


def _outputs(entry: dict[str, Any]) -> tuple[str, ...]:
    """Return what the labels or the number of a data set are called in its entry; empty: it has classes."""
    means = (entry.get("details") or {}).get("output_means") or {}
    return tuple(map(str, means.get("test") or ()))
