"""How time and memory of `raybert select` grow with the pool, phase by phase, beside bare tokenizing on all cores.

Pools of texts like those of AG News (`scale_texts.py`). Of each it tells: seconds that `encode_batch_fast` takes for all
of its texts, read from the file and thrown away; seconds and peak memory of a first command in an empty cache, and of a
second one. Memory is the sum of the PSS of all processes of the command, four times a second, and what of it
is beyond mapped files; a row of the table of phases has the highest sums while the phase ran.

    python -m tests.benchmarks.scale [--texts 10000 100000] [--strategies random lexical_diversity] [--phases]
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from raybert.models.embedded import EMBEDDED
from tests.benchmarks.scale_texts import write_texts

LENGTH = 64
SWEEP = """\
name: scale
data: {source: SOURCE, max_length: LENGTH}
model: {encoder: raybert-tiny}
selection: {budget: 0.01, proxy: {examples: 20000}}
sweep: {strategies: [random], seeds: 1}
"""
_BARE = """
import sys, time
import pyarrow.parquet as pq
from tokenizers import Tokenizer
tokenizer = Tokenizer.from_file(sys.argv[2])
tokenizer.enable_truncation(int(sys.argv[3]))
began, pieces = time.perf_counter(), 0
for batch in pq.ParquetFile(sys.argv[1]).iter_batches(4096, columns=["text"]):
    pieces += sum(map(len, tokenizer.encode_batch_fast(batch["text"].to_pylist())))
print(time.perf_counter() - began, pieces)
"""


@dataclass(frozen=True)
class Run:
    """A command that has ended.

    Attributes:
        seconds: of the command.
        peak: bytes, the highest sum of PSS.
        beyond: bytes, the highest sum of what of it is no page of a mapped file.
        phases: as `scale_phases` writes them, each with its `peak`.
    """

    seconds: float
    peak: int
    beyond: int
    phases: list[dict[str, Any]]


def processes_below(pid: int) -> list[int]:
    """Return a process and all that come from it."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            with contextlib.suppress(OSError):
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                children.setdefault(parent, []).append(int(entry.name))
    found = [pid]
    for one in found:
        found += children.get(one, [])
    return found


def pss(pid: int) -> tuple[int, int]:
    """Return the bytes that a process has in memory, of shared pages its share, and those of mapped files; 0: gone."""
    found = {"Pss": 0, "Pss_File": 0}
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            name = line.partition(":")[0]
            if name in found:
                found[name] = int(line.split()[1]) * 1024
    return found["Pss"], found["Pss_File"]


def pss_below(pid: int) -> tuple[int, int]:
    """Return the sum of a process and all that come from it, and what of it is no page of a mapped file."""
    whole, files = map(sum, zip(*map(pss, processes_below(pid)), strict=True))
    return whole, whole - files


def measured(command: list[str], environment: dict[str, str], log: Path) -> Run:
    """Run a command and watch its memory."""
    began = time.time()
    with subprocess.Popen(command, env={**os.environ, **environment}, stdout=subprocess.PIPE) as process:
        samples: list[tuple[float, tuple[int, int]]] = []

        def watch() -> None:
            while process.poll() is None:
                at, used = time.time(), time.process_time()
                samples.append((at, pss_below(process.pid)))
                time.sleep(max(0.25, 20 * (time.process_time() - used)))  # large maps take long to be looked at

        watcher = threading.Thread(target=watch)
        watcher.start()
        process.communicate()
        watcher.join()
    seconds = time.time() - began
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode}")
    phases = [json.loads(line) for line in log.read_text().splitlines()]
    for phase in phases:
        during = [sums for at, sums in samples if phase["began"] <= at <= phase["ended"] + 0.25]
        phase["peak"], phase["beyond"] = (max((sums[i] for sums in during), default=0) for i in (0, 1))
    peak, beyond = (max(sums[i] for _, sums in samples) for i in (0, 1))
    return Run(seconds, peak, beyond, sorted(phases, key=lambda phase: phase["began"]))


def select(source: Path, strategy: str, folder: Path) -> Run:
    """Run `raybert select` for 1 % of a pool, with a cache of its own."""
    file, log = folder / "scale.yaml", folder / "phases.jsonl"
    file.write_text(SWEEP.replace("SOURCE", str(source)).replace("LENGTH", str(LENGTH)))
    command = [sys.executable, "-m", "tests.benchmarks.scale_phases", str(log), str(file), strategy, "0.01"]
    return measured(command, {"RAYBERT_CACHE": str(folder / "cache"), "PYTHONUNBUFFERED": "1"}, log)


def bare(source: Path) -> float:
    """Return seconds of tokenizing on all cores with the tokenizer of `raybert-tiny`."""
    command = [sys.executable, "-c", _BARE, str(source), str(EMBEDDED / "tokenizer.json"), str(LENGTH)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[0])


def print_phases(run: Run) -> None:
    """Print what each phase took."""
    for phase in run.phases:
        name = "  " * phase["depth"] + phase["phase"]
        seconds = phase["ended"] - phase["began"]
        sizes = "".join(f" {phase[kind] / 2**30:6.2f}" for kind in ("peak", "beyond"))
        print(f"    {name:<40}{seconds:8.1f} s {phase['cpu']:8.1f} s of the processor {sizes} GiB")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--texts", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--strategies", nargs="+", default=["random", "lexical_diversity"])
    parser.add_argument("--folder", type=Path, help="for the texts, which stay there; default: a temporary one")
    parser.add_argument("--phases", action="store_true", help="print those of every command")
    parser.add_argument("--once", action="store_true", help="no second command, and no bare tokenizing")
    parser.add_argument("--one-cache", action="store_true", help="for all strategies of a pool; the first one fills it")
    arguments = parser.parse_args()
    print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores; seconds, peak GiB, of it beyond mapped files")
    columns = f"{'first':>8} {'peak':>6} {'beyond':>6} {'second':>8} {'peak':>6} {'beyond':>6}"
    print(f"{'texts':>10} {'strategy':<20} {'bare':>8} {columns}", flush=True)
    with tempfile.TemporaryDirectory() as scratch:
        kept = arguments.folder or Path(scratch)
        for count in arguments.texts:
            source = write_texts(kept / f"{count}.parquet", count)
            for strategy in arguments.strategies:
                folder = Path(scratch) / (f"{count}" if arguments.one_cache else f"{count}-{strategy}")
                folder.mkdir(exist_ok=arguments.one_cache)
                runs = [select(source, strategy, folder)]
                alone = float("nan") if arguments.once else bare(source)
                runs += [] if arguments.once else [select(source, strategy, folder)]
                cells = "".join(f" {r.seconds:8.1f} {r.peak / 2**30:6.2f} {r.beyond / 2**30:6.2f}" for r in runs)
                print(f"{count:>10,} {strategy:<20} {alone:8.1f}{cells}", flush=True)
                for run in runs if arguments.phases else []:
                    print_phases(run)
                if not arguments.one_cache:
                    shutil.rmtree(folder)


if __name__ == "__main__":
    main()
