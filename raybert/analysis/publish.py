"""Write the tables and plots of a results folder, and its best model."""

from __future__ import annotations

import shutil
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from raybert.analysis.frames import Sweep, load_sweep
from raybert.analysis.overlap import class_shares, length_quantiles, overlap_table
from raybert.analysis.stats import best_configurations
from raybert.files import atomic_path

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def publish_results(folder: str | Path) -> Sweep:
    """Write `results/`, `plots/` and `best/` of a sweep, finished or not, and return it.

    `results/{epochs,trials,summary}` as parquet and csv; overlap and make-up of the selected subsets as csv.

    Raises:
        SweepError: the folder is not a sweep's.
    """
    sweep = load_sweep(folder)
    for name in ("epochs", "trials", "summary"):
        _write_table(getattr(sweep, name), sweep.folder / "results" / name)
    if (sweep.trials["status"] == "complete").any():
        overlap = _write_selected(sweep)
        _write_plots(sweep, overlap)
        _write_best(sweep)
    return sweep


def _write_table(frame: pd.DataFrame, stem: Path) -> None:
    with atomic_path(stem.with_suffix(".parquet")) as temporary:
        frame.to_parquet(temporary, index=False)
    _write_csv(frame, stem)


def _write_csv(frame: pd.DataFrame, stem: Path) -> None:
    with atomic_path(stem.with_suffix(".csv")) as temporary:
        frame.to_csv(temporary, index=False)


def _write_selected(sweep: Sweep) -> pd.DataFrame:
    """Write what was selected; return the overlap table."""
    selections = sweep.selections()
    selections = selections[selections["strategy"] != "proxy"]
    overlap = overlap_table(selections)
    _write_csv(overlap, sweep.folder / "results" / "overlap")
    pool = sweep.pool()
    if pool is not None and not selections.empty:
        _write_csv(class_shares(selections, pool), sweep.folder / "results" / "selected_classes")
        _write_csv(length_quantiles(selections, pool), sweep.folder / "results" / "selected_lengths")
    return overlap


def _write_plots(sweep: Sweep, overlap: pd.DataFrame) -> None:
    from raybert.analysis import plots  # matplotlib is slow to import

    _save(plots.draw_accuracy(sweep), sweep.folder / "plots" / "accuracy.png")
    _save(plots.draw_samples_per_epoch(sweep), sweep.folder / "plots" / "samples_per_epoch.png")
    _save(plots.draw_learning_curves(sweep), sweep.folder / "plots" / "learning_curves.png")
    if not overlap.empty:
        _save(plots.draw_overlap(overlap), sweep.folder / "plots" / "overlap.png")


def _save(figure: Figure, path: Path) -> None:
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=150, format="png")


def _write_best(sweep: Sweep) -> None:
    """Copy the best trial of the best configuration, both chosen on validation, to `best/`."""
    ranked = best_configurations(sweep.summary).sort_values("validation_accuracy_mean", ascending=False)
    winner = ranked.iloc[0]
    trials = sweep.trials[
        (sweep.trials["status"] == "complete")
        & (sweep.trials["strategy"] == winner["strategy"])
        & (sweep.trials["budget"] == winner["budget"])
    ]
    trial_id = trials.sort_values("validation_accuracy", ascending=False, kind="stable")["trial_id"].iloc[0]
    source = sweep.folder / "trials" / trial_id / "checkpoint" / "best"
    if not (source / "COMPLETE").exists():
        return
    target, suffix = sweep.folder / "best", uuid.uuid4().hex[:8]
    fresh, stale = target.with_name(f".best.{suffix}.new"), target.with_name(f".best.{suffix}.old")
    shutil.copytree(source, fresh)
    (fresh / "trial_id").write_text(trial_id + "\n", encoding="utf-8")
    if target.exists():
        target.rename(stale)
    fresh.rename(target)
    shutil.rmtree(stale, ignore_errors=True)
