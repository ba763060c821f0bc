"""`raybert evaluate RUN --all`: every strategy over its seeds, on validation and test, by what trials predicted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from raybert.analysis.plot_formats import in_formats
from raybert.analysis.results.load import load_sweep
from raybert.analysis.results.metric_texts import five_table, metrics_markdown, spread_words
from raybert.analysis.results.strategy_texts import names_of_files
from raybert.analysis.results.sweep import Sweep
from raybert.analysis.statistics.configurations import KEY
from raybert.display import TextTable, html_section
from raybert.errors import SweepError
from raybert.evaluation.any_task import evaluate_answers, frame_of_answers
from raybert.evaluation.find import Target
from raybert.evaluation.report import write_evaluation
from raybert.evaluation.targets import output_names_of_run, stored_predictions
from raybert.files import write_frame, write_json, write_text
from raybert.links import check_no_link
from raybert.plain import csv_frame, printable_lines
from raybert.sweeping.folder.whose import refuse_others
from raybert.tables import MOST_PROBABLE
from raybert.training.measures.of_targets import has_targets

ARTIFACTS = "artifacts"
_SPLITS = ("validation", "test")
_MARK = "about.json"


@dataclass(frozen=True, repr=False)
class SweepEvaluation:
    """What every strategy of a sweep is worth on validation and test.

    Attributes:
        run: results folder.
        folder: with a folder for each strategy.
        folders: configuration -> its folder.
        metrics: `Sweep.metrics` of the strategies.
        replicates: what means are over: `seeds` or `folds`.
        notes: what could not be evaluated, and how to have it.
    """

    run: Path
    folder: Path
    folders: Mapping[str, Path]
    metrics: pd.DataFrame = field(repr=False)
    replicates: str
    notes: tuple[str, ...] = ()

    @property
    def table(self) -> TextTable:
        """The five classic metrics of every strategy, on validation and on test."""
        return five_table(self.metrics)

    @property
    def words(self) -> str:
        """What its numbers are."""
        return f"shares in percent; {spread_words(self.metrics, self.replicates)}"

    def __repr__(self) -> str:
        return f"<SweepEvaluation of {self.run}: {len(self.folders)} configurations>"

    def __str__(self) -> str:
        return printable_lines("\n".join([str(self.table), self.words, *self.notes]))

    def _repr_html_(self) -> str:
        """Show the table in a notebook."""
        return html_section(str(self.run), [self.words], self.table._repr_html_(), notes=self.notes)


def evaluate_sweep(run: Path, folder: Path | None = None) -> SweepEvaluation:
    """Evaluate every strategy of a sweep over its seeds (and folds), and write it to `<folder>/<strategy>/<split>/`.

    No model is loaded: every trial has kept what its best evaluation predicts of validation and test.

    Args:
        run: results folder.
        folder: default: `artifacts/` in it.

    Raises:
        SweepError: there is no complete trial, or the folder holds other files.
    """
    sweep = load_sweep(run)
    folder = run / ARTIFACTS if folder is None else folder
    check_no_link([folder])
    refuse_others(folder, lambda place, names: _MARK in names, "a folder of `raybert evaluate --all`")
    metrics = sweep.metrics[sweep.metrics["role"] == "trial"].reset_index(drop=True)
    if metrics.empty:
        raise SweepError(f"{run}: must hold a complete trial with its predictions to evaluate; run the sweep first")
    places = {name: folder / file for name, file in names_of_files(map(str, metrics[KEY].unique())).items()}
    write_json(folder / _MARK, {"run": str(run), "folders": {name: place.name for name, place in places.items()}})
    for configuration, place in places.items():
        for split in _SPLITS:
            _write_split(sweep, configuration, split, place / split)
    write_text(folder / "metrics.md", metrics_markdown(sweep.name, metrics, sweep.replicates))
    write_frame(csv_frame(metrics), folder / "metrics.csv")
    return SweepEvaluation(run, folder, places, metrics, sweep.replicates, tuple(_what_is_missing(sweep)))


def _write_split(sweep: Sweep, configuration: str, split: str, folder: Path) -> None:
    """Write a configuration's metrics, predictions of all its trials, and confusions and curves of these together."""
    from raybert.evaluation.plots import write_evaluation_plots  # matplotlib is slow to import

    per_trial = sweep.metrics_per_trial
    own = per_trial[(per_trial[KEY] == configuration) & (per_trial["split"] == split)]
    if own.empty:
        return
    trials = own[own["decision"] == MOST_PROBABLE]
    labels, probs, frames = [], [], []
    for trial in trials.to_dict("records"):
        target = Target(
            sweep.folder / "trials" / trial["trial_id"] / "checkpoint" / "best", sweep.folder, trial["trial_id"]
        )
        examples, found = stored_predictions(target, split)
        answers = np.asarray(examples.labels)
        of_targets = has_targets(answers)
        names = output_names_of_run(sweep.folder, found.shape[1], of_targets=of_targets)
        frame = frame_of_answers(examples.ids, answers, found, names, of_targets=of_targets)
        keys = {name: trial[name] for name in ("trial_id", "seed", "fold")}
        frames.append(frame.assign(**keys)[[*keys, *frame]])
        labels.append(answers)
        probs.append(found)
    together = evaluate_answers(np.concatenate(labels), np.concatenate(probs), names, num_resamples=0)
    write_evaluation(together, folder)
    with in_formats(sweep.plot_formats):
        write_evaluation_plots(together, folder)
    write_json(folder / "metrics.json", _means(sweep, configuration, split, len(trials)))
    write_frame(csv_frame(own), folder / "metrics_per_trial.csv")
    write_frame(pd.concat(frames, ignore_index=True), folder / "predictions.parquet")


def _means(sweep: Sweep, configuration: str, split: str, num_trials: int) -> dict[str, Any]:
    """Return means and deviations by decision and metric; what is undefined is null."""
    rows = sweep.metrics[(sweep.metrics[KEY] == configuration) & (sweep.metrics["split"] == split)]
    found: dict[str, dict[str, Any]] = {}
    for row in rows.to_dict("records"):
        values = {name: None if pd.isna(row[name]) else float(row[name]) for name in ("mean", "std", "low", "high")}
        found.setdefault(row["decision"], {})[row["metric"]] = {**values, "num_replicates": int(row["num_replicates"])}
    about = {"configuration": configuration, "split": split, "over": sweep.replicates, "num_trials": num_trials}
    return {**about, "pooled": "confusion, per_class, thresholds and plots: all trials together", "metrics": found}


def _what_is_missing(sweep: Sweep) -> list[str]:
    """Say which trials are not in it, and how to have them."""
    trials = sweep.trials[sweep.trials["role"] == "trial"]
    evaluated = set(sweep.metrics_per_trial["trial_id"])
    lines = []
    for status, remedy in (
        ("failed", "raybert sweep FILE --retry failed tries them again"),
        ("pending", "the same sweep command trains them"),
        (
            "complete",
            "their predictions.parquet is gone or torn: the same sweep command trains them anew, without result.json",
        ),
    ):
        left = trials[(trials["status"] == status) & ~trials["trial_id"].isin(evaluated)]
        for configuration, group in left.groupby(KEY, sort=False):
            total = int((trials[KEY] == configuration).sum())
            lines.append(f"{configuration}: {len(group)} of {total} trials not evaluated ({status}); {remedy}")
    return lines
