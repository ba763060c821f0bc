"""What training on less saves, and what it costs in accuracy: SST-2, all-MiniLM-L6-v2, as many passes as `all`.

Shares of `all` of what was trained on, of everything that went through a model (a training step counts as three forward
passes), and of training seconds; differences of test accuracy paired over seeds with 95 % intervals of Student's t. Needs
the real datasets (RAYBERT_DATA).

    python -m tests.benchmarks.savings [--examples 1000] [--epochs 4] [--seeds 4] [--output runs/savings]

The command again continues where it stopped.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import numpy as np
import pandas as pd
import yaml
from scipy import stats

import raybert
from tests.benchmarks.material import dataset, minilm

STRATEGIES: list[dict[str, Any]] = [
    {"name": "all"},
    {"name": "loss_threshold", "threshold": 0.5},
    {"name": "loss_threshold", "threshold": 0.5, "refresh": 1, "label": "loss_threshold, refresh: 1"},
    {"name": "infobatch"},
    {"name": "curriculum", "of": "pool", "label": "curriculum, of: pool"},
    {"name": "el2n", "schedule": "epoch", "label": "el2n, schedule: epoch"},
]
COSTS = {"trained": "examples_seen", "passes of a model": "total_examples", "training seconds": "train_seconds"}


def run(arguments: argparse.Namespace) -> pd.DataFrame:
    """Run the sweep and return its trials; `el2n` chooses half of the pool anew before every pass."""
    document = {
        "name": "savings",
        "data": {
            "source": str(dataset("sst2")),
            "max_length": 64,
            "train_examples": arguments.examples,
            "validation_examples": 300,
            "test_examples": 1000,
        },
        "model": {"encoder": str(minilm())},
        "train": {
            "length": {"epochs": arguments.epochs, "min_steps": 0},
            "batch_size": 32,
            "learning_rate": 1.0e-4,
            "eval_every": "epoch",
        },
        "selection": {"budget": 0.5},
        "sweep": {"strategies": STRATEGIES, "seeds": arguments.seeds, "keep_best": 1},
    }
    arguments.output.mkdir(parents=True, exist_ok=True)
    file = arguments.output / "savings.yaml"
    file.write_text("# Made by tests/benchmarks/savings.py\n" + yaml.safe_dump(document, sort_keys=False))
    folder = arguments.output / "sweep"
    command = [sys.executable, "-m", "raybert", "sweep", str(file), "--output", str(folder)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stdout)
    trials = raybert.load_sweep(folder).trials
    return trials[trials["role"] == "trial"]


def compare(trials: pd.DataFrame) -> pd.DataFrame:
    """Return a row per strategy: test accuracy, its difference to `all` in points, and shares of the costs of `all`."""
    by_seed = {name: group.set_index("seed").sort_index() for name, group in trials.groupby("strategy", sort=False)}
    baseline = by_seed["all"]
    rows = []
    for name, group in by_seed.items():
        gains = 100 * (group["test_accuracy"] - baseline["test_accuracy"]).to_numpy()
        half = stats.t.ppf(0.975, len(gains) - 1) * np.std(gains, ddof=1) / np.sqrt(len(gains))
        rows.append(
            {
                "strategy": name,
                "accuracy": round(100 * group["test_accuracy"].mean(), 1),
                "difference": round(float(gains.mean()), 1),
                "low": round(float(gains.mean() - half), 1),
                "high": round(float(gains.mean() + half), 1),
                **{cost: round(100 * group[key].sum() / baseline[key].sum(), 1) for cost, key in COSTS.items()},
            }
        )
    return pd.DataFrame(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--examples", type=int, default=1000, help="of the source's train split, stratified")
    parser.add_argument("--epochs", type=float, default=4)
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--output", type=Path, default=Path("runs/savings"))
    table = compare(run(parser.parse_args()))
    print(table.to_string(index=False))
    threshold = table.set_index("strategy").loc["loss_threshold"]
    record = {"benchmark": "savings", "unit": "examples trained on", "ours": threshold["trained"], "theirs": 100.0}
    print(json.dumps({**record, "ratio": round(100.0 / threshold["trained"], 2), "rows": table.to_dict("records")}))


if __name__ == "__main__":
    main()
