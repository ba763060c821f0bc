"""Results folders as a sweep leaves them, with numbers that a test chooses or that look like a real sweep."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from raybert.config import dump_yaml, validate_config

WHOLE_POOL = ("all", "infobatch", "loss_threshold")
FAMILIES = {
    "errors": ("el2n", "aum", "grand", "cartography", "forgetting", "ccs", "rho_loss", "ifd", "label_errors"),
    "doubt": ("confidence", "confidence(measure=margin)", "entropy_diversity", "edfs_lite", "qdit_lite"),
    "places": ("k_center", "diversity", "facility_location", "d2", "semdedup", "aflite_readability"),
    "text": ("perplexity", "lexical_diversity"),
}
STRATEGIES = ("random", "random_stratified", "random_epoch", *(name for group in FAMILIES.values() for name in group))
UNRANKED = ("random", "random_stratified", "random_epoch", "k_center", "diversity", "facility_location")


def make_spec(strategy: str, seed: int = 0, budget: int = 40, **more: Any) -> dict[str, Any]:
    """Return the entry of a trial in plan.json."""
    kind = "none" if strategy in (*WHOLE_POOL, "proxy") else "per_epoch" if strategy == "random_epoch" else "distinct"
    tail = "".join(f"-{value}" for value in more.get("grid", {}).values())
    spec = {
        "trial_id": f"{strategy}-{budget}-{seed}{tail}",
        "role": "proxy" if strategy == "proxy" else "part" if strategy.startswith("proxy_") else "trial",
        "strategy": strategy,
        "seed": seed,
        "fold": 0,
        "budget": budget,
        "pool_size": 400,
        "budget_kind": kind,
        "total_steps": 100,
        "grid": {},
    }
    return spec | more


def write_plan(folder: Path, specs: Sequence[Mapping[str, Any]], label_names: Sequence[str] = ()) -> Path:
    """Write plan and manifest; the trials are written one by one."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "plan.json").write_text(json.dumps({"name": "sample", "trials": list(specs)}))
    data = {"0a1b2c": {"source": "sample", "label_names": list(label_names)}}
    (folder / "manifest.json").write_text(json.dumps({"data": data}))
    return folder


def write_result(folder: Path, spec: Mapping[str, Any], accuracy: float, **more: Any) -> None:
    """Write the result of a complete trial; all metrics follow from the accuracy."""
    result = {
        **spec,
        "status": "complete",
        "best_pass": 2.0,
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
        "selection_seconds": 1.0,
        "signal_seconds": 0.0,
        "wall_seconds": 13.0,
        "examples_scored": 400,
        "refilled": 0,
        "samples_per_pass": [spec["budget"]] * 3,
    }
    (_made(folder, spec) / "result.json").write_text(json.dumps(result | more))


def write_signal_runs(folder: Path, spec: Mapping[str, Any], *runs: str) -> None:
    """Write which runs a trial has read: all that tables need of its specification."""
    document = {"spec": {"signal_runs": [{"kind": "proxy", "runs": list(runs)}]}}
    (_made(folder, spec) / "spec.json").write_text(json.dumps(document))


def write_predictions(
    folder: Path, spec: Mapping[str, Any], labels: Sequence[int], predicted: Sequence[int], classes: int = 2
) -> None:
    """Write predictions for validation and test alike, each with a probability of 0.9."""
    probs = np.full((len(labels), classes), 0.1 / (classes - 1))
    probs[np.arange(len(labels)), list(predicted)] = 0.9
    parts = []
    for split in ("validation", "test"):
        part = pd.DataFrame(probs.astype(np.float32), columns=[f"prob_{c}" for c in range(classes)])
        part.insert(0, "label", list(labels))
        part.insert(0, "row", range(len(labels)))
        part.insert(0, "split", split)
        parts.append(part)
    pd.concat(parts).to_parquet(_made(folder, spec) / "predictions.parquet", index=False)


def write_evaluations(folder: Path, spec: Mapping[str, Any], accuracies: Sequence[float], examples: int = 1280) -> None:
    """Write an evaluation per accuracy, evenly over the examples seen."""
    rows = []
    for number, accuracy in enumerate(accuracies):
        seen = examples * (number + 1) // len(accuracies)
        row = {"evaluation": number, "pass": seen / spec["budget"], "step": seen // 32, "examples_seen": seen}
        row |= {"validation_macro_f1": accuracy - 0.02, "validation_loss": 1 - accuracy, "seconds": seen / 320}
        rows.append(row | {"samples": spec["budget"], "train_loss": 1 - accuracy, "validation_accuracy": accuracy})
    (_made(folder, spec) / "evaluations.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def write_selection(folder: Path, spec: Mapping[str, Any], *passes: Iterable[int]) -> None:
    """Write what was chosen: positions once before training, or those of several passes."""
    frames = []
    for number, positions in enumerate(passes):
        frame = pd.DataFrame({"position": np.fromiter(positions, np.int64)})
        frame.insert(0, "example_id", [f"e{position}" for position in frame["position"]])
        frames.append(frame.assign(**{"pass": number if len(passes) > 1 else -1, "score": np.nan, "weight": 1.0}))
    pd.concat(frames).to_parquet(_made(folder, spec) / "selection.parquet", index=False)


def write_pool_scores(folder: Path, spec: Mapping[str, Any], scores: Sequence[float] | np.ndarray) -> None:
    """Write the scores of the whole pool."""
    np.save(_made(folder, spec) / "pool_scores.npy", np.asarray(scores, np.float32))


def write_pool(folder: Path, labels: Sequence[int], lengths: Sequence[int]) -> None:
    """Write the pool that selections are compared with."""
    ids = [f"e{position}" for position in range(len(labels))]
    frame = pd.DataFrame({"example_id": ids, "label": list(labels), "length": list(lengths)})
    frame.to_parquet(folder / "pool.parquet", index=False)


def write_error(folder: Path, spec: Mapping[str, Any], line: str = "ValueError: loss is not finite") -> None:
    """Write what a failed trial leaves."""
    (_made(folder, spec) / "error.txt").write_text(f"{line}\nTraceback (most recent call last):\n  ...\n")


def write_grid_sweep(
    folder: Path,
    strategies: Sequence[str],
    points: Sequence[Mapping[str, Any]],
    accuracies: Mapping[tuple[str, int], Sequence[float]] | Any,
    **more: Any,
) -> Path:
    """Write a sweep over points of a grid, every trial with evaluations and with predictions of both classes.

    Args:
        folder: for the results.
        strategies: their names.
        points: of the grid; an empty one: the grid makes no difference.
        accuracies: of the seeds by strategy and number of the point, or a function of both.
        more: of every result.
    """
    chosen = accuracies if callable(accuracies) else lambda name, number: accuracies[name, number]
    trials = [
        (
            make_spec(
                name, seed, 400 if name in WHOLE_POOL else 40, grid=dict(point), trial_id=f"{name}-{number}-{seed}"
            ),
            value,
        )
        for number, point in enumerate(points)
        for name in strategies
        for seed, value in enumerate(chosen(name, number))
    ]
    write_plan(folder, [spec for spec, _ in trials], ("no", "yes"))
    for spec, accuracy in trials:
        steps = 120 if spec["budget_kind"] == "none" else 40
        write_result(folder, spec, accuracy, examples_seen=32 * steps, optimizer_steps=steps, **more)
        curve = accuracy - 0.4 * np.exp(-np.linspace(0.5, 5, 8))
        write_evaluations(folder, spec, curve.tolist(), 32 * steps)
        write_predictions(folder, spec, [0, 1] * 20, [0, 1] * 20)
    return folder


Outcome = float | str
"""Of a trial: its accuracy on test, `failed` or `pending`."""


def write_outcomes(
    folder: Path,
    outcomes: Mapping[str, Sequence[Outcome | Sequence[Outcome]]],
    predicts: bool = False,
    **more: Any,
) -> Path:
    """Write a sweep whose seeds have these outcomes.

    Args:
        folder: for the results, with 40 test examples of which 24 are of the most frequent class.
        outcomes: of the seeds 0, 1, ... by strategy; or of the folds 0, 1, ..., each those of its seeds.
        predicts: whether trials keep predictions of which as many are right.
        more: of every result.
    """
    trials = [
        (make_spec(name, seed, 400 if name in WHOLE_POOL else 40, fold=fold, data_key="0a1b2c"), outcome)
        for name, own in outcomes.items()
        for fold, seeds in enumerate(own if isinstance(own[0], Sequence) and not isinstance(own[0], str) else [own])
        for seed, outcome in enumerate(seeds)  # type: ignore[arg-type]
    ]
    for spec, _ in trials:
        spec["trial_id"] += f"-{spec['fold']}"
    write_plan(folder, [spec for spec, _ in trials])
    counts = {split: {"no": 3 * number, "yes": 2 * number} for split, number in (("train", 80), ("test", 8))}
    entry = {"source": "sample", "label_names": ["no", "yes"], "details": {"class_counts": counts}}
    (folder / "manifest.json").write_text(json.dumps({"data": {"0a1b2c": entry}}))
    write_pool(folder, [0] * 240 + [1] * 160, [9] * 400)
    for spec, outcome in trials:
        if outcome == "failed":
            write_error(folder, spec)
        elif isinstance(outcome, float):
            write_result(folder, spec, outcome, **more)
            write_evaluations(folder, spec, [outcome - 0.1, outcome])
            if predicts:
                right = np.arange(40) < round(40 * outcome)
                labels = np.arange(40) % 2
                write_predictions(folder, spec, labels.tolist(), np.where(right, labels, 1 - labels).tolist())
    return folder


def write_resolved(folder: Path, **sections: Any) -> None:
    """Write the configuration of a sweep, such as `train={"best_metric": "auc_pr"}`."""
    config = validate_config({"name": "sample", "sweep": {"strategies": ["random"]}, **sections})
    (folder / "resolved.yaml").write_text(dump_yaml(config))


def write_sample_sweep(
    folder: Path,
    strategies: Sequence[str] = STRATEGIES,
    budgets: Sequence[int] = (40,),
    seeds: int = 3,
    pool: int = 400,
    class_shares: Sequence[float] = (0.6, 0.3, 0.1),
) -> Path:
    """Write a whole sweep that looks like a real one: families of strategies agree, and cost alike."""
    generator = np.random.default_rng(7)
    grids = [{"selection.budget": budget / pool} if len(budgets) > 1 else {} for budget in budgets]
    specs = [make_spec(name, seed, pool, pool_size=pool) for name in ("proxy", "proxy_fold") for seed in range(seeds)]
    specs += [
        make_spec(name, seed, budget, pool_size=pool, grid=grid)
        for seed in range(seeds)
        for budget, grid in zip(budgets, grids, strict=True)
        for name in strategies
    ]
    specs += [make_spec(name, seed, pool, pool_size=pool) for name in WHOLE_POOL for seed in range(seeds)]
    write_plan(folder, specs, [f"class_{c}" for c in range(len(class_shares))])
    labels = generator.choice(len(class_shares), pool, p=class_shares)
    lengths = np.clip(np.round(np.exp(generator.normal(3, 0.6, pool))), 4, 64)
    write_pool(folder, labels.tolist(), lengths.astype(int).tolist())
    skill = {name: generator.normal(0, 0.025) for name in sorted({spec["strategy"] for spec in specs})}
    for spec in specs:
        _write_sample_trial(folder, spec, skill[spec["strategy"]], labels, lengths)
    return folder


def _write_sample_trial(
    folder: Path, spec: Mapping[str, Any], skill: float, labels: np.ndarray, lengths: np.ndarray
) -> None:
    generator = np.random.default_rng([spec["seed"], *spec["strategy"].encode(), spec["budget"]])
    n, budget, whole = spec["pool_size"], spec["budget"], spec["budget_kind"] == "none"
    top = 0.88 + 0.05 * np.log10(budget / n) + skill + generator.normal(0, 0.008) + 0.006 * spec["seed"]
    steps = 375 if whole else int(100 + 0.2 * budget)
    family = next((name for name, group in FAMILIES.items() if spec["strategy"] in group), None)
    signal = {None: 0.0, "errors": 14.0, "doubt": 13.0, "places": 5.0, "text": 160.0}[family]
    passes = [max(1, int(n * 0.75**number)) for number in range(9)] if whole else [budget] * (32 * steps // budget)
    if spec["strategy"] == "all":
        passes = [n] * 3
    write_result(
        folder,
        spec,
        float(top),
        examples_seen=32 * steps,
        optimizer_steps=steps,
        train_seconds=steps * 0.2 * float(generator.normal(1, 0.02)),
        signal_seconds=signal,
        selection_seconds=0.05 + float(generator.gamma(2, 0.02 * signal + 0.01)),
        samples_per_pass=passes,
        refilled=7 if spec["strategy"] == "label_errors" else 0,
    )
    if signal:
        write_signal_runs(folder, spec, f"proxy-{n}-{spec['seed']}")
    curve = top - 0.6 * np.exp(-np.linspace(0.6, 5, 10)) + generator.normal(0, 0.006, 10)
    write_evaluations(folder, spec, curve.tolist(), 32 * steps)
    scores = _sample_scores(spec, family, generator, labels, lengths)
    order = np.argsort(-scores)
    if spec["role"] == "trial" and (whole or spec["strategy"] == "random_epoch"):
        draws = [generator.permutation(order[: max(count, budget if not whole else 1)])[:count] for count in passes]
        redrawn = [generator.permutation(n)[:budget] for _ in passes]
        write_selection(folder, spec, *(draws if whole else redrawn))
    elif spec["role"] == "trial":
        write_selection(folder, spec, order[:budget])
        if spec["strategy"] not in UNRANKED:
            write_pool_scores(folder, spec, scores)


def _sample_scores(
    spec: Mapping[str, Any], family: str | None, generator: np.random.Generator, labels: np.ndarray, lengths: np.ndarray
) -> np.ndarray:
    """Return scores of the pool that share a part with the family's, and prefer some class and length."""
    if family is None:
        return generator.permutation(spec["pool_size"]).astype(float)
    shared = np.random.default_rng([spec["seed"], *family.encode()]).normal(size=spec["pool_size"])
    own = generator.normal(size=spec["pool_size"])
    taste = np.random.default_rng([*spec["strategy"].encode()]).normal(size=labels.max() + 2)
    if spec["strategy"] in ("el2n", "aum"):
        return shared
    return 0.8 * shared + 0.6 * own + 0.5 * taste[:-1][labels] + 0.5 * taste[-1] * (np.log(lengths) - 3)


def _made(folder: Path, spec: Mapping[str, Any]) -> Path:
    path = folder / "trials" / spec["trial_id"]
    path.mkdir(parents=True, exist_ok=True)
    return path
