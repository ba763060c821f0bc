"""Turnaround of a warm trial, beside a fresh Tune actor per trial and a `TorchTrainer` per trial.

Turnaround is all that a trial takes besides its own training and evaluation: scheduling, model, selection, files. The
first trial of each slot pays the imports and is left out. Alternatives train the same trial by the same code.

    python -m tests.benchmarks.trial_overhead [--trials 16] [--trainers 2]
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from raybert.config import RaybertConfig, validate_config
from raybert.files import cache_folder
from raybert.sweeping.cluster.connect import Cluster, connected

import ray  # isort: skip
from ray import tune

from raybert.data import load_splits
from raybert.selection.scorers.scorer import Arithmetic, ScoringData
from raybert.sweeping.cluster import tune_run
from raybert.sweeping.folder.layout import SweepFolder
from raybert.sweeping.phases.prepare import Prepared, prepare
from raybert.sweeping.plan.specs import RunSpec
from tests.sweeping.planning import plan_of


class Stopwatch:
    """A progress that notes when trials end; slots are told apart by counting."""

    def __init__(self) -> None:
        self.ends: list[float] = []

    def ended(self, spec: RunSpec, status: str, message: str = "") -> None:
        assert status == "complete", message
        self.ends.append(time.monotonic())

    def __getattr__(self, name: str) -> Any:
        return lambda *args, **kwargs: None


def config_of(trials: int, **resources: int) -> RaybertConfig:
    return validate_config(
        {
            "data": {"train_examples": 2000, "validation_examples": 200, "test_examples": 200, "max_length": 64},
            "train": {"length": {"steps": 20}, "learning_rate": 1e-3},
            "sweep": {"strategies": ["random"], "seeds": trials},
            "resources": resources,
        }
    )


def specs_of(config: RaybertConfig, ready: Prepared) -> Sequence[RunSpec]:
    return plan_of(config, ready.facts).trials


def run(config: RaybertConfig, ready: Prepared, cluster: Cluster, folder: Path, *, reuse: bool = True) -> float:
    """Return the mean turnaround of a trial after the first of each slot, in seconds."""
    specs = specs_of(config, ready)
    sweep = SweepFolder(folder)
    data = {
        spec.data_key: ray.put(ScoringData(ready.data, ready.splits.train, Arithmetic("auto", 16384)))
        for spec in specs[:1]
    }
    inputs = tune_run.TrialInputs(data, {specs[0].data_key: ready.encoder}, {})
    watch = Stopwatch()
    if not reuse:
        original = tune.TuneConfig
        tune.TuneConfig = lambda **options: original(**{**options, "reuse_actors": False})  # type: ignore[misc, assignment]
    try:
        tune_run.run_trials(specs, inputs, sweep, cluster, watch, lambda: False)
    finally:
        if not reuse:
            tune.TuneConfig = original  # type: ignore[misc]
    slots = 1 if config.resources.workers_per_trial > 1 else int(cluster.cpus)
    results = [sweep.trial(spec.trial_id).result() for spec in specs]
    # The first of each slot trains slower, too: its time must not be taken off that of the others.
    own = statistics.mean(row["train_seconds"] + row["evaluation_seconds"] for row in results[slots:])
    ends = sorted(watch.ends)
    if len(ends) <= slots:
        raise SystemExit("--trials and --trainers must be larger than the number of slots")
    between = (ends[-1] - ends[slots - 1]) * slots / (len(ends) - slots)
    return between - own


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=16)
    parser.add_argument("--trainers", type=int, default=2, help="trials of the TorchTrainer variant, besides the first")
    arguments = parser.parse_args()
    config = config_of(arguments.trials)
    ready = prepare(config, load_splits(config.data, cache_folder()), cache_folder())
    with connected(None) as cluster, tempfile.TemporaryDirectory() as scratch:
        warm = run(config, ready, cluster, Path(scratch) / "warm")
        fresh = run(config, ready, cluster, Path(scratch) / "fresh", reuse=False)
        trainer = run(config_of(arguments.trainers + 1, workers_per_trial=2), ready, cluster, Path(scratch) / "trainer")
    print(f"{'a trial in':<36}{'turnaround s':>14}{'against warm':>14}")
    for name, seconds in (("a warm, reused actor", warm), ("a fresh Tune actor", fresh), ("a TorchTrainer", trainer)):
        print(f"{name:<36}{seconds:>14.3f}{seconds / warm:>13.1f}x")
    print(
        json.dumps(
            {
                "benchmark": "trial_overhead",
                "ours": round(warm, 4),
                "theirs": round(fresh, 4),
                "ratio": round(fresh / warm, 2),
                "unit": "seconds per trial",
                "torch_trainer": round(trainer, 4),
                "torch_trainer_ratio": round(trainer / warm, 2),
            }
        )
    )


if __name__ == "__main__":
    main()
