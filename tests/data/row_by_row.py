"""What `raybert.data.identity` and the cuts do, as 0.2 did it: with Python objects for every row. To compare with."""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from raybert.data.cut import _cut_ordered


def example_ids(table: pa.Table, label_names: Sequence[str]) -> list[str]:
    contents = _contents(table, label_names)
    order: Iterable[int] = range(len(contents))
    if "group" in table.column_names:
        groups = table["group"].to_pylist()
        order = sorted(order, key=groups.__getitem__)
    ids = [""] * len(contents)
    seen: dict[Any, int] = {}
    for row in order:
        occurrence = seen.get(contents[row], 0)
        seen[contents[row]] = occurrence + 1
        ids[row] = _content_hash(contents[row], occurrence)
    return ids


def ids_of_first_copies(table: pa.Table, label_names: Sequence[str]) -> list[str]:
    return [_content_hash(content, 0) for content in _contents(table, label_names)]


def _contents(table: pa.Table, label_names: Sequence[str]) -> list[Any]:
    texts = table["text"].to_pylist()
    pairs = table["text_pair"].to_pylist() if "text_pair" in table.column_names else [None] * len(texts)
    labels = [label_names[label] for label in table["label"].to_pylist()]
    return list(zip(texts, pairs, labels, strict=True))


def _content_hash(content: Any, occurrence: int) -> str:
    digest = hashlib.blake2b(digest_size=8)
    for part in content:
        encoded = b"" if part is None else part.encode()
        digest.update(b"%d:" % (-1 if part is None else len(encoded)) + encoded)
    digest.update(b"%d" % occurrence)
    return digest.hexdigest()


def number_names(names: Iterable[str]) -> tuple[list[str], np.ndarray]:
    given = list(names)
    distinct = sorted(set(given))
    numbers = {name: number for number, name in enumerate(distinct)}
    return distinct, np.array([numbers[name] for name in given], np.int64)


def keyed_order(names: Iterable[str], seed: int, purpose: str) -> np.ndarray:
    key = hashlib.blake2b(f"{seed}:{purpose}".encode(), digest_size=32).digest()
    hashes = b"".join(hashlib.blake2b(name.encode(), digest_size=8, key=key).digest() for name in names)
    return np.frombuffer(hashes, ">u8").astype(np.uint64)


def normal_forms(table: pa.Table) -> list[str]:
    forms = [_normalize(text) for text in table["text"].to_pylist()]
    if "text_pair" not in table.column_names:
        return forms
    pairs = table["text_pair"].to_pylist()
    return [f"{form}\n{_normalize(pair)}" for form, pair in zip(forms, pairs, strict=True)]


def _normalize(text: str) -> str:
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text)
    return " ".join(text.lower().split())


def content_fingerprint(tables: Mapping[str, pa.Table], label_names: Sequence[str]) -> str:
    digest = hashlib.sha256()
    _update(digest, pa.array(label_names, pa.string()))
    for split, table in tables.items():
        for name in table.column_names:
            digest.update(f"\n{split}.{name}:{table.num_rows}\n".encode())
            _update(digest, table[name])
    return digest.hexdigest()


def _update(digest: Any, values: pa.Array | pa.ChunkedArray) -> None:
    if pa.types.is_string(values.type):
        digest.update(pc.binary_length(values).to_numpy().astype("<i4").tobytes())
        digest.update("".join(values.to_pylist()).encode())
    else:
        digest.update(values.to_numpy().astype("<i8").tobytes())


def unit_names(table: pa.Table) -> list[str]:
    if "group" in table.column_names:
        groups: list[str] = table["group"].to_pylist()
        return groups
    return normal_forms(table)


def assign_units(
    units: Sequence[str], labels: np.ndarray, fractions: Sequence[float], seed: int, purpose: str = "split"
) -> np.ndarray:
    names, unit_of_row = number_names(units)
    sizes = np.bincount(unit_of_row)
    class_counts = np.bincount(labels)
    rarity = np.lexsort((np.arange(len(class_counts)), class_counts)).argsort()
    stratum = np.full(len(names), len(class_counts))
    np.minimum.at(stratum, unit_of_row, rarity[labels])
    order = np.lexsort((keyed_order(names, seed, purpose), stratum))
    part = np.zeros(len(names), np.int64)
    for members in np.split(order, np.flatnonzero(np.diff(stratum[order])) + 1):
        part[members] = _cut_ordered(sizes[members], fractions)
    return np.asarray(part[unit_of_row])


def describe_overlaps(tables: Mapping[str, pa.Table]) -> tuple[str, ...]:
    forms = {split: normal_forms(table) for split, table in tables.items()}
    distinct = {split: set(texts) for split, texts in forms.items()}
    noun = "pair" if "text_pair" in tables["train"].column_names else "text"
    notes = []
    for smaller, larger in (("validation", "train"), ("test", "train"), ("test", "validation")):
        num_shared = sum(form in distinct[larger] for form in forms[smaller])
        if num_shared:
            share = f"{num_shared:,} of {len(forms[smaller]):,} examples"
            notes.append(f"{smaller}: {share} have a {noun} that is also in {larger}")
    for split, texts in forms.items():
        notes += _describe_repeats(split, texts, tables[split]["label"].to_pylist(), noun)
    return tuple(notes)


def _describe_repeats(where: str, forms: Sequence[str], labels: Sequence[int], noun: str) -> list[str]:
    num_repeats = len(forms) - len(set(forms))
    if not num_repeats:
        return []
    first: dict[str, int] = {}
    conflicts = {form for form, label in zip(forms, labels, strict=True) if first.setdefault(form, label) != label}
    tail = f"; {len(conflicts):,} {noun}s have two labels" if conflicts else ""
    return [f"{where}: {num_repeats:,} of {len(forms):,} examples repeat the {noun} of another{tail}"]
