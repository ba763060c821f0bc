"""Any number of texts like those of AG News: each is put together from parts of three of its texts, in Arrow alone."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tests.benchmarks.material import dataset

PARTS = 3
"""Of a text; a part has some 13 words, so that a text has 38, as those of AG News have."""
REPEATED = 0.01
"""Share of the texts that repeat another one."""
_AT_ONCE = 100_000


def write_texts(path: Path, count: int, seed: int = 0) -> Path:
    """Write a parquet file of texts and labels, unless it is there.

    Args:
        path: of the file.
        count: rows; the first of a larger file are those of a smaller one.
        seed: of the draw.
    """
    if path.is_file():
        return path
    known = pq.read_table(dataset("agnews") / "train.parquet")
    parts, labels = _parts(known["text"].to_pylist(), known["label"].to_numpy())
    temporary = path.with_suffix(".part")
    schema = pa.schema([("text", pa.string()), ("label", pa.int64())])
    with pq.ParquetWriter(temporary, schema) as file:
        for block, start in enumerate(range(0, count, _AT_ONCE)):
            file.write_table(_block(parts, labels, np.random.default_rng((seed, block))).slice(0, count - start))
    temporary.rename(path)
    return path


def _parts(texts: list[str], labels: np.ndarray) -> tuple[pa.Array, np.ndarray]:
    """Return all texts cut into as many parts of whole words as a text is made of, and the label of each part."""
    cut = []
    for text in texts:
        words = text.split()
        ends = np.linspace(0, len(words), PARTS + 1).astype(int).tolist()
        cut += [" ".join(words[start:end]) for start, end in pairwise(ends)]
    return pa.array(cut, pa.string()), np.repeat(labels, PARTS)


def _block(parts: pa.Array, labels: np.ndarray, generator: np.random.Generator) -> pa.Table:
    rows = generator.integers(len(parts), size=(PARTS, _AT_ONCE))
    texts = pc.binary_join_element_wise(*(parts.take(pa.array(row)) for row in rows), " ")
    place = np.arange(_AT_ONCE)
    repeats = generator.random(_AT_ONCE) < REPEATED
    place[repeats] = generator.integers(_AT_ONCE, size=int(repeats.sum()))
    return pa.table({"text": texts.take(pa.array(place)), "label": labels[rows[0]][place]})
