"""What the driver takes for itself in large sweeps: per trial, to resume, and to write tables.

Trials copy the files of a real one and report its evaluations, so that what is left is planning, scheduling, progress,
keeping the best models, and reading results. Three sizes show whether any of it grows faster than the sweep.

    python -m tests.benchmarks.driver_overhead [--trials 100 500 2000] [--profile]
"""

from __future__ import annotations

import argparse
import cProfile
import io
import json
import pstats
import shutil
import tempfile
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from raybert.analysis import publish_results
from raybert.config import RaybertConfig, validate_config
from raybert.files import read_json_lines
from raybert.sweeping.cluster.connect import connected
from raybert.sweeping.folder.layout import SweepFolder
from raybert.sweeping.phases.prepare import prepare_plan
from raybert.sweeping.plan.design import read_design
from raybert.sweeping.plan.specs import RunSpec
from raybert.sweeping.runner import run_sweep
from raybert.terminal.sweep_progress import PlainProgress

from ray import tune  # isort: skip

from raybert.sweeping.cluster import tune_run

STRATEGIES = ("all", "random", "random_stratified", "random_epoch")
NUM_SEEDS = 5
FLAT, RESUME_SECONDS, TABLE_SECONDS = 1.5, 10.0, 5.0


@dataclass(frozen=True)
class Measured:
    """Seconds of the driver for one size of sweep.

    Attributes:
        trials: how many.
        plan: to load, split, tokenize and plan, on the clock.
        cpu_per_trial: processor time of the driver for a trial.
        turnaround: of a trial, on the clock, its process included; all slots share the driver.
        resume: to find that all is finished, on the clock.
        publish: to write all tables and plots, on the clock.
        publish_cpu: the same in processor time.
    """

    trials: int
    plan: float
    cpu_per_trial: float
    turnaround: float
    resume: float
    publish: float
    publish_cpu: float


class Watch(PlainProgress):
    """The lines of a sweep, thrown away, and when trials ended."""

    def __init__(self) -> None:
        super().__init__(Console(file=io.StringIO()))
        self.ends: list[tuple[float, float]] = []

    def ended(self, spec: RunSpec, status: str, message: str = "") -> None:
        assert status == "complete", message
        super().ended(spec, status, message)
        self.ends.append((time.monotonic(), time.process_time()))


def config_of(num_trials: int) -> RaybertConfig:
    points = max(1, num_trials // (NUM_SEEDS * len(STRATEGIES)))
    return validate_config(
        {
            "data": {"train_examples": 240, "validation_examples": 60, "test_examples": 80, "max_length": 32},
            "train": {"length": {"steps": 10}},
            "sweep": {
                "strategies": list(STRATEGIES),
                "seeds": NUM_SEEDS,
                "grid": {"train.learning_rate": [1e-4 * (1 + i) for i in range(points)]},
                "keep_best": 3,
            },
        }
    )


def make_templates(folder: Path) -> None:
    """Train one trial of every strategy; `templates/<strategy>` is what it left."""
    config = config_of(1)
    sweep = config.sweep.model_copy(update={"seeds": (0,), "keep_best": None})
    outcome = run_sweep(read_design(config.model_copy(update={"sweep": sweep})), folder / "one", Watch())
    assert outcome.exit_code == 0, outcome.errors
    for path in (folder / "one" / "trials").iterdir():
        label = json.loads((path / "result.json").read_text())["strategy"]
        shutil.copytree(path, folder / "templates" / label)


def do_nothing(config: dict[str, int], specs: list[RunSpec], inputs: Any, folder: SweepFolder) -> None:
    """What a Tune actor runs in place of a trial: leave the files of one like it."""
    spec = specs[config["index"]]
    source, target = folder.path.parent / "templates" / spec.label, folder.trial(spec.trial_id)
    shutil.copytree(source, target.path, ignore=shutil.ignore_patterns("result.json"))
    for row in read_json_lines(source / "evaluations.jsonl"):
        tune.report(row)
    accuracy = zlib.crc32(spec.trial_id.encode()) % 1000 / 1000
    row = json.loads((source / "result.json").read_text()) | spec.summary() | {"validation_accuracy": accuracy}
    target.finish(row)
    tune.report({"raybert_status": "complete"})


def measure(num_trials: int, scratch: Path, watched: Callable[[str], Any]) -> Measured:
    """Run, resume and publish a sweep of this size."""
    config, folder = config_of(num_trials), scratch / str(num_trials)
    seconds: dict[str, float] = {}

    @contextmanager
    def timed(name: str) -> Iterator[None]:
        started = time.monotonic()
        with watched(f"{name}-{num_trials}"):
            yield
        seconds[name] = time.monotonic() - started

    with timed("plan"):
        plan, _ = prepare_plan(read_design(config))
    assert len(plan.trials) == num_trials
    watch = Watch()
    with timed("run"):
        assert run_sweep(read_design(config), folder, watch).num_complete == num_trials
    with timed("resume"):
        assert run_sweep(read_design(config), folder, Watch()).num_complete == num_trials
    cpu_before = time.process_time()
    with timed("publish"):
        published = publish_results(folder)
    publish_cpu = time.process_time() - cpu_before
    assert (published.trials["status"] == "complete").all()
    models = list(folder.glob("trials/*/checkpoint/best/COMPLETE"))
    assert len(models) == config.sweep.keep_best, len(models)
    (first, cpu_first), (last, cpu_last) = watch.ends[9], watch.ends[-1]
    between = num_trials - 10
    return Measured(
        num_trials,
        seconds["plan"],
        (cpu_last - cpu_first) / between,
        (last - first) / between,
        seconds["resume"],
        seconds["publish"],
        publish_cpu,
    )


@contextmanager
def profiled(name: str) -> Iterator[None]:
    profile = cProfile.Profile()
    profile.enable()
    yield
    profile.disable()
    print(f"--- {name}")
    pstats.Stats(profile).sort_stats("cumulative").print_stats(45)


@contextmanager
def unprofiled(name: str) -> Iterator[None]:
    yield


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, nargs="+", default=[100, 500, 2000])
    parser.add_argument("--profile", action="store_true", help="print where the driver's time goes")
    arguments = parser.parse_args()
    measured = []
    with tempfile.TemporaryDirectory() as scratch, connected(None):
        make_templates(Path(scratch))
        tune_run._tune_function = do_nothing  # type: ignore[assignment]
        for num_trials in arguments.trials:
            one = measure(num_trials, Path(scratch), profiled if arguments.profile else unprofiled)
            measured.append(one)
            print(
                f"{one.trials:>6} trials: driver {1000 * one.cpu_per_trial:.1f} ms a trial, turnaround "
                f"{1000 * one.turnaround:.0f} ms; plan {one.plan:.2f} s, resume {one.resume:.2f} s, "
                f"tables and plots {one.publish:.2f} s (processor {one.publish_cpu:.2f} s)",
                flush=True,
            )
    small, large = measured[0], measured[-1]
    growth = large.cpu_per_trial / small.cpu_per_trial
    print(
        json.dumps(
            {
                "benchmark": "driver_overhead",
                "ours": round(large.cpu_per_trial, 5),
                "theirs": round(small.cpu_per_trial, 5),
                "ratio": round(growth, 2),
                "unit": f"driver seconds per trial, {large.trials} trials against {small.trials}",
                "resume_seconds": round(large.resume, 2),
                "publish_seconds": round(large.publish, 2),
                "publish_processor_seconds": round(large.publish_cpu, 2),
                "is_flat": growth <= FLAT,
                "is_within": large.resume < RESUME_SECONDS and large.publish < TABLE_SECONDS,
            }
        )
    )


if __name__ == "__main__":
    main()
