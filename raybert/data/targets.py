"""What is predicted where it is not one class: sets of labels, or numbers; and the strata that cuts go by.

Beside its `target`, a text that stands for all of it, every example has a `label`: the number of its stratum, which
splits, folds, subsamples and quotas are balanced by. Of several labels it is the rarest one that the example has; of
numbers the bin between quantiles of train.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from raybert.config import DataConfig
from raybert.config.tasks import MULTI_LABEL
from raybert.data.columns import is_text, plain_array, refuse_rows
from raybert.data.label_columns import LABEL_COLUMN
from raybert.data.raw import RawTable
from raybert.errors import DataError

TARGET = "target"
"""Column of the examples: JSON of their labels, or of their number."""
NO_LABEL = "no label"
"""Name of the stratum of examples without any label."""
_MOST_BINS, _FEWEST_IN_A_BIN = 10, 20
_TRUTHS = {"0": 0, "1": 1, "0.0": 0, "1.0": 1, "false": 0, "true": 1, "False": 0, "True": 1}
_PER_WORD = "a label for every word (token classification) is nothing that raybert trains"


@dataclass(frozen=True)
class EncodedTargets:
    """What is predicted of the examples of every split, and their strata.

    Attributes:
        numbers: split -> (n,) int64, number of the stratum.
        names: of the strata.
        targets: split -> (n,) strings, JSON.
        outputs: what a model's outputs are called: the labels, or the column of the numbers.
        notes: what a user should look at.
    """

    numbers: dict[str, np.ndarray]
    names: tuple[str, ...]
    targets: dict[str, pa.Array]
    outputs: tuple[str, ...]
    notes: tuple[str, ...] = ()


def encode_targets(tables: Mapping[str, RawTable], config: DataConfig) -> EncodedTargets:
    """Return what is predicted of every example of a source.

    Args:
        tables: split -> its rows.
        config: the `data` section, of another task than classification.

    Raises:
        DataError: missing, empty or unknown labels, or what is no number, with their rows.
    """
    return _encode_labels(tables, config) if config.predicts == MULTI_LABEL else _encode_numbers(tables, config)


def target_matrix(targets: pa.Array | pa.ChunkedArray, outputs: Sequence[str]) -> np.ndarray:
    """Return (n, L) float32: 1 where an example has a label; or (n, 1), the numbers.

    Args:
        targets: the column `TARGET`.
        outputs: as of `EncodedTargets`.
    """
    array = targets.combine_chunks() if isinstance(targets, pa.ChunkedArray) else targets
    if isinstance(array, pa.ChunkedArray):
        array = pa.concat_arrays(array.chunks) if array.num_chunks else pa.array([], pa.string())
    coded = array.dictionary_encode()
    place = {name: number for number, name in enumerate(outputs)}
    rows = np.zeros((max(1, len(coded.dictionary)), len(outputs)), np.float32)
    for number, text in enumerate(coded.dictionary.to_pylist()):
        found = json.loads(text)
        if isinstance(found, list):
            rows[number, [place[name] for name in found]] = 1.0
        else:
            rows[number] = found
    return np.asarray(rows[coded.indices.to_numpy()])


def match_targets(table: RawTable, outputs: Sequence[str], config: DataConfig, origin: str) -> pa.Array:
    """Return what rows of another file have, for a model with these outputs, as the column `TARGET` has it.

    Raises:
        DataError: as of `encode_targets`; or a label that the model does not know.
    """
    if config.predicts != MULTI_LABEL:
        return _numbers_as_json(_numbers(table, config.label_words, origin))
    sets, _ = _label_sets(table, config, origin)
    _refuse_unknown(sets, outputs, config, origin, table, "of the model")
    return _as_json(sets)


def names_of_set(marks: np.ndarray, outputs: Sequence[str]) -> str:
    """Return what people read of one row of labels: `insult, toxic`, or `no label`."""
    return ", ".join(outputs[place] for place in np.flatnonzero(marks).tolist()) or NO_LABEL


# Several labels.


def _encode_labels(tables: Mapping[str, RawTable], config: DataConfig) -> EncodedTargets:
    found = {split: _label_sets(table, config, split) for split, table in tables.items()}
    sets = {split: pair[0] for split, pair in found.items()}
    if isinstance(config.label, tuple):
        outputs = config.label
    else:
        outputs = tuple(sorted({name for labels in sets["train"] for name in labels}, key=_number_first))
    if len(outputs) < 2:
        raise DataError(
            f"data.label: column '{config.label_words}' must have at least two labels in train, got "
            f"{list(outputs) or 'none'}; of one label alone make a column of 0 and 1, with data.task: classification"
        )
    counts = Counter(name for labels in sets["train"] for name in labels)
    absent = [name for name in outputs if not counts[name]]
    if absent:
        raise DataError(
            f"data.label: every label must have an example in train, got none of {', '.join(map(repr, absent[:5]))}; "
            "leave it out"
        )
    for split, table in tables.items():
        if split != "train":
            _refuse_unknown(sets[split], outputs, config, split, table, "of train")
    names = (*outputs, NO_LABEL)
    rarity = {name: (counts[name], place) for place, name in enumerate(outputs)}
    place = {name: number for number, name in enumerate(names)}
    numbers = {
        split: np.array([place[min(labels, key=rarity.__getitem__, default=NO_LABEL)] for labels in rows], np.int64)
        for split, rows in sets.items()
    }
    targets = {split: _as_json(rows) for split, rows in sets.items()}
    return EncodedTargets(numbers, names, targets, outputs, tuple(note for _, note in found.values() if note))


def _number_first(name: str) -> tuple[bool, int, str]:
    is_number = name.removeprefix("-").isdecimal()
    return (not is_number, int(name) if is_number else 0, name)


def _as_json(sets: Sequence[tuple[str, ...]]) -> pa.Array:
    known = {labels: json.dumps(sorted(labels), ensure_ascii=False) for labels in set(sets)}
    return pa.array([known[labels] for labels in sets], pa.string())


def _label_sets(table: RawTable, config: DataConfig, origin: str) -> tuple[list[tuple[str, ...]], str]:
    """Return the labels of every row, and a note about rows that have none."""
    if isinstance(config.label, tuple):
        sets = _of_columns(table, config.label, origin)
    else:
        sets = _of_lists(table, config, origin)
    none = np.flatnonzero([not labels for labels in sets])
    note = ""
    if len(none):
        note = f"data.label: {origin}: {len(none):,} of {len(sets):,} rows have no label ({table.describe_rows(none)})"
    return sets, note


def _of_columns(table: RawTable, columns: Sequence[str], origin: str) -> list[tuple[str, ...]]:
    marks = np.stack(
        [_marks(table, LABEL_COLUMN.format(i), column, origin) for i, column in enumerate(columns)], axis=1
    )
    known = {
        row: tuple(columns[place] for place in np.flatnonzero(row).tolist()) for row in set(map(tuple, marks.tolist()))
    }
    return [known[row] for row in map(tuple, marks.tolist())]


def _marks(table: RawTable, key: str, column: str, origin: str) -> np.ndarray:
    """Return (n,) whether each row has 1 in a column of 0 and 1."""
    place = f"column '{column}' of {origin}"
    values = plain_array(table.rows[key], "label", place)
    missing = pc.is_null(values, nan_is_null=True)
    if is_text(values.type):
        missing = pc.or_(missing, pc.fill_null(pc.equal(pc.utf8_trim_whitespace(values), ""), True))
    refuse_rows(missing, "label", place, "labels", table)
    truths = [_TRUTHS.get(str(value).strip(), -1) for value in values.to_pylist()]
    bad = np.flatnonzero(np.array(truths, np.int64) < 0)
    if len(bad):
        raise DataError(
            f"data.label: {place} must hold 0 or 1, got {values[int(bad[0])].as_py()!r} in {table.describe_rows(bad)}; "
            "of classes or lists name one column"
        )
    return np.array(truths, bool)


def _of_lists(table: RawTable, config: DataConfig, origin: str) -> list[tuple[str, ...]]:
    assert isinstance(config.label, str)
    place = f"column '{config.label}' of {origin}"
    values = plain_array(table.rows["label"], "label", place)
    if is_text(values.type):
        refuse_rows(pc.is_null(values), "label", place, "labels", table)
        if config.label_separator is None:
            raise DataError(
                f"data.label_separator: must say what stands between the labels of {place}, which holds texts such as "
                f"{values[0].as_py()!r}"
            )
        split = [text.split(config.label_separator) for text in values.to_pylist()]
        rows = [[name.strip() for name in names if name.strip()] for names in split]
    elif (
        pa.types.is_list(values.type) or pa.types.is_large_list(values.type) or pa.types.is_fixed_size_list(values.type)
    ):
        refuse_rows(pc.is_null(values), "label", place, "labels", table)
        rows = [_names(row, place, number, table) for number, row in enumerate(values.to_pylist())]
    else:
        raise DataError(
            f"data.label: {place} must hold lists of labels, or texts with data.label_separator, got {values.type}; of "
            "one class per example leave data.task out"
        )
    for number, names in enumerate(rows):
        if len(set(names)) < len(names):
            twice = next(name for name, count in Counter(names).items() if count > 1)
            raise DataError(
                f"data.label: {place} must hold every label of an example once, got '{twice}' several times in "
                f"{table.describe_rows([number])}; remove it ({_PER_WORD})"
            )
    return [tuple(sorted(names)) for names in rows]


def _names(values: Sequence[object], place: str, number: int, table: RawTable) -> list[str]:
    for value in values:
        if not isinstance(value, (str, int)) or isinstance(value, bool) or not str(value).strip():
            raise DataError(
                f"data.label: {place} must hold lists of whole numbers or strings, got {value!r} in "
                f"{table.describe_rows([number])}; remove or name it"
            )
    return [str(value).strip() for value in values]


def _refuse_unknown(
    sets: Sequence[tuple[str, ...]],
    outputs: Sequence[str],
    config: DataConfig,
    origin: str,
    table: RawTable,
    whose: str,
) -> None:
    known = set(outputs)
    rows = [number for number, labels in enumerate(sets) if not known.issuperset(labels)]
    if rows:
        unknown = sorted(set(sets[rows[0]]) - known)
        raise DataError(
            f"data.label: column '{config.label_words}' of {origin} must hold labels {whose} only, got "
            f"'{unknown[0]}' in {table.describe_rows(rows)} ({len(rows):,} of {len(sets):,} rows have others); "
            "remove them, or add such "
            "examples to train"
        )


# Numbers.


def _encode_numbers(tables: Mapping[str, RawTable], config: DataConfig) -> EncodedTargets:
    values = {split: _numbers(table, config.label_words, split) for split, table in tables.items()}
    train = values["train"]
    if len(np.unique(train)) < 2:
        raise DataError(
            f"data.label: column '{config.label_words}' must have at least two different numbers in train, got "
            f"{train[0] if len(train) else 'none'}"
        )
    edges = bin_edges(train)
    numbers = {split: np.searchsorted(edges, part, side="left") for split, part in values.items()}
    targets = {split: _numbers_as_json(part) for split, part in values.items()}
    return EncodedTargets(numbers, _bin_names(edges), targets, (config.label_words,), _notes_on_numbers(train, config))


def _numbers_as_json(values: np.ndarray) -> pa.Array:
    return pa.array([json.dumps(value) for value in values.tolist()], pa.string())


def _numbers(table: RawTable, column: str, origin: str) -> np.ndarray:
    """Return (n,) float64, all finite."""
    place = f"column '{column}' of {origin}"
    values = plain_array(table.rows["label"], "label", place)
    if is_text(values.type):
        stripped = pc.utf8_trim_whitespace(values)
        refuse_rows(pc.fill_null(pc.equal(stripped, ""), True), "label", place, "numbers", table)
        found = np.array([_as_number(text) for text in stripped.to_pylist()], np.float64)
    elif pa.types.is_integer(values.type) or pa.types.is_floating(values.type) or pa.types.is_decimal(values.type):
        refuse_rows(pc.is_null(values), "label", place, "numbers", table)
        found = values.cast(pa.float64()).to_numpy(zero_copy_only=False)
    else:
        raise DataError(f"data.label: {place} must hold numbers with data.task: regression, got {values.type}")
    bad = np.flatnonzero(~(np.abs(found) <= np.finfo(np.float32).max))
    if len(bad):
        raise DataError(
            f"data.label: {place} must hold finite numbers, got {values[int(bad[0])].as_py()!r} in "
            f"{table.describe_rows(bad)} ({len(bad):,} of {len(found):,} rows); remove or fill them"
        )
    return np.asarray(found, np.float64)


def _as_number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return float("nan")


def bin_edges(values: np.ndarray) -> np.ndarray:
    """Return the upper ends of all bins but the last: quantiles, at most 9 of them, with 20 values or more between.

    Equal values share a bin. Values above the last end are in one more bin.

    Args:
        values: (n,) float64 of train.
    """
    num_bins = int(np.clip(len(values) // _FEWEST_IN_A_BIN, 1, _MOST_BINS))
    wanted = np.quantile(values, np.arange(1, num_bins) / num_bins, method="inverted_cdf")
    edges: list[float] = []
    before = 0
    in_order = np.sort(values)
    for edge in np.unique(wanted).tolist():
        upto = int(np.searchsorted(in_order, edge, side="right"))
        if upto - before >= _FEWEST_IN_A_BIN and len(values) - upto >= _FEWEST_IN_A_BIN:
            edges.append(edge)
            before = upto
    return np.array(edges, np.float64)


def _bin_names(edges: np.ndarray) -> tuple[str, ...]:
    if not len(edges):
        return ("all",)
    middle = (f"> {low:g} to {high:g}" for low, high in pairwise(edges.tolist()))
    return (f"up to {edges[0]:g}", *middle, f"> {edges[-1]:g}")


def _notes_on_numbers(train: np.ndarray, config: DataConfig) -> tuple[str, ...]:
    if len(np.unique(train)) > 2:
        return ()
    return (
        f"data.task: column '{config.label_words}' has two different numbers only, {train.min():g} and "
        f"{train.max():g}: as two classes (data.task: classification) they are more",
    )
