"""Files of results as raybert 0.1 wrote them, made of today's."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from raybert.tables import RENAMED_COLUMNS

OLD_NAMES = {new: old for old, new in RENAMED_COLUMNS.items()}


def with_old_names(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row with the names of raybert 0.1."""
    return {OLD_NAMES.get(name, name): value for name, value in row.items()}


def age_checkpoint(folder: Path) -> int:
    """Rewrite `last` with the counters of raybert 0.1 and its row of losses a pass; return its number of passes."""
    path = folder / "last" / "state.pt"
    state = torch.load(path, weights_only=True)
    counters, history = json.loads(state["state"]), state.pop("history")
    counters["epoch"] = counters.pop("passes")
    counters["samples_per_epoch"] = counters.pop("samples_per_pass")
    counters["rows"] = [with_old_names(row) for row in counters["rows"]]
    last, when = history["losses"], history["loss_passes"]
    rows = torch.full((history["current_pass"] + 1, len(last)), torch.nan)
    for number in range(len(rows)):
        rows[number, when > number] = 9.0  # trained on again since: what it was then does not matter
        rows[number, when == number] = last[when == number]
    old = {"state": json.dumps(counters), "losses": rows, "window": history["window"]}
    torch.save(state | old, path)
    return len(rows)


def age_trial(folder: Path) -> None:
    """Rename what a trial has written to the names of raybert 0.1; losses it did not keep."""
    evaluations = folder / "evaluations.jsonl"
    if evaluations.exists():
        rows = [with_old_names(json.loads(line)) for line in evaluations.read_text().splitlines()]
        (folder / "epochs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        evaluations.unlink()
    result, selection = folder / "result.json", folder / "selection.parquet"
    if result.exists():
        result.write_text(json.dumps(with_old_names(json.loads(result.read_text()))))
    if selection.exists():
        pd.read_parquet(selection).rename(columns=OLD_NAMES).to_parquet(selection, index=False)
    (folder / "losses.npz").unlink(missing_ok=True)


def age_sweep(folder: Path) -> None:
    """Rename what a finished sweep has written to the names of raybert 0.1."""
    plan = json.loads((folder / "plan.json").read_text())
    trials = [with_old_names(trial) for trial in plan["trials"]]
    (folder / "plan.json").write_text(json.dumps(plan | {"trials": trials}))
    for trial in (folder / "trials").iterdir():
        age_trial(trial)
