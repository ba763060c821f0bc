"""What losses do for a rare class: PR-AUC and F1 of the positive class over 5 folds, all-MiniLM-L6-v2.

SMS spam (13 % positive) and WikiQA (5 % positive, pairs, no question in two folds) of RAYBERT_DATA, every loss on the same
folds, by `raybert sweep` with `data.folds: 5`.

    python -m tests.benchmarks.losses [--datasets sms_spam wikiqa] [--examples 4000] [--output runs/losses]

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

import pandas as pd
import yaml
from sklearn.metrics import average_precision_score, f1_score

import raybert
from tests.benchmarks.material import dataset, minilm

LOSSES: dict[str, dict[str, Any]] = {
    "cross entropy": {},
    "inverse frequency": {"class_weights": "inverse"},
    "effective number": {"class_weights": "effective"},
    "BCE, pos_weight": {"name": "bce", "pos_weight": "auto"},
    "focal": {"name": "focal"},
    "focal, alpha inverse": {"name": "focal", "alpha": "inverse"},
    "smoothing 0.1": {"label_smoothing": 0.1},
}
SETTINGS: dict[str, dict[str, Any]] = {
    "sms_spam": {"max_length": 64, "group": "group"},
    "wikiqa": {"max_length": 64, "text_pair": "text_pair", "group": "group"},
}


def measure(name: str, examples: int, epochs: float, output: Path) -> pd.DataFrame:
    """Return a row per loss: mean and deviation over folds of PR-AUC and F1 at probability .5."""
    document = {
        "name": name,
        "data": {
            "source": str(dataset(name)),
            "folds": 5,
            "train_examples": examples,
            "validation_examples": 1000,
            **SETTINGS[name],
        },
        "model": {"encoder": str(minilm())},
        "train": {
            "length": {"epochs": epochs},
            "batch_size": 32,
            "learning_rate": 1.0e-4,
            "best_metric": "auc_pr",
            "eval_every": "epoch",
        },
        "sweep": {"strategies": ["all"], "seeds": 1, "grid": {"train.loss": list(LOSSES.values())}, "keep_best": 1},
    }
    output.mkdir(parents=True, exist_ok=True)
    file = output / f"{name}.yaml"
    file.write_text("# Made by tests/benchmarks/losses.py\n" + yaml.safe_dump(document, sort_keys=False))
    folder = output / name
    command = [sys.executable, "-m", "raybert", "sweep", str(file), "--output", str(folder)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stdout)
    sweep = raybert.load_sweep(folder)
    names = {json.dumps(loss): label for label, loss in LOSSES.items()}
    rows = []
    for trial in sweep.trials.to_dict("records"):
        predictions = sweep.predictions(trial["trial_id"])
        test = predictions[predictions["split"] == "test"]
        rows.append(
            {
                "loss": names[trial["train.loss"]],
                "PR-AUC": 100 * average_precision_score(test["label"], test["prob_1"]),
                "F1": 100 * f1_score(test["label"], test["prob_1"] >= 0.5),
            }
        )
    table = pd.DataFrame(rows).groupby("loss").agg(["mean", "std"]).reindex(list(LOSSES))
    table.columns = [f"{metric} {kind}" for metric, kind in table.columns]
    return table.round(1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--datasets", nargs="+", choices=list(SETTINGS), default=list(SETTINGS))
    parser.add_argument("--examples", type=int, default=4000, help="of the source's train split, stratified")
    parser.add_argument("--epochs", type=float, default=2)
    parser.add_argument("--output", type=Path, default=Path("runs/losses"))
    arguments = parser.parse_args()
    record: dict[str, Any] = {"benchmark": "losses", "unit": "PR-AUC and F1 of the positive class in %"}
    for name in arguments.datasets:
        table = measure(name, arguments.examples, arguments.epochs, arguments.output)
        print(f"\n{name}\n{table.to_string()}")
        record[name] = table.to_dict("index")
    first = record[arguments.datasets[0]]
    ours, theirs = first["BCE, pos_weight"]["PR-AUC mean"], first["cross entropy"]["PR-AUC mean"]
    print(json.dumps({**record, "ours": ours, "theirs": theirs, "ratio": round(ours / theirs, 3)}))


if __name__ == "__main__":
    main()
