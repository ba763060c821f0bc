"""What makes two examples the same: ids of content, normal forms of text, keyed order, fingerprints."""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

_Content = tuple[str, str | None, str]
"""Text, second text, name of the class."""


def example_ids(table: pa.Table, label_names: Sequence[str]) -> pa.Array:
    """Return the stable id of every example: the user's own, or 16 hex digits of a hash of its content.

    The hash is over text, second text, label name and how many identical examples come before, so it stays
    the same when the file is reordered, grows, or is split differently. Identical examples are counted in the
    order of their group, if there is one.

    Args:
        table: columns text, [text_pair], label, [id], [group].
        label_names: class number -> name.
    """
    if "id" in table.column_names:
        return table["id"].combine_chunks()
    contents = _contents(table, label_names)
    order: Iterable[int] = range(len(contents))
    if "group" in table.column_names:
        groups = table["group"].to_pylist()
        order = sorted(order, key=groups.__getitem__)
    ids = [""] * len(contents)
    seen: dict[_Content, int] = {}
    for row in order:
        content = contents[row]
        occurrence = seen.get(content, 0)
        seen[content] = occurrence + 1
        ids[row] = _content_hash(content, occurrence)
    return pa.array(ids, pa.string())


def ids_of_first_copies(table: pa.Table, label_names: Sequence[str]) -> list[str]:
    """Return of every example the id that the first one with its content has."""
    return [_content_hash(content, 0) for content in _contents(table, label_names)]


def _contents(table: pa.Table, label_names: Sequence[str]) -> list[_Content]:
    texts = table["text"].to_pylist()
    pairs = table["text_pair"].to_pylist() if "text_pair" in table.column_names else [None] * len(texts)
    labels = [label_names[label] for label in table["label"].to_pylist()]
    return list(zip(texts, pairs, labels, strict=True))


def _content_hash(content: _Content, occurrence: int) -> str:
    digest = hashlib.blake2b(digest_size=8)
    for part in content:
        encoded = b"" if part is None else part.encode()
        digest.update(b"%d:" % (-1 if part is None else len(encoded)) + encoded)
    digest.update(b"%d" % occurrence)
    return digest.hexdigest()


def number_names(names: Iterable[str]) -> tuple[list[str], np.ndarray]:
    """Return the distinct names, sorted, and (n,) the number of each name among them.

    What `numpy.unique` returns, without its array of strings, in which every name takes the memory of the longest.
    """
    given = list(names)
    distinct = sorted(set(given))
    numbers = {name: number for number, name in enumerate(distinct)}
    return distinct, np.array([numbers[name] for name in given], np.int64)


def keyed_order(names: Iterable[str], seed: int, purpose: str) -> np.ndarray:
    """Return (n,) uint64 sort keys: a random order that depends on the names alone, not on their places.

    Args:
        names: ids of examples or of groups.
        seed: another seed is another order.
        purpose: so is another purpose.
    """
    key = hashlib.blake2b(f"{seed}:{purpose}".encode(), digest_size=32).digest()
    hashes = b"".join(hashlib.blake2b(name.encode(), digest_size=8, key=key).digest() for name in names)
    return np.frombuffer(hashes, ">u8").astype(np.uint64)


def normal_forms(table: pa.Table) -> list[str]:
    """Return each example's text (and second text) after NFKC, lower case and single spaces."""
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
    """Return the SHA-256 of all columns of all tables in their order, and of the label names."""
    digest = hashlib.sha256()
    _update(digest, pa.array(label_names, pa.string()))
    for split, table in tables.items():
        for name in table.column_names:
            digest.update(f"\n{split}.{name}:{table.num_rows}\n".encode())
            _update(digest, table[name])
    return digest.hexdigest()


def _update(digest: hashlib._Hash, values: pa.Array | pa.ChunkedArray) -> None:
    if pa.types.is_string(values.type):
        digest.update(pc.binary_length(values).to_numpy().astype("<i4").tobytes())
        digest.update("".join(values.to_pylist()).encode())
    else:
        digest.update(values.to_numpy().astype("<i8").tobytes())
