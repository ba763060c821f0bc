"""Rows per second of the scoring pipeline, beside a bare loop on one core; and its memory at 20,000 and 200,000 rows.

Both embed the same rows with the same encoder in length-sorted batches, one thread each. The pipeline is timed from its
first finished block (its workers have loaded their models then) to its last, and as a whole. Memory is the peak of the
sum of PSS over the driver, Ray and all workers.

    python -m tests.benchmarks.scoring [--rows 20000] [--memory-rows 20000 200000] [--encoder FOLDER]
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import numpy as np
import psutil
import pyarrow as pa
import torch

from raybert.config import ModelConfig
from raybert.data import TokenizedData, TokenTable
from raybert.data.docstrings import read_docstrings
from raybert.files import cache_folder
from raybert.models import Encoder, load_backbone, load_tokenizer, resolve_encoder
from raybert.training import Inference

MAX_TOKENS = 16384
LONGEST = 64


def build(rows: int, encoder: Encoder) -> TokenizedData:
    """Return a pool of real docstrings, repeated until there are enough."""
    texts = read_docstrings(cache_folder())[0]["text"].to_pylist()
    pieces = load_tokenizer(encoder)(texts, truncation=True, max_length=LONGEST)["input_ids"]
    chosen = np.random.default_rng(0).integers(0, len(pieces), rows)
    lengths = np.array([len(pieces[i]) for i in chosen])
    table = TokenTable(
        ids=np.concatenate([np.array(pieces[i], np.int32) for i in chosen]),
        offsets=np.concatenate([[0], np.cumsum(lengths)]),
        second_starts=lengths.astype(np.int32),
        labels=np.zeros(rows, np.int64),
    )
    few = TokenTable(table.ids[:0], table.offsets[:1], table.second_starts[:0], table.labels[:0])
    return TokenizedData(table, few, few, np.arange(rows).astype(str), ("a", "b"), 0, False, f"{rows}-rows")


def bare(data: TokenizedData, encoder: Encoder, rows: int) -> float:
    """Return rows per second of one core."""
    torch.set_num_threads(1)
    model = load_backbone(encoder)
    positions = np.random.default_rng(1).choice(len(data.train), min(rows, len(data.train)), replace=False)
    inference = Inference(model, data, max_tokens=MAX_TOKENS)
    inference.embeddings(data.train, positions[:512])
    began = time.monotonic()
    inference.embeddings(data.train, positions)
    return len(positions) / (time.monotonic() - began)


def pipeline(data: TokenizedData, encoder: Encoder) -> tuple[float, float, int]:
    """Return rows per second from the first block on, rows per second of the whole, and cores."""
    import ray

    from raybert.selection.pipeline import BLOCK_ROWS, ScoringJob, ScoringProgress, run_scoring
    from raybert.selection.room import Room
    from raybert.selection.scorers.models import EmbeddingScorer
    from raybert.selection.scorers.scorer import Arithmetic, ScoringData
    from raybert.selection.store import ScoreStore
    from raybert.sweeping.cluster.connect import connected

    seen: list[tuple[float, int]] = []

    def note(progress: ScoringProgress) -> None:
        if progress.rows_done:
            seen.append((time.monotonic(), progress.rows_done))

    rows = len(data.train)
    with connected(None) as cluster, tempfile.TemporaryDirectory() as store:
        scoring_data = ScoringData(data, pa.table({"text": pa.array([], pa.string())}), Arithmetic("auto", MAX_TOKENS))
        job = ScoringJob(
            EmbeddingScorer(encoder, "mean"), "data", data.fingerprint, rows, Arithmetic("auto", MAX_TOKENS)
        )
        reference = ray.put(scoring_data)
        began = time.monotonic()
        run_scoring([job], {"data": reference}, ScoreStore(Path(store)), room=Room(cluster.cpus), progress=note)
        whole = rows / (time.monotonic() - began)
        # Every worker's first block contains its start; from when all have finished one it is steady.
        first = min(int(cluster.cpus), len(seen) - 1) - 1
        (start, done), (end, last) = seen[first], seen[-1]
        assert last == rows, f"{last} of {rows} rows, blocks of {BLOCK_ROWS}"
        return (last - done) / (end - start), whole, int(cluster.cpus)


def peak_pss(rows: int, encoder: str) -> float:
    """Return GiB at the peak of a whole run in a process of its own."""
    child = subprocess.Popen(
        [sys.executable, __file__, "--child", str(rows), "--encoder", encoder], stdout=subprocess.DEVNULL
    )
    peak = [0.0]
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(0.3):
            total = 0
            for process in [psutil.Process(child.pid), *psutil.Process(child.pid).children(recursive=True)]:
                try:
                    total += process.memory_full_info().pss
                except psutil.Error:
                    continue
            peak[0] = max(peak[0], total / 2**30)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    code = child.wait()
    ended.set()
    watcher.join()
    if code:
        raise SystemExit(f"the run over {rows} rows ended with {code}")
    return peak[0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--memory-rows", type=int, nargs=2, default=[20_000, 200_000])
    parser.add_argument("--encoder", default="raybert-tiny")
    parser.add_argument("--child", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    encoder = resolve_encoder(
        ModelConfig(encoder=arguments.encoder), read_docstrings(cache_folder())[0]["text"].to_pylist(), cache_folder()
    )
    if arguments.child:
        pipeline(build(arguments.child, encoder), encoder)
        return
    data = build(arguments.rows, encoder)
    one = bare(data, encoder, 8192)
    steady, whole, cores = pipeline(data, encoder)
    one = max(one, bare(data, encoder, 8192))
    print(f"{'':<34}{'rows/s':>10}")
    print(f"{'bare loop, one core':<34}{one:>10,.0f}")
    print(f"{f'bare loop x {cores} cores':<34}{one * cores:>10,.0f}")
    print(f"{'pipeline, from the first blocks on':<34}{steady:>10,.0f}   {steady / one / cores:.2f}x")
    print(f"{'pipeline, start of workers included':<34}{whole:>10,.0f}   {whole / one / cores:.2f}x")
    peaks = [peak_pss(rows, arguments.encoder) for rows in arguments.memory_rows]
    for rows, peak in zip(arguments.memory_rows, peaks, strict=True):
        print(f"{f'peak memory at {rows:,} rows':<34}{peak:>9.2f} GiB")
    record = {
        "benchmark": "scoring",
        "unit": "rows per second",
        "ours": round(steady, 1),
        "theirs": round(one * cores, 1),
    }
    record |= {"ratio": round(steady / one / cores, 3), "ratio_with_start": round(whole / one / cores, 3)}
    record |= {"peak_gib": [round(peak, 3) for peak in peaks], "memory_ratio": round(peaks[1] / peaks[0], 3)}
    print(json.dumps(record))


if __name__ == "__main__":
    main()
