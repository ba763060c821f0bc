"""Noise planted in a pool: flipped labels, shuffled words, copies; each example knows which it is of."""

from __future__ import annotations

import hashlib

import numpy as np
import pyarrow as pa

from raybert.config.noise import NoiseConfig
from raybert.data.identity import keyed_order
from raybert.data.rows import take_rows
from raybert.data.strings import stream_strings
from raybert.errors import DataError

PLANTED = "planted"
"""Column of a pool: `flip`, `shuffle_words`, `duplicate`, or empty."""
KINDS = ("flip", "shuffle_words", "duplicate")
_WORDS = {"flip": "with another label", "shuffle_words": "with shuffled words", "duplicate": "copies added"}
_TRIES = 8


def plant(
    table: pa.Table, noise: NoiseConfig, num_classes: int, split_seed: int
) -> tuple[pa.Table, np.ndarray, tuple[str, ...]]:
    """Return a pool with noise, which row of the pool each of its rows was, and a note.

    Of n examples round(rate * n) are taken for each kind, none for two kinds; which ones depends on their ids and the
    seed alone. A flipped label is any other class with equal probability. The id of a planted example is the one it had
    with `+` and the kind, so nothing that is known of the clean example is taken for it.

    Args:
        table: columns example_id, text, label, ...; in canonical order.
        noise: the section `data.noise`.
        num_classes: C.
        split_seed: of the canonical order.

    Raises:
        DataError: labels cannot be flipped, because there is one class.
    """
    count = table.num_rows
    if noise.flip and num_classes < 2:
        raise DataError(f"data.noise.flip: must be 0 where there is one class, got {noise.flip:g}")
    rows = np.argsort(keyed_order(stream_strings(table["example_id"]), noise.seed, "noise"), kind="stable")
    ends = np.cumsum([0, *(round(getattr(noise, kind) * count) for kind in KINDS)])
    ends = np.minimum(ends, count)
    of_kind = {kind: np.sort(rows[a:b]) for kind, a, b in zip(KINDS, ends[:-1], ends[1:], strict=True)}
    is_changed = np.zeros(count, bool)
    is_changed[of_kind["flip"]] = is_changed[of_kind["shuffle_words"]] = True
    kept = np.flatnonzero(~is_changed)
    parts, origins = [_marked(take_rows(table, kept), "")], [kept]
    for kind in KINDS:
        part = take_rows(table, of_kind[kind])
        if part.num_rows:
            if kind == "flip":
                part = _replaced(part, "label", pa.array(_other_labels(part, noise.seed, num_classes)))
            elif kind == "shuffle_words":
                part = _replaced(part, "text", pa.array(_shuffled(part, noise.seed), pa.string()))
            ids = pa.array([f"{name}+{kind}" for name in stream_strings(part["example_id"])], pa.string())
            parts.append(_marked(_replaced(part, "example_id", ids), kind))
            origins.append(of_kind[kind])
    planted, origin = pa.concat_tables(parts), np.concatenate(origins)
    order = np.argsort(keyed_order(stream_strings(planted["example_id"]), split_seed, "order"), kind="stable")
    counts = ", ".join(f"{len(of_kind[kind]):,} {_WORDS[kind]}" for kind in KINDS if len(of_kind[kind]))
    return take_rows(planted, order), origin[order], (f"data.noise: planted in {count:,} pool examples: {counts}",)


def clean_id(example_id: str) -> str:
    """Return the id that an example of a pool with noise has without it."""
    name, _, kind = example_id.rpartition("+")
    return name if kind in KINDS else example_id


def _marked(table: pa.Table, kind: str) -> pa.Table:
    return table.append_column(PLANTED, pa.array([kind] * table.num_rows, pa.string()))


def _replaced(table: pa.Table, name: str, values: pa.Array) -> pa.Table:
    place = table.column_names.index(name)
    return table.set_column(place, table.schema.field(place).with_type(values.type), values)


def _other_labels(table: pa.Table, seed: int, num_classes: int) -> np.ndarray:
    """Return (m,) int64 labels: each another one than it was."""
    steps = keyed_order(stream_strings(table["example_id"]), seed, "noise: class") % np.uint64(num_classes - 1)
    return np.asarray((table["label"].to_numpy() + 1 + steps.astype(np.int64)) % num_classes)


def _shuffled(table: pa.Table, seed: int) -> list[str]:
    names, texts = stream_strings(table["example_id"]), stream_strings(table["text"])
    return [shuffle_words(text, _generator(seed, name)) for name, text in zip(names, texts, strict=True)]


def shuffle_words(text: str, generator: np.random.Generator) -> str:
    """Return a text whose words (between white space) have changed places, with single spaces between them.

    A text of two different words or more is not the same afterwards.
    """
    words = text.split()
    if len(set(words)) < 2:
        return text
    for _ in range(_TRIES):
        shuffled = [words[place] for place in generator.permutation(len(words))]
        if shuffled != words:
            return " ".join(shuffled)
    return " ".join([*words[1:], words[0]])


def _generator(seed: int, name: str) -> np.random.Generator:
    return np.random.default_rng(list(hashlib.blake2b(f"{seed}:{name}".encode(), digest_size=16).digest()))
