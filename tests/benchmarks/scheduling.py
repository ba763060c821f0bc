"""How busy a sweep keeps the slots of a cluster, and at how many slots its driver has no time left.

A slot is busy while a trial's own code runs; all else (starts of processes, scheduling, what is between two trials) is
lost. That is a ratio of times on the same clock, so that a machine which others use as well slows both.

    python -m tests.benchmarks.scheduling trained [--trials 60]          # trials of about 2 s on the cores of this machine
    python -m tests.benchmarks.scheduling fake [--nodes 8] [--cpus 4]    # trials that wait 10 s, on declared CPUs
    python -m tests.benchmarks.scheduling driver [--trials 100 1000]     # processor time of the driver by event
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any
from unittest.mock import patch

from raybert.config import RaybertConfig, validate_config
from raybert.sweeping.cluster.connect import connected
from raybert.sweeping.folder.layout import SweepFolder
from raybert.sweeping.plan.design import read_design
from raybert.sweeping.plan.specs import RunSpec
from raybert.sweeping.runner import run_sweep
from tests.benchmarks.driver_overhead import Watch, make_templates
from tests.clusters import cluster_of

from ray import tune  # isort: skip

from raybert.sweeping.cluster import shared_folder, tune_run

TRIALS_GOAL, FAKE_GOAL = 0.85, 0.90


@dataclass(frozen=True)
class Busy:
    """How busy slots were.

    Attributes:
        slots: how many.
        own: mean time of a trial's own code, in seconds.
        whole: share of slot time from the start of the first trial to the end of the last.
        steady: the same without the starts of processes and without slots that had no trial left.
        between: median time from the end of a trial to the start of the next in the same process, in seconds.
    """

    slots: int
    own: float
    whole: float
    steady: float
    between: float

    @classmethod
    def of(cls, times: Sequence[tuple[int, float, float]], slots: int) -> Busy:
        """Return it of process, start and end of every trial."""
        own = [end - start for _, start, end in times]
        span = max(end for *_, end in times) - min(start for _, start, _ in times)
        by_process = defaultdict(list)
        for process, start, end in sorted(times, key=lambda one: one[1]):
            by_process[process].append((start, end))
        gaps = [b[0] - a[1] for one in by_process.values() for a, b in pairwise(one)]
        mean, gap = sum(own) / len(own), sum(gaps) / len(gaps)
        return cls(slots, mean, sum(own) / (slots * span), mean / (mean + gap), sorted(gaps)[len(gaps) // 2])

    def __str__(self) -> str:
        return (
            f"{self.slots} slots, trials of {self.own:.2f} s: busy {100 * self.whole:.1f} % of the time from the first "
            f"start to the last end, {100 * self.steady:.1f} % once processes run; {1000 * self.between:.0f} ms between"
        )


def config_of(num_trials: int, steps: int = 10, **resources: Any) -> RaybertConfig:
    return validate_config(
        {
            "data": {"train_examples": 240, "validation_examples": 60, "test_examples": 80, "max_length": 32},
            "train": {"length": {"steps": steps}, "precision": "fp32"},
            "sweep": {"strategies": ["random"], "seeds": num_trials, "keep_best": 1},
            "resources": resources,
        }
    )


def note_time(folder: Path, started: float) -> None:
    (folder / "times.json").write_text(json.dumps([os.getpid(), started, time.time()]))


def trained(config: dict[str, int], specs: list[RunSpec], inputs: Any, folder: SweepFolder) -> None:
    """A real trial, timed."""
    started, spec = time.time(), specs[config["index"]]
    row = inputs.signals.get(spec.trial_id, ())
    status = tune_run.run_spec(spec, inputs, folder, lambda one: tune.report(dict(one)), row)
    note_time(folder.trial(spec.trial_id).path, started)
    tune.report({tune_run.RUN_ENDED: status})


def waits(seconds: float, num_rows: int) -> Callable[..., None]:
    """A trial that reports evaluations on a timer and leaves the files of a trained one."""

    def wait(config: dict[str, int], specs: list[RunSpec], inputs: Any, folder: SweepFolder) -> None:
        started, spec, timer = time.time(), specs[config["index"]], threading.Event()
        template = folder.path.parent / "templates" / "random"
        target = folder.trial(spec.trial_id)
        target.path.mkdir(parents=True, exist_ok=True)
        row = json.loads((template / "evaluations.jsonl").read_text().splitlines()[0])
        for number in range(num_rows):
            timer.wait(max(0.0, started + seconds * (number + 1) / num_rows - time.time()))
            tune.report({**row, "evaluation": number + 1})
        target.finish(json.loads((template / "result.json").read_text()) | spec.summary())
        note_time(target.path, started)
        tune.report({tune_run.RUN_ENDED: "complete"})

    return wait


def busy(config: RaybertConfig, folder: Path, function: Callable[..., None], slots: int, address: str | None) -> Busy:
    tune_run._tune_function = function  # type: ignore[assignment]
    assert run_sweep(read_design(config), folder, Watch(), address=address).exit_code == 0
    times = [json.loads(path.read_text()) for path in folder.glob("trials/*/times.json")]
    assert len(times) == len(config.sweep.seeds), len(times)
    return Busy.of(times, slots)


def measure_trained(num_trials: int, steps: int, scratch: Path) -> dict[str, Any]:
    with connected(None) as cluster:
        slots = int(cluster.cpus)
        found = busy(config_of(num_trials, steps), scratch / "run", trained, slots, None)
    print(found)
    return {"ours": round(found.whole, 3), "steady": round(found.steady, 3), "goal": TRIALS_GOAL, "slots": slots}


def measure_fake(nodes: int, cpus: int, seconds: float, rounds: int, scratch: Path) -> dict[str, Any]:
    slots = nodes * cpus
    with connected(None):
        make_templates(scratch)
    shared_folder._SECONDS_OF_A_NODE = 600.0  # all of them begin at once, on the few cores of this machine
    with patch("tests.clusters.warm_python", lambda: sys.executable), cluster_of(*[cpus] * nodes) as cluster:
        os.environ.update(cluster.environment)
        config = config_of(slots * rounds)
        before = time.process_time(), time.monotonic()
        found = busy(config, scratch / "run", waits(seconds, 10), slots, cluster.address)
        driver = (time.process_time() - before[0]) / (time.monotonic() - before[1])
    print(found)
    print(f"the driver takes {100 * driver:.0f} % of a core")
    return {"ours": round(found.steady, 3), "whole": round(found.whole, 3), "goal": FAKE_GOAL, "driver_share": driver}


def measure_driver(sizes: Sequence[int], scratch: Path) -> dict[str, Any]:
    """Tell the cost of a trial and that of an evaluation apart by trials of 2 and of 22 evaluations."""
    result: dict[str, Any] = {}
    with connected(None):
        make_templates(scratch)
        for size in sizes:
            costs = {}
            for num_rows in (2, 22):
                tune_run._tune_function = waits(0.0, num_rows)  # type: ignore[assignment]
                watch = Watch()
                folder = scratch / f"{size}-{num_rows}"
                assert run_sweep(read_design(config_of(size)), folder, watch).exit_code == 0
                (_, first), (_, last) = watch.ends[9], watch.ends[-1]
                costs[num_rows] = (last - first) / (size - 10)
            evaluation = (costs[22] - costs[2]) / 20
            trial = costs[2] - 2 * evaluation
            per_ten = trial + 10 * evaluation
            print(
                f"{size} trials: {1000 * trial:.1f} ms a trial (start, end), {1000 * evaluation:.2f} ms an evaluation: with "
                f"10 evaluations {1000 * per_ten:.1f} ms, so one core drives {10 / per_ten:,.0f} slots of trials of 10 s, "
                f"{60 / per_ten:,.0f} of a minute"
            )
            result[str(size)] = {"trial": round(trial, 5), "evaluation": round(evaluation, 6)}
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["trained", "fake", "driver"])
    parser.add_argument("--trials", type=int, nargs="+")
    parser.add_argument("--steps", type=int, default=150, help="of a trained trial")
    parser.add_argument("--nodes", type=int, default=8)
    parser.add_argument("--cpus", type=int, default=4, help="declared by each node")
    parser.add_argument("--seconds", type=float, default=10.0, help="of a trial that waits")
    parser.add_argument("--rounds", type=int, default=3, help="trials for each slot")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, nullcontext(Path(folder)) as scratch:
        load = os.getloadavg()[0]
        if given.what == "trained":
            found = measure_trained((given.trials or [60])[0], given.steps, scratch)
        elif given.what == "fake":
            found = measure_fake(given.nodes, given.cpus, given.seconds, given.rounds, scratch)
        else:
            found = measure_driver(given.trials or [100, 1000], scratch)
    loads = [round(load, 1), round(os.getloadavg()[0], 1)]
    print(json.dumps({"benchmark": f"scheduling {given.what}", "load": loads, **found}))


if __name__ == "__main__":
    main()
