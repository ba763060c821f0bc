"""What one finished run comes to, in a few lines."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from raybert.analysis.results.sweep import Sweep
from raybert.config.metrics import trial_metrics_of
from raybert.tables import own_metric_columns


def run_lines(sweep: Sweep) -> list[str]:
    """Return what the one trial of a run of `raybert train` measured, and what a user should know of it.

    Args:
        sweep: with one complete trial.
    """
    trial = sweep.comparable_trials().iloc[-1].to_dict()
    rows = sweep.evaluations[sweep.evaluations["trial_id"] == trial["trial_id"]]
    chosen_by = sweep.metric
    names = [*trial_metrics_of(sweep.task), *(name.partition("_")[2] for name in own_metric_columns(trial, "test"))]
    measured = {"test": trial} | {
        name: sweep.on_test(name).comparable_trials().iloc[-1].to_dict() for name in sweep.extra_test_names
    }
    lines = [
        f"{trial['strategy']}: {trial['budget']:,} of {trial['pool_size']:,} examples, "
        f"{trial['optimizer_steps']:,} steps in {trial['train_seconds']:,.1f} s, {len(rows)} evaluations",
        f"best evaluation: step {trial['best_step']:,}, validation {chosen_by} {trial[f'validation_{chosen_by}']:.3f}",
        *(f"{test}: {_metrics(row, names)}" for test, row in measured.items()),
    ]
    notes = trial.get("notes")
    return [*lines, *(f"note: {note}" for note in (notes.split("; ") if isinstance(notes, str) else ()))]


def _metrics(trial: Mapping[Any, Any], names: Iterable[str]) -> str:
    return ", ".join(f"{name} {trial[f'test_{name}']:.3f}" for name in names if f"test_{name}" in trial)
