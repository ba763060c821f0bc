"""What keeping tokens between commands saves: a first and a second run on the same texts, side by side.

The texts are those of AG News, over and over for larger sizes; the tokenizer is that of `raybert-tiny`. Beside the first
run, which writes what it makes, stands one without a cache; in processor seconds, too, for machines that are not idle.

    python -m tests.benchmarks.token_cache [--texts 11300 100000] [--data FILE]
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from raybert.data.token_store import TokenStore
from raybert.data.tokens import TokenTable, tokenize_examples
from raybert.files import writable_cache
from raybert.models.tiny import build_random_encoder

LENGTH = 128
DATA = Path(__file__).resolve().parents[3] / "shared" / "data" / "agnews" / "train.parquet"


@dataclass(frozen=True)
class Timed:
    """A run: its result, seconds on the clock, and of the processor."""

    table: TokenTable
    wall: float
    cpu: float


def timed(run: Callable[[], TokenTable]) -> Timed:
    """Run once and measure."""
    wall, cpu = time.perf_counter(), time.process_time()
    table = run()
    return Timed(table, time.perf_counter() - wall, time.process_time() - cpu)


def measure(texts: list[str], tokenizer: PreTrainedTokenizerFast, folder: Path) -> str:
    """Return a row of the table for some texts."""
    examples = pa.table({"text": pa.array(texts, pa.string()), "label": np.zeros(len(texts), np.int64)})
    store = TokenStore(folder / str(len(texts)))
    without, first, second = (
        timed(lambda kept=kept: tokenize_examples(examples, tokenizer, LENGTH, store=kept))  # type: ignore[misc]
        for kept in (None, store, store)
    )
    for run in (first, second):
        assert np.array_equal(run.table.ids, without.table.ids)
        assert np.array_equal(run.table.offsets, without.table.offsets)
    size = sum(entry.size_bytes for entry in store.entries()) / 2**20
    runs = "".join(f" {run.wall:8.3f} ({run.cpu:7.3f})" for run in (without, first, second))
    return f"{len(texts):>9,}{runs} {without.wall / second.wall:7.0f}x ({without.cpu / second.cpu:.0f}x) {size:7.1f}"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--texts", type=int, nargs="+", default=[11_300, 100_000])
    parser.add_argument("--data", type=Path, default=DATA, help="a parquet file with a column `text`")
    arguments = parser.parse_args()
    known = pq.read_table(arguments.data)["text"].to_pylist()
    tokenizer = AutoTokenizer.from_pretrained(build_random_encoder(known, writable_cache()))
    print("seconds on the clock (of the processor)")
    print(f"{'texts':>9} {'without':>18} {'first':>18} {'second':>18} {'without / second':>16} {'MiB':>7}")
    with tempfile.TemporaryDirectory() as folder:
        for count in arguments.texts:
            texts = [known[number % len(known)] for number in range(count)]
            print(measure(texts, tokenizer, Path(folder)), flush=True)


if __name__ == "__main__":
    main()
