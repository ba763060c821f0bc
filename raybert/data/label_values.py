"""The labels of a split as numbers or strings: which texts are numbers, and what no label can be."""

from __future__ import annotations

import re

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from raybert.data.columns import is_text, plain_array, refuse_rows
from raybert.data.raw import RawTable
from raybert.errors import DataError

_WHOLE = re.compile(r"0|-?[1-9][0-9]{0,18}")
_DECIMAL = re.compile(r"-?(?:0|[1-9][0-9]{0,15})\.[0-9]{1,17}")


def label_values(table: RawTable, column: str, where: str) -> pa.Array:
    """Return one split's labels as int64 or strings.

    Raises:
        DataError: some are missing, or they are neither whole numbers nor strings.
    """
    labels, place = typed_labels(table), f"column '{column}' of {where}"
    if pa.types.is_floating(labels.type) or pa.types.is_decimal(labels.type):
        labels = _whole_numbers(labels.cast(pa.float64()), place, table)
    if pa.types.is_list(labels.type) or pa.types.is_large_list(labels.type) or pa.types.is_fixed_size_list(labels.type):
        raise DataError(
            f"data.label: {place} must hold whole numbers or strings, got {labels.type}; set data.task: multi_label "
            "if each is a set of labels (a label for every word, as of token classification, is nothing that raybert "
            "trains)"
        )
    if not (is_text(labels.type) or pa.types.is_integer(labels.type) or pa.types.is_boolean(labels.type)):
        raise DataError(
            f"data.label: {place} must hold whole numbers or strings, got {labels.type}; write them as one of these"
        )
    missing = pc.is_null(labels)
    if is_text(labels.type):
        missing = pc.or_(missing, pc.fill_null(pc.equal(pc.utf8_trim_whitespace(labels), ""), True))
    or_else = ", or set data.unlabelled: true, which leaves them out" if where == "train" else ""
    refuse_rows(missing, "label", place, "labels", table, or_else)
    if is_text(labels.type):
        return labels
    try:
        return labels.cast(pa.int64())
    except pa.ArrowInvalid:
        raise DataError(
            f"data.label: {place} must hold numbers of at most 64 bits, got {pc.max(labels)}; write them as strings"
        ) from None


def typed_labels(table: RawTable) -> pa.Array:
    """Return the labels; text of a file without types as numbers where all of them are nothing else."""
    labels = plain_array(table.rows["label"], "label", "the labels")
    return _numbers_of(labels) if table.labels_are_text and is_text(labels.type) else labels


def _numbers_of(labels: pa.Array) -> pa.Array:
    """Return texts as numbers if the text of every one is the only way to write its number, else as they are.

    `01`, `1e2`, `0x1A`, `+1` and `nan` are names: as numbers some would become others. `1` beside `1.0` are two names.
    """
    labels = pc.if_else(pc.equal(labels, ""), None, labels)
    texts = [text for text in pc.unique(labels).to_pylist() if text is not None]
    if all(_WHOLE.fullmatch(text) and -(2**63) <= int(text) < 2**63 for text in texts):
        return labels.cast(pa.int64())
    if all(map(_is_canonical, texts)) and len({float(text) for text in texts}) == len(texts):
        return labels.cast(pa.float64())
    return labels


def _is_canonical(text: str) -> bool:
    if _WHOLE.fullmatch(text):
        return abs(int(text)) <= 2**53
    return bool(_DECIMAL.fullmatch(text)) and repr(float(text)) == text


def _whole_numbers(labels: pa.Array, where: str, table: RawTable) -> pa.Array:
    """Return floats as integers (NaN as null), as csv and pandas write integer columns with gaps."""
    values = labels.to_numpy(zero_copy_only=False)
    missing = np.isnan(values)
    broken = np.flatnonzero(~missing & ((values != np.round(values)) | (np.abs(values) > 2**53)))
    if len(broken):
        raise DataError(
            f"data.label: {where} must hold whole numbers or strings, got {values[broken[0]]:g} in "
            f"{table.describe_rows(broken[:1])}; write classes as words, or as strings in parquet or jsonl, or set "
            "data.task: regression"
        )
    return pa.array(np.where(missing, 0, values).astype(np.int64), mask=missing)
