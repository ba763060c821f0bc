"""What classes are called: by their source or by what is written; and names that a user should look at."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from raybert.data.columns import is_text
from raybert.data.raw import RawTable
from raybert.errors import DataError

_ANY_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:e[+-]?[0-9]{1,3})?")
_PERHAPS_MISSING = {"nan", "null", "none", "na", "n/a", "#n/a", "<na>", "nil", "?", "-"}


def given_names(table: RawTable) -> tuple[str, ...] | None:
    """Return what a source calls its numbers: class number -> name; None: it does not say."""
    if pa.types.is_boolean(table.rows["label"].type):
        return ("false", "true")
    return table.class_names


def names_of(classes: list[Any], table: RawTable, values: pa.Array, column: str, where: str) -> tuple[str, ...]:
    """Return the names of classes: those that the source gives their numbers, else what is written.

    Raises:
        DataError: there are names, but not for all classes, or two classes have the same one.
    """
    given = given_names(table)
    if given is None or is_text(values.type):
        return tuple(map(str, classes))
    place = f"column '{column}' of {where}"
    beyond = next((value for value in classes if not 0 <= value < len(given)), None)
    if beyond is not None:
        row = int(np.flatnonzero(pc.equal(values, beyond).to_numpy(zero_copy_only=False))[0])
        raise DataError(
            f"data.label: {place} must hold numbers of its {len(given)} class names (0 is {given[0]}), got {beyond} in "
            f"{table.describe_rows([row])}; name that class or remove its rows"
        )
    names = tuple(given[value] for value in classes)
    twice = next((name for name, count in Counter(names).items() if count > 1 or not name.strip()), None)
    if twice is not None:
        numbers = [value for value, name in zip(classes, names, strict=True) if name == twice]
        row = int(np.flatnonzero(pc.equal(values, numbers[-1]).to_numpy(zero_copy_only=False))[0])
        raise DataError(
            f"data.label: {place} must have a different name for every class, got '{twice}' for "
            f"{' and '.join(map(str, numbers))} ({numbers[-1]} first in {table.describe_rows([row])}); rename one, or "
            "write the labels as strings"
        )
    return names


def notes_on_names(names: Sequence[str], numbers: np.ndarray, column: str) -> Iterator[str]:
    """Yield notes about classes that are nearly one, and about names that mean a missing value elsewhere."""
    counts = np.bincount(numbers, minlength=len(names)).tolist()
    alike: dict[str, list[str]] = {}
    for name, count in zip(names, counts, strict=True):
        alike.setdefault(_folded(name), []).append(f"{name!r} ({count:,})")
        if name.strip().casefold() in _PERHAPS_MISSING:
            yield (
                f"data.label: '{name}' in column '{column}' is a class like others ({count:,} examples of train); "
                "remove its rows if it stands for a missing label"
            )
    for group in alike.values():
        if len(group) > 1:
            yield (
                f"data.label: {' and '.join(group)} in column '{column}' differ only by case, blanks or the way of "
                "writing, and are classes of their own; rename them in the file if they are one"
            )


def _folded(name: str) -> str:
    """Return what is left of a name without case, blanks, invisible characters and ways to write a number."""
    folded = unicodedata.normalize("NFKC", name).casefold()
    folded = "".join(char for char in folded if not char.isspace() and unicodedata.category(char) not in {"Cf", "Cc"})
    return repr(float(folded)) if _ANY_NUMBER.fullmatch(folded) else folded
