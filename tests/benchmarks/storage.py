"""What results in an object store cost the driver, in processor seconds, which other load of the machine does not change.

    python -m tests.benchmarks.storage [--many 3000] [--steps 100]

First a sweep of twelve trials in this process, then its folder published to a real S3 server on this machine (moto, in a
process of its own): the whole of it, a pass with nothing new, and one with a new checkpoint. Then thousands of finished
runs, published into a folder of this machine that stands for an object store.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pandas as pd
import torch
import yaml

from raybert.storage import open_store
from raybert.sweeping.storage.publish import Publisher
from raybert.training.checkpoint import save_last
from tests.in_one_process import sweep_in_this_process
from tests.object_stores import failing, local_store, s3_server
from tests.sweeping.storage.moments import end

_WORDS = ("red", "green", "blue", "one", "two", "three", "north", "south")


def twelve_trials(folder: Path, steps: int) -> Path:
    """Write a sweep file of three strategies and four seeds on made-up texts."""
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 3, 600)
    words = generator.choice(_WORDS, (600, 24))
    words[:, 0] = np.array(_WORDS)[labels]
    frame = pd.DataFrame({"text": [" ".join(row) for row in words], "label": labels})
    frame.to_csv(folder / "texts.csv", index=False)
    document = {
        "name": "twelve",
        "data": {"source": str(folder / "texts.csv"), "max_length": 32},
        "model": {"encoder": "raybert-tiny"},
        "train": {"length": {"steps": steps}, "batch_size": 16},
        "selection": {"budget": 100},
        "sweep": {"strategies": ["random", "random_epoch", "k_center"], "seeds": 4},
    }
    (folder / "sweep.yaml").write_text(yaml.safe_dump(document), encoding="utf-8")
    return folder / "sweep.yaml"


def spent(act: Callable[[], object]) -> tuple[float, float]:
    """Return the processor seconds of this process, threads included, and the seconds that something took."""
    began, started = time.process_time(), time.perf_counter()
    act()
    return time.process_time() - began, time.perf_counter() - started


def of_a_sweep(steps: int) -> None:
    with tempfile.TemporaryDirectory() as name, s3_server():
        folder = Path(name)
        work = folder / "run"
        whole, _ = spent(lambda: sweep_in_this_process(twelve_trials(folder, steps), work))
        store = open_store("s3://bucket/runs/twelve")
        publisher = Publisher(work, store, folder / "published.json")
        first, wall = spent(lambda: publisher.publish(with_study=True))
        objects = store.list()
        ended = [one for one in objects if one.startswith("trials/")]
        size = sum(found.size_bytes for found in objects.values())
        idle = min(spent(publisher.publish)[0] for _ in range(5))
        checkpoint = Path(work, "trials", "0123456789ab", "checkpoint")
        (checkpoint.parent / "log.txt").parent.mkdir(parents=True)
        (checkpoint.parent / "log.txt").write_text("begun\n")
        weights = {"weights": torch.zeros(2_500_000)}  # 10 MB, as much again of its best, and twice in the optimizer
        save_last(checkpoint, "key", weights, weights, {"moments": [weights["weights"], weights["weights"]]})
        tar = spent(publisher.publish)[0]
    print(
        f"12 trials of {steps} steps: {whole:.1f} s of processor in one process; published: {len(objects)} objects "
        f"({len(ended)} of trials), {size / 1e6:.1f} MB, {first:.2f} s of processor ({wall:.2f} s), "
        f"{first / 12:.3f} s a trial, {first / whole:.1%} of the sweep; a pass with nothing new {idle * 1e3:.1f} ms; "
        f"one with a checkpoint of 40 MB {tar:.2f} s"
    )


def many(runs: int) -> None:
    with tempfile.TemporaryDirectory() as folder, patch("os.fsync"):
        work = Path(folder, "work")
        for number in range(runs):
            end(work, f"{number:012x}")
        files = failing(Path(folder, "store"))
        publisher = Publisher(work, local_store(Path(folder, "store"), files), Path(folder, "published.json"))
        began = time.perf_counter()
        publisher.publish()
        first = time.perf_counter() - began
        began = time.perf_counter()
        for _ in range(5):
            publisher.publish()
        again = (time.perf_counter() - began) / 5
    print(f"{runs} finished runs: first pass {first:.1f} s ({files.calls} operations), each later pass {again:.3f} s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--many", type=int, default=3000)
    parser.add_argument("--steps", type=int, default=100)
    arguments = parser.parse_args()
    of_a_sweep(arguments.steps)
    many(arguments.many)


if __name__ == "__main__":
    main()
