"""What an object store costs a sweep: requests and seconds a trial, and the driver's time for thousands of runs.

    python -m tests.benchmarks.storage [--trials 12] [--many 3000]

The same small sweep into a folder and into an S3 server on this machine (moto), one after the other in one process;
then a working folder of many finished runs, published from a thread as in a sweep. The tables of both must be the same.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any
from unittest.mock import patch

import raybert
from raybert.storage import Store, open_store
from raybert.sweeping.storage.publish import Publisher
from tests.object_stores import failing, local_store, s3_server
from tests.sweeping.storage.moments import end

COUNTED = ("put_bytes", "put_file", "get_bytes", "get_file", "list", "has", "delete")
TIMES = "seconds"


def sweep_of(trials: int) -> dict[str, Any]:
    return {
        "name": "storage",
        "data": {"max_length": 32, "train_examples": 300, "validation_examples": 60, "test_examples": 60},
        "model": {"encoder": "raybert-tiny"},
        "train": {"length": {"steps": 20}, "batch_size": 16},
        "selection": {"budget": 0.1},
        "sweep": {"strategies": ["random", "random_epoch"], "seeds": trials // 2},
    }


def counted(calls: Counter[str]) -> None:
    """Count the operations of all stores of this process."""
    for name in COUNTED:
        original = getattr(Store, name)

        def call(self: Store, *arguments: Any, _original: Any = original, _name: str = name, **named: Any) -> Any:
            calls[_name] += 1
            return _original(self, *arguments, **named)

        setattr(Store, name, call)


def timeless(results: Any) -> list[Any]:
    frames = [results.trials, results.evaluations, results.summary()]
    return [frame.drop(columns=[name for name in frame if TIMES in str(name)]) for frame in frames]


def compare(trials: int) -> None:
    calls: Counter[str] = Counter()
    counted(calls)
    config = sweep_of(trials)
    with tempfile.TemporaryDirectory() as folder, s3_server():
        os.environ["RAYBERT_CACHE"] = f"{folder}/cache"
        raybert.sweep(config, output=f"{folder}/first")  # corpus, tokens, imports
        took, tables = {}, {}
        for name, output in (("folder", f"{folder}/run"), ("s3", "s3://bucket/runs/x")):
            began = time.perf_counter()
            results = raybert.sweep(config, output=output)
            took[name], tables[name] = time.perf_counter() - began, timeless(results)
        assert all(one.equals(other) for one, other in zip(tables["s3"], tables["folder"], strict=True))
        objects = open_store("s3://bucket/runs/x").list()
        ended = sum(name.startswith("trials/") for name in objects)
        size = sum(found.size_bytes for found in objects.values())
    print(f"{trials} trials: folder {took['folder']:.1f} s, s3 {took['s3']:.1f} s; tables are the same")
    print(f"  {(took['s3'] - took['folder']) / trials:.2f} s a trial more")
    print(f"  {sum(calls.values())} operations, {sum(calls.values()) / trials:.1f} a trial: {dict(calls)}")
    print(f"  {len(objects)} objects, {ended / trials:.1f} a trial, {size / 2**20:.1f} MiB")


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
    parser.add_argument("--trials", type=int, default=12)
    parser.add_argument("--many", type=int, default=3000)
    arguments = parser.parse_args()
    many(arguments.many)
    compare(arguments.trials)


if __name__ == "__main__":
    main()
