"""Results folders as the sweep leaves them, made from seeded random numbers."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

COSTS: dict[str, float] = {"random": 0.1, "k_center": 9.0, "el2n": 31.0, "all": 0.0}


def write_folder(folder: Path, specs: Sequence[Mapping[str, Any]], **plan: Any) -> Path:
    """Write plan and manifest; the trials are written one by one."""
    folder.mkdir(parents=True, exist_ok=True)
    document = {"name": "sample", "trials": list(specs), "resolved": {}} | plan
    (folder / "plan.json").write_text(json.dumps(document))
    (folder / "manifest.json").write_text(json.dumps({"label_names": ["numpy", "pandas", "scipy"]}))
    return folder


def make_spec(strategy: str, seed: int = 0, budget: int = 40, **more: Any) -> dict[str, Any]:
    """Return the entry of a trial in plan.json."""
    kind = "none" if strategy in {"all", "loss_threshold", "proxy"} else "distinct"
    grid = more.get("grid", {})
    tail = "".join(f"-{value}" for value in grid.values())
    spec = {
        "trial_id": f"{strategy}-{budget}-{seed}{tail}".replace(" ", "_"),
        "role": "proxy" if strategy == "proxy" else "trial",
        "strategy": strategy,
        "seed": seed,
        "fold": 0,
        "budget": budget,
        "pool": 400,
        "budget_kind": kind,
        "grid": {},
    }
    return spec | more


def write_result(folder: Path, spec: Mapping[str, Any], accuracy: float, **more: Any) -> Path:
    """Write the result of a complete trial; all metrics follow from the accuracy."""
    trial = folder / "trials" / spec["trial_id"]
    trial.mkdir(parents=True, exist_ok=True)
    result = {
        **{key: spec[key] for key in ("trial_id", "strategy", "seed", "fold", "budget")},
        "status": "complete",
        "best_epoch": 2.0,
        "best_step": 40,
        "validation_accuracy": accuracy - 0.01,
        "validation_macro_f1": accuracy - 0.03,
        "validation_loss": 1 - accuracy,
        "test_accuracy": accuracy,
        "test_macro_f1": accuracy - 0.05,
        "test_weighted_f1": accuracy - 0.02,
        "test_auc_roc": min(accuracy + 0.1, 1.0),
        "test_auc_pr": accuracy,
        "test_loss": 1 - accuracy,
        "examples_seen": 1280,
        "optimizer_steps": 40,
        "train_seconds": 10.0,
        "evaluation_seconds": 2.0,
        "selection_seconds": COSTS.get(spec["strategy"], 5.0),
        "signal_seconds": 0.0,
        "wall_seconds": 13.0,
        "examples_scored": 400,
        "refilled": 0,
        "samples_per_epoch": [spec["budget"]] * 3,
    }
    (trial / "result.json").write_text(json.dumps(result | more))
    return trial


def write_epochs(folder: Path, spec: Mapping[str, Any], accuracies: Sequence[float], examples: int = 1280) -> None:
    """Write an evaluation per accuracy, evenly over the examples seen."""
    trial = folder / "trials" / spec["trial_id"]
    trial.mkdir(parents=True, exist_ok=True)
    rows = []
    for number, accuracy in enumerate(accuracies):
        seen = examples * (number + 1) // len(accuracies)
        rows.append(
            {
                "evaluation": number,
                "epoch": seen / spec["budget"],
                "step": seen // 32,
                "examples_seen": seen,
                "samples": spec["budget"],
                "train_loss": 1 - accuracy,
                "train_accuracy": accuracy + 0.05,
                "validation_loss": 1.1 - accuracy,
                "validation_accuracy": accuracy,
                "validation_macro_f1": accuracy - 0.02,
                "learning_rate": 1e-4,
                "seconds": 0.4,
            }
        )
    (trial / "epochs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def write_selection(
    folder: Path, spec: Mapping[str, Any], positions: Sequence[int], scores: Sequence[float] | None = None
) -> None:
    """Write a subset that was chosen once."""
    trial = folder / "trials" / spec["trial_id"]
    trial.mkdir(parents=True, exist_ok=True)
    frame = pd.DataFrame({"example_id": [f"e{p}" for p in positions], "position": list(positions)})
    frame["epoch"] = -1
    frame["score"] = np.full(len(frame), np.nan) if scores is None else list(scores)
    frame["weight"] = 1.0
    frame.to_parquet(trial / "selection.parquet", index=False)


def write_pool(folder: Path, labels: Sequence[int], lengths: Sequence[int]) -> None:
    """Write the pool that selections are compared with."""
    ids = [f"e{p}" for p in range(len(labels))]
    frame = pd.DataFrame({"example_id": ids, "label": list(labels), "length": list(lengths)})
    frame.to_parquet(folder / "pool.parquet", index=False)


def write_error(folder: Path, spec: Mapping[str, Any], line: str = "ValueError: loss is not finite") -> None:
    """Write what a failed trial leaves."""
    trial = folder / "trials" / spec["trial_id"]
    trial.mkdir(parents=True, exist_ok=True)
    (trial / "error.txt").write_text(f"{line}\nTraceback (most recent call last):\n  ...\n")


NAMES = ["random", "random_stratified", "k_center", "el2n", "confidence", "curriculum", "diversity", "perplexity", "ifd", "entropy_diversity", "lexical_diversity", "aflite_readability", "qdit_lite", "edfs_lite", "forgetting", "cartography", "aum", "ccs", "d2", "grand", "rho_loss", "label_errors", "semdedup", "facility_location", "random_epoch", "diversity_facility", "el2n_hard", "confidence_margin"]


def write_sample_sweep(
    folder: Path,
    strategies: Sequence[str] = ("random", "random_stratified", "k_center", "el2n", "confidence"),
    budgets: Sequence[int] = (40,),
    seeds: int = 3,
    pool: int = 400,
    whole_pool: Sequence[str] = ("all", "loss_threshold", "proxy"),
) -> Path:
    """Write a whole sweep that looks like a real one: pictures of it are looked at by eye."""
    generator = np.random.default_rng(7)
    grids = [{"selection.budget": budget / pool} if len(budgets) > 1 else {} for budget in budgets]
    specs = [
        make_spec(name, seed, budget, pool=pool, grid=grid)
        for name in strategies
        for budget, grid in zip(budgets, grids, strict=True)
        for seed in range(seeds)
    ]
    specs += [make_spec(name, seed, pool, pool=pool) for name in whole_pool for seed in range(seeds)]
    write_folder(folder, specs)
    labels = generator.choice(3, pool, p=[0.6, 0.3, 0.1])
    write_pool(folder, labels.tolist(), generator.integers(5, 65, pool).tolist())
    skill = {name: generator.normal(0, 0.03) for name in (*strategies, *whole_pool)} | {"random": 0.0}
    shared = [generator.permutation(pool) for _ in range(seeds)]
    for spec in specs:
        _write_sample_trial(folder, spec, skill[spec["strategy"]], shared[spec["seed"]], generator)
    return folder


def _write_sample_trial(
    folder: Path, spec: Mapping[str, Any], skill: float, order: np.ndarray, generator: np.random.Generator
) -> None:
    whole = spec["budget_kind"] == "none"
    share = spec["budget"] / spec["pool"]
    top = 0.88 + 0.05 * np.log10(share) + (0.03 if whole else 0) + skill + generator.normal(0, 0.008)
    top += 0.006 * (spec["seed"] - 1)
    steps = 375 if whole else 100
    examples = 32 * steps
    curve = top - 0.6 * np.exp(-np.linspace(0.6, 5, 10)) + generator.normal(0, 0.006, 10)
    passes = int(np.ceil(examples / spec["budget"]))
    samples = [spec["budget"]] * passes
    if spec["strategy"] == "loss_threshold":
        samples = [int(spec["budget"] * 0.75**number) for number in range(9)]
    signal = 0.0 if spec["strategy"].startswith(("random", "all", "proxy")) else float(generator.gamma(2, 9))
    write_result(
        folder,
        spec,
        float(top),
        examples_seen=examples,
        optimizer_steps=steps,
        train_seconds=steps * 0.2 * float(generator.normal(1, 0.02)),
        signal_seconds=signal,
        selection_seconds=0.05 + 0.1 * signal,
        samples_per_epoch=samples,
    )
    write_epochs(folder, spec, curve.tolist(), examples)
    if spec["role"] == "proxy" or whole:
        return
    weight = 0.5 if skill > 0 else 0.1
    ranks = weight * np.argsort(order) + (1 - weight) * generator.permutation(spec["pool"])
    chosen = np.argsort(ranks)[: spec["budget"]]
    scores = None if spec["strategy"].startswith("random") else -ranks[chosen]
    write_selection(folder, spec, chosen.tolist(), scores)
