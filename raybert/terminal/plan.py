"""What a sweep file asks for, and what it will take."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from raybert.config import RaybertConfig
from raybert.sweeping.plan.arms import Arm
from raybert.sweeping.plan.comparison import Plan
from raybert.terminal.console import say


def print_plan(
    config: RaybertConfig, output: Path | None = None, *, address: str | None = None, probe: bool = False
) -> None:
    """Print what a sweep file asks for, and with `probe` what is left of it will take.

    Args:
        config: the sweep file.
        output: results folder, for what is finished already; default: runs/<name of the sweep>.
        address: of the cluster to look at.
        probe: run a few steps of every model shape.
    """
    from raybert.sweeping.runner import prepare_plan

    planned, prepared = prepare_plan(config)
    Console().print(_plan_table(planned))
    if planned.arms:
        Console().print(_search_table(planned.arms))
    for ready in prepared.values():
        fold = f", fold {ready.splits.details['fold']}" if "fold" in ready.splits.details else ""
        splits = (ready.data.train, ready.data.validation, ready.data.test)
        sizes = " / ".join(f"{len(split):,}" for split in splits)
        say(Console(), f"data{fold}: {sizes} train / validation / test, {ready.data.num_classes} classes")
    for note in dict.fromkeys(note for ready in prepared.values() for note in ready.splits.notes):
        say(Console(), f"note: {note}")
    if not probe:
        return
    from raybert.sweeping.estimate.describe import describe_estimate
    from raybert.sweeping.estimate.planning import estimate_plan

    estimate = estimate_plan(config, planned, prepared, output or Path("runs") / config.name, address)
    for line in describe_estimate(estimate) if estimate is not None else ["nothing is left to do"]:
        say(Console(), line, None)


def _search_table(arms: Iterable[Arm]) -> Table:
    """Return a row per arm: what is searched before the trials above, each run finished."""
    table = Table(box=None, padding=(0, 1), header_style="bold")
    for column in ("search", "suggestions", "seeds", "steps", "examples trained on", "keys"):
        table.add_column(column, justify="left" if column in ("search", "keys") else "right")
    total = runs = 0
    for arm in arms:
        longest = max(arm.readers, key=lambda spec: spec.total_steps)
        seen = longest.total_steps * longest.config.train.batch_size * arm.num_suggestions * len(arm.seeds)
        counts = (arm.num_suggestions, len(arm.seeds), longest.total_steps, seen)
        table.add_row(arm.name, *(f"{count:,}" for count in counts), str(len(arm.space.domains)))
        total, runs = total + seen, runs + arm.num_suggestions
    table.add_row("at most", f"{runs:,}", "", "", f"{total:,}", "", style="bold")
    return table


def _plan_table(planned: Plan) -> Table:
    table = Table(box=None, padding=(0, 1), header_style="bold")
    for column in ("strategy", "budget", "steps", "trials", "examples trained on", "signals"):
        table.add_column(column, justify="left" if column in ("strategy", "signals") else "right")
    rows: dict[tuple[Any, ...], int] = {}
    for spec in planned.trials:
        if spec.fold > 0:  # the same trials as in fold 0, for the same steps
            continue
        signals = ", ".join(sorted(spec.strategy.all_signals()))
        seen = spec.total_steps * spec.config.train.batch_size
        row = (spec.label, spec.budget, spec.total_steps, seen, signals)
        rows[row] = rows.get(row, 0) + (spec.config.data.folds or 1)
    for (label, budget, steps, seen, signals), count in rows.items():
        table.add_row(label, f"{budget:,}", f"{steps:,}", str(count), f"{seen * count:,}", signals)
    total = sum(spec.total_steps * spec.config.train.batch_size for spec in planned.trials)
    table.add_row("total", "", "", str(len(planned.trials)), f"{total:,}", "", style="bold")
    return table
