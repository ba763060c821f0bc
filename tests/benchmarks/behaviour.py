"""What the strategies do on real data: accuracy and macro-F1 at a 10 % budget, and planted problems.

Sweeps of all-MiniLM-L6-v2 over the real datasets (RAYBERT_DATA), 3 seeds, the same number of optimizer steps for every
strategy, beside random, random_stratified, the proxy and all. Then 20 % flipped labels (TREC): how well label_errors,
el2n, aum and the irreducible loss find them (ROC-AUC); and every text twice: does semdedup keep each once?

    python -m tests.benchmarks.behaviour [--datasets sst2 trec sms_spam agnews] [--output runs/behaviour]

The command again continues where it stopped. `perplexity` is left out: MiniLM has no masked-LM head.
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
from sklearn.metrics import roc_auc_score

import raybert
from raybert.files import cache_folder
from raybert.selection.store import ScoreStore
from tests.benchmarks.material import ROOT, dataset, minilm

LENGTHS = {"sst2": 64, "trec": 32, "sms_spam": 64, "agnews": 64}


def describe(name: str, source: Path, strategies: list[Any], examples: int, seeds: int, **data: Any) -> dict[str, Any]:
    """Return a sweep file."""
    return {
        "name": name,
        "data": {
            "source": str(source),
            "max_length": LENGTHS[name.split("-")[0]],
            "train_examples": examples,
            **data,
        },
        "model": {"encoder": str(minilm())},
        "train": {
            "length": {"epochs": 3, "min_steps": 70},
            "batch_size": 32,
            "learning_rate": 1.0e-4,
            "eval_every": 35,
        },
        "selection": {"budget": 0.1},
        "sweep": {"strategies": strategies, "seeds": seeds},
    }


def run(document: dict[str, Any], output: Path) -> raybert.Sweep:
    """Run a sweep file as a user does, and return its results."""
    output.mkdir(parents=True, exist_ok=True)
    file = output / f"{document['name']}.yaml"
    file.write_text("# Made by tests/benchmarks/behaviour.py\n" + yaml.safe_dump(document, sort_keys=False))
    folder = output / document["name"]
    command = [sys.executable, "-m", "raybert", "sweep", str(file), "--output", str(folder)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stdout)
    return raybert.load_sweep(folder)


def rows(name: str) -> int:
    return min(4000, len(pd.read_parquet(dataset(name) / "train.parquet", columns=["label"])) * 4 // 5)


def measure(name: str, strategies: list[Any], output: Path, seeds: int) -> dict[str, Any]:
    """Print the comparison on a dataset, and return accuracy and macro-F1 in percent."""
    small = {"validation_examples": 250, "test_examples": 1000 if name != "trec" else 500}
    sweep = run(describe(name, dataset(name), strategies, rows(name), seeds, **small), output)
    table = sweep.summary().sort_values("test_accuracy_mean", ascending=False)
    print(f"\n{name}: {rows(name)} texts, budget {int(table['budget'].min())}, {seeds} seeds")
    record = {}
    for row in table.to_dict("records"):
        half = (row["test_accuracy_high"] - row["test_accuracy_low"]) / 2
        accuracy, f1 = 100 * row["test_accuracy_mean"], 100 * row["test_macro_f1_mean"]
        print(f"  {row['strategy']:<22}{row['budget']:>6}{accuracy:>8.1f} ±{100 * half:<5.1f}{f1:>6.1f}")
        record[row["strategy"]] = [round(accuracy, 1), round(f1, 1)]
    return record


def find_flipped_labels(output: Path) -> dict[str, float]:
    """Return the ROC-AUC of scores as detectors of 20 % flipped labels of TREC, mean over seeds."""
    source = output / "flipped"
    source.mkdir(parents=True, exist_ok=True)
    frames = {
        split: pd.read_parquet(dataset("trec") / f"{split}.parquet")[["text", "label"]] for split in ("train", "test")
    }
    frames["train"] = frames["train"].drop_duplicates("text").sample(2000, random_state=0).reset_index(drop=True)
    generator = np.random.default_rng(0)
    truth = frames["train"]["label"].to_numpy()
    is_flipped = generator.random(len(truth)) < 0.2
    shift = generator.integers(1, 6, len(truth))
    frames["train"]["label"] = np.where(is_flipped, (truth + shift) % 6, truth)
    for split, frame in frames.items():
        frame.assign(id=[f"{split}-{i}" for i in range(len(frame))]).to_parquet(source / f"{split}.parquet")
    document = describe(
        "trec-flipped", source, ["el2n", "aum", "label_errors", "rho_loss"], 1800, 3, id="id", validation_examples=150
    )
    sweep = run(document, output)
    pool = sweep.pool()
    flipped = is_flipped[pool["example_id"].str.removeprefix("train-").astype(int).to_numpy()]
    found: dict[str, list[float]] = {}
    for trial in sweep.trials[sweep.trials["role"] == "trial"].to_dict("records"):
        scores = np.load(sweep.folder / "trials" / trial["trial_id"] / "pool_scores.npy")
        found.setdefault(trial["strategy"], []).append(roc_auc_score(flipped, scores))
    store = ScoreStore(cache_folder() / "scores")
    parts = set(sweep.trials.loc[sweep.trials["role"] == "part", "trial_id"])
    for entry in store.entries():
        if entry.identity.get("scorer") == "irreducible_loss" and set(entry.identity["heldout"]) <= parts:
            loss = store.load(entry.key)["irreducible_loss"]
            found.setdefault("irreducible loss", []).append(roc_auc_score(flipped, loss))
    return {name: round(float(np.mean(values)), 3) for name, values in found.items()}


def find_copies(output: Path) -> dict[str, int]:
    """Return what semdedup keeps of 800 texts that are all there twice, 40 of them with two labels."""
    source = output / "doubled"
    source.mkdir(parents=True, exist_ok=True)
    once = pd.read_parquet(dataset("sst2") / "train.parquet")[["text", "label"]].drop_duplicates("text").head(800)
    again = once.copy()
    again.iloc[:40, 1] = 1 - again.iloc[:40, 1]
    pd.concat([once, again]).assign(id=[f"{i % 800}-{i // 800}" for i in range(1600)]).to_parquet(
        source / "train.parquet"
    )
    for split in ("validation", "test"):
        pd.read_parquet(dataset("sst2") / f"{split}.parquet")[["text", "label"]].assign(
            id=lambda frame, split=split: [f"{split}-{i}" for i in range(len(frame))]
        ).to_parquet(source / f"{split}.parquet")
    document = describe("sst2-doubled", source, [{"name": "semdedup", "epsilon": 1.0e-4}], 1600, 1, id="id")
    file = output / "doubled.yaml"
    file.write_text("# Made by tests/benchmarks/behaviour.py\n" + yaml.safe_dump(document))
    target = output / "doubled.csv"
    command = [sys.executable, "-m", "raybert", "select", str(file), "--strategy", "semdedup", "--budget", "840"]
    subprocess.run([*command, "--output", str(target)], stdout=subprocess.DEVNULL, check=True)
    kept = pd.read_csv(target)["example_id"].str.split("-").str[0]
    conflicts = pd.read_csv(target.with_name("doubled.conflicts.csv"))
    pairs = conflicts.apply(lambda row: row["example_id"].split("-")[0] == row["conflicts_with"].split("-")[0], axis=1)
    return {"kept": len(kept), "distinct": int(kept.nunique()), "conflicts": int(pairs.sum())}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--datasets", nargs="*", choices=list(LENGTHS), default=list(LENGTHS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--output", type=Path, default=Path("runs/behaviour"))
    arguments = parser.parse_args()
    file = yaml.safe_load((ROOT / "sweeps" / "all_strategies.yaml").read_text(encoding="utf-8"))
    record: dict[str, Any] = {"benchmark": "behaviour", "unit": "ROC-AUC; accuracy and macro-F1 in %"}
    record["flipped_labels"] = find_flipped_labels(arguments.output)
    print("20 % flipped labels, ROC-AUC:", record["flipped_labels"])
    record["doubled"] = find_copies(arguments.output)
    print("every text twice, 40 with two labels:", record["doubled"])
    for name in arguments.datasets:
        record[name] = measure(name, file["sweep"]["strategies"], arguments.output, arguments.seeds)
    auc = record["flipped_labels"]
    print(
        json.dumps({**record, "ours": auc["label_errors"], "theirs": 0.9, "ratio": round(auc["label_errors"] / 0.9, 3)})
    )


if __name__ == "__main__":
    main()
