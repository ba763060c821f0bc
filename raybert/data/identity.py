"""What makes two examples the same: ids of content, normal forms of text, keyed order, fingerprints.

Whatever is of every row is streamed, or an array of fixed width: ten million texts are never Python strings at once.
"""

from __future__ import annotations

import hashlib
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
import pyarrow as pa

from raybert.data.mapped import column_of
from raybert.data.rows import take_rows
from raybert.data.same import repeated_rows
from raybert.data.strings import HEX_DIGITS, blocks_of_digests, blocks_of_hex, pack, stream_strings, utf8_parts

_Content = tuple[str, str | None, str]
"""Text, second text, name of the class; of another task what is predicted, as JSON."""
_FORM_BYTES = 16
"""Of the digest that stands for a text: of ten million, two different ones are the same by a chance of 1 in 10**24."""


def example_ids(table: pa.Table, label_names: Sequence[str]) -> pa.ChunkedArray:
    """Return the stable id of every example: the user's own, or 16 hex digits of a hash of its content.

    The hash is over text, second text, label name and how many identical examples come before, so it stays
    the same when the file is reordered, grows, or is split differently. Identical examples are counted in the
    order of their group, if there is one.

    Args:
        table: columns text, [text_pair], label, [target], [id], [group].
        label_names: class number -> name.
    """
    if "id" in table.column_names:
        return table["id"]
    digests = _first_digests(table, label_names)
    ids = np.frombuffer(digests, "<u8")  # a view: what is written there is in `digests`
    repeated = repeated_rows(ids)
    if len(repeated):
        if "group" in table.column_names:
            groups = take_rows(table.select(["group"]), repeated)["group"].to_pylist()
            repeated = repeated[sorted(range(len(repeated)), key=groups.__getitem__)]
        seen: Counter[bytes] = Counter()
        for row, content in zip(repeated.tolist(), _contents(take_rows(table, repeated), label_names), strict=True):
            form = _hash_content(content, _FORM_BYTES).digest()
            if seen[form]:
                ids[row] = int.from_bytes(_content_digest(content, seen[form]), "little")
            seen[form] += 1
    return _as_ids(digests)


def ids_of_first_copies(table: pa.Table, label_names: Sequence[str]) -> list[str]:
    """Return of every example the id that the first one with its content has."""
    ids: list[str] = _as_ids(_first_digests(table, label_names)).to_pylist()
    return ids


def _as_ids(digests: bytearray) -> pa.ChunkedArray:
    return column_of(lambda: blocks_of_hex(digests), pa.string(), len(digests) // 8 * (HEX_DIGITS + 4))


def _first_digests(table: pa.Table, label_names: Sequence[str]) -> bytearray:
    """Return eight bytes for each example: its id, were it the first one with its content."""
    return pack(_content_digest(content, 0) for content in _contents(table, label_names))


def _contents(table: pa.Table, label_names: Sequence[str]) -> Iterator[_Content]:
    pairs: Iterable[str | None] = (
        stream_strings(table["text_pair"]) if "text_pair" in table.column_names else iter(lambda: None, 0)
    )
    if "target" in table.column_names:
        labels: Iterator[str] = stream_strings(table["target"])
    else:
        labels = (label_names[label] for label in table["label"].to_numpy())
    return zip(stream_strings(table["text"]), pairs, labels, strict=False)  # of one length, or without end


def _content_digest(content: _Content, occurrence: int) -> bytes:
    digest = _hash_content(content, 8)
    digest.update(b"%d" % occurrence)
    return digest.digest()


def _hash_content(content: _Content, size: int) -> hashlib.blake2b:
    digest = hashlib.blake2b(digest_size=size)
    for part in content:
        encoded = b"" if part is None else part.encode()
        digest.update(b"%d:" % (-1 if part is None else len(encoded)) + encoded)
    return digest


def keyed_order(names: Iterable[str], seed: int, purpose: str) -> np.ndarray:
    """Return (n,) uint64 sort keys: a random order that depends on the names alone, not on their places.

    Args:
        names: ids of examples or of groups.
        seed: another seed is another order.
        purpose: so is another purpose.
    """
    key = hashlib.blake2b(f"{seed}:{purpose}".encode(), digest_size=32).digest()
    hashes = pack(hashlib.blake2b(name.encode(), digest_size=8, key=key).digest() for name in names)
    return np.frombuffer(hashes, ">u8").byteswap(inplace=True).view("<u8")


def normal_forms(table: pa.Table) -> Iterator[str]:
    """Yield each example's text (and second text) after NFKC, lower case and single spaces."""
    forms = map(_normalize, stream_strings(table["text"]))
    if "text_pair" not in table.column_names:
        return forms
    pairs = map(_normalize, stream_strings(table["text_pair"]))
    return (f"{form}\n{pair}" for form, pair in zip(forms, pairs, strict=True))


def form_digests(table: pa.Table) -> pa.ChunkedArray:
    """Return (n,) 16 bytes that stand for each example's normal form: equal forms have equal ones."""

    def blocks() -> Iterator[pa.Array]:
        hashes = (hashlib.blake2b(form.encode(), digest_size=_FORM_BYTES).digest() for form in normal_forms(table))
        return blocks_of_digests(hashes, _FORM_BYTES)

    return column_of(blocks, pa.binary(_FORM_BYTES), table.num_rows * _FORM_BYTES)


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
        for lengths, _ in utf8_parts(values):
            digest.update(lengths.astype("<i4").tobytes())
        for _, content in utf8_parts(values):
            digest.update(content)
        return
    for chunk in values.chunks if isinstance(values, pa.ChunkedArray) else [values]:
        digest.update(chunk.to_numpy().astype("<i8").tobytes())
