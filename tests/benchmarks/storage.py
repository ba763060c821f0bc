"""What publishing thousands of finished runs costs a driver: the first pass, and each later one.

    python -m tests.benchmarks.storage [--many 3000]

A working folder of finished runs, published into a folder of this machine that stands for an object store.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from unittest.mock import patch

from raybert.sweeping.storage.publish import Publisher
from tests.object_stores import failing, local_store
from tests.sweeping.storage.moments import end


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
    arguments = parser.parse_args()
    many(arguments.many)


if __name__ == "__main__":
    main()
