"""Documents of a corpus: texts in an order, held as one array, with their words counted."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, overload

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from raybert.data.identity import keyed_order

_BATCH = 4096
_NOT_PLAIN = re.compile(r"[^\w\-&/$%\s]|_")


class Documents(Sequence[str]):
    """Texts in an order; iterating holds a few thousand of them as Python objects at a time.

    Attributes:
        array: (n,) large_string.
        groups: (n,) large_string, which of them belong together (a sitting, an author); null: a document is alone.
            None: there are no groups. They decide nothing but how sure measurements are.
    """

    def __init__(
        self, texts: Iterable[str] | pa.Array, words: np.ndarray | None = None, groups: pa.Array | None = None
    ) -> None:
        """Take texts, their words where somebody has counted them already, and their groups where there are any."""
        array: Any = texts if isinstance(texts, pa.Array) else pa.array(list(texts), pa.large_string())
        self.array: pa.Array = array.cast(pa.large_string())
        self.groups: pa.Array | None = None if groups is None else groups.cast(pa.large_string())
        self._words = words

    @property
    def words(self) -> np.ndarray:
        """(n,) int64, of each text: runs of characters without white space."""
        if self._words is None:
            self._words = count_words(self)
        return self._words

    @property
    def num_words(self) -> int:
        """Words of all documents."""
        return int(self.words.sum())

    def __len__(self) -> int:
        return len(self.array)

    @overload
    def __getitem__(self, place: int) -> str: ...
    @overload
    def __getitem__(self, place: slice) -> Documents: ...
    def __getitem__(self, place: int | slice) -> str | Documents:
        if isinstance(place, slice):
            return self.take(np.arange(len(self))[place])
        return str(self.array[range(len(self))[place]].as_py())

    def __iter__(self) -> Iterator[str]:
        for start in range(0, len(self), _BATCH):
            yield from self.array[start : start + _BATCH].to_pylist()

    def take(self, places: np.ndarray) -> Documents:
        """Return some of the documents, in the order of their places."""
        words = None if self._words is None else self._words[places]
        rows = pa.array(places, pa.int64())
        return Documents(self.array.take(rows), words, None if self.groups is None else self.groups.take(rows))

    def shuffled(self, seed: int, purpose: str = "order") -> Documents:
        """Return the documents in a random order that depends on their content alone, not on where they were."""
        return self.take(np.argsort(keyed_order(self.content_ids(), seed, purpose), kind="stable"))

    def first_words(self, wanted: int) -> Documents:
        """Return the first documents, so many that their words come nearest to the number wanted; at least one."""
        totals = np.cumsum(self.words)
        if not len(totals) or wanted >= totals[-1]:
            return self
        return self[: int(np.abs(totals - wanted).argmin()) + 1]

    def lines(self) -> Documents:
        """Return every line with anything to see as a document of its own."""
        return Documents(line for text in self for line in text.splitlines() if line.strip())

    def content_ids(self) -> list[str]:
        """Return of every document a hash of its text and of how many equal ones come before."""
        seen: dict[bytes, int] = {}
        ids = []
        for text in self:
            digest = hashlib.blake2b(text.encode(), digest_size=12).digest()
            occurrence = seen.get(digest, 0)
            seen[digest] = occurrence + 1
            ids.append(f"{digest.hex()}.{occurrence}")
        return ids


def joined(parts: Sequence[Documents]) -> Documents:
    """Return the documents of all parts, one part after the other; those of a part without groups are alone."""
    groups = None
    if any(part.groups is not None for part in parts):
        nobody = [pa.nulls(len(part), pa.large_string()) for part in parts]
        groups = pa.concat_arrays(
            [none if part.groups is None else part.groups for part, none in zip(parts, nobody, strict=True)]
        )
    words = np.concatenate([part.words for part in parts])
    return Documents(pa.concat_arrays([part.array for part in parts]), words, groups)


def count_words(texts: Iterable[str]) -> np.ndarray:
    """Return (n,) int64: the words of each text, runs of characters without white space."""
    return np.fromiter((len(text.split()) for text in texts), np.int64)


def plain_form(text: str) -> str:
    """Return a text in lower case with blanks for all but letters, digits and - & / $ %; its lines stay."""
    lines = (" ".join(_NOT_PLAIN.sub(" ", line).split()) for line in text.lower().split("\n"))
    return "\n".join(lines).strip("\n")


def fingerprint_of(*splits: Documents) -> str:
    """Return the SHA-256 of the texts of some splits in their order."""
    digest = hashlib.sha256()
    for documents in splits:
        digest.update(f"\n{len(documents)}\n".encode())
        digest.update(pc.binary_length(documents.array).to_numpy(zero_copy_only=False).astype("<i8").tobytes())
        for text in documents:
            digest.update(text.encode())
    return digest.hexdigest()


def keys_of(forms: Iterable[str]) -> np.ndarray:
    """Return (n,) uint64 hashes of normal forms, by which equal texts are found in little memory."""
    return np.frombuffer(b"".join(hashlib.blake2b(form.encode(), digest_size=8).digest() for form in forms), "<u8")
