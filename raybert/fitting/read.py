"""Data of a user's own, in whatever form a training script has it, become tables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import torch
from torch.utils.data import BatchSampler, DataLoader, IterableDataset, RandomSampler, SequentialSampler, TensorDataset
from torch.utils.data import default_collate as torch_collate

from raybert.data.cut import assign_units
from raybert.data.identity import normal_forms
from raybert.data.tokens import takes_token_types, tokenize_examples
from raybert.data.units import Units
from raybert.errors import ConfigError, DataError
from raybert.fitting.tables import Collate, FitData, ItemTable, Table, TextTable

_LABELS = ("label", "labels")
_SCORING_TOKENS = 16384
"""What `Inference` puts into a forward pass; items without a length are scored in batches twice those of training."""


@dataclass(frozen=True)
class Reading:
    """How data become tables.

    Attributes:
        tokenizer: of texts; None: items are tensors already.
        max_length: word pieces of a text.
        text: column of texts.
        text_pair: column of second texts; None: there are none.
        label: column of labels; None: `label` or `labels`.
        collate: makes a batch of items; None: that of a DataLoader, or raybert's own.
        rows_per_pass: items of a forward pass of training.
        inputs: names that the model takes; None: all.
        pad_id: fills `input_ids` of items that are shorter than others.
    """

    tokenizer: Any
    max_length: int
    text: str
    text_pair: str | None
    label: str | None
    collate: Collate | None
    rows_per_pass: int
    inputs: frozenset[str] | None = None
    pad_id: int = 0


@dataclass(frozen=True)
class _Raw:
    """A split as it is given, taken apart.

    Attributes:
        name: of the argument, for errors.
        labels: (n,) as they are; None: there are none.
        texts: columns `text` and [`text_pair`], of what a tokenizer is going to read; None: it is read item by item.
        items: numbered, otherwise.
        collate: of a DataLoader.
        label: key of the label of items.
        names: of the classes, where the data say them.
    """

    name: str
    labels: Sequence[Any] | None
    texts: dict[str, list[str]] | None = None
    items: Any = None
    collate: Collate | None = None
    label: str = "label"
    names: tuple[str, ...] = ()


def read_data(
    train: Any,
    validation: Any,
    test: Any,
    reading: Reading,
    *,
    label_names: Sequence[str] | None = None,
    seed: int = 0,
) -> FitData:
    """Return the data of a run.

    Args:
        train: see `raybert.fit`, as all of these.
        validation: data, or the share of `train` to hold out.
        test: data or None.
        reading: how.
        label_names: class number -> name; default: what the data say.
        seed: of the rows that are held out.

    Raises:
        DataError: says which data are of no use, and why.
        ConfigError: a DataLoader that does more than batches, or a share that is none.
    """
    raw = _take_apart(train, "train", reading)
    if raw.labels is None:
        raise DataError("train: must have labels, got none; give (texts, labels), or name their column by `label`")
    _check_are_classes(raw)
    names = _class_names(raw, label_names)
    whole = _table(raw, names, reading)
    if not len(whole):
        raise DataError("train: must have at least one example, got none")
    if isinstance(validation, int | float):
        kept, held = _hold_out(whole, validation, seed)
        pool, checked = whole.take(kept), whole.take(held)
    else:
        kept, pool = np.arange(len(whole)), whole
        checked = _labelled(validation, "validation", names, reading)
    held_out = None if test is None else _labelled(test, "test", names, reading)
    return FitData(pool, checked, held_out, kept, names)


def read_inputs(data: Any, reading: Reading) -> Table:
    """Return data to predict as a table; labels in them are not looked at.

    Args:
        data: as for `raybert.fit`, or texts alone.
        reading: how.
    """
    if isinstance(data, list | tuple) and all(isinstance(text, str) for text in data):
        data = (list(data), None)
    raw = _take_apart(data, "data", reading)
    return _table(_Raw(**{**vars(raw), "labels": None}), (), reading)


def _labelled(data: Any, name: str, names: tuple[str, ...], reading: Reading) -> Table:
    raw = _take_apart(data, name, reading)
    if raw.labels is None or not len(raw.labels):
        raise DataError(f"{name}: must have examples with labels, got none")
    return _table(raw, names, reading)


def _take_apart(data: Any, name: str, reading: Reading) -> _Raw:
    """Return what a split is made of.

    Raises:
        DataError: it is nothing that can be read.
        ConfigError: a DataLoader chooses examples itself.
    """
    collate: Collate | None = None
    if isinstance(data, DataLoader):
        _check_loader(data, name)
        collate = None if data.collate_fn is torch_collate else data.collate_fn
        data = data.dataset
    if isinstance(data, pd.DataFrame):
        data = {str(column): data[column].tolist() for column in data}
    if isinstance(data, tuple):
        return _of_columns(data, name, reading)
    if isinstance(data, IterableDataset) or not (hasattr(data, "__len__") and hasattr(data, "__getitem__")):
        raise DataError(
            f"{name}: must be data with a length and numbered items (datasets.Dataset, a torch Dataset or DataLoader, "
            f"a table, a list of items, or (texts, labels)), got {type(data).__name__}; `list(data)` is, if it fits "
            "into memory"
        )
    if isinstance(data, Mapping) or hasattr(data, "column_names"):
        return _of_table(data, name, reading, collate)
    if isinstance(data, TensorDataset):
        return _Raw(name, data.tensors[-1].tolist(), items=data, collate=collate)
    return _of_items(data, name, reading, collate)


def _check_loader(loader: DataLoader[Any], name: str) -> None:
    sampler = loader.sampler
    is_plain = type(sampler) is SequentialSampler or (type(sampler) is RandomSampler and not sampler.replacement)
    if isinstance(loader.dataset, IterableDataset) or (is_plain and type(loader.batch_sampler) is BatchSampler):
        return
    raise ConfigError(
        f"{name}: must be a DataLoader without a sampler of its own, got {type(sampler).__name__}; raybert orders and "
        "batches examples itself, by `seed`: give the dataset, with `class_weights` or `strategy` for what the sampler "
        "was for"
    )


def _of_columns(data: tuple[Any, ...], name: str, reading: Reading) -> _Raw:
    """Take (texts, labels) or (texts, second texts, labels) apart; arrays or tensors in place of texts are inputs."""
    if len(data) not in (2, 3):
        raise DataError(f"{name}: must be (texts, labels) or (texts, second texts, labels), got {len(data)} parts")
    *inputs, labels = data
    sizes = [len(part) for part in data if part is not None]
    if len(set(sizes)) > 1:
        raise DataError(f"{name}: must have as many labels as examples, got {' and '.join(map(str, sizes))}")
    found = None if labels is None else _plain_list(labels)
    if len(inputs[0]) and isinstance(inputs[0][0], str):
        texts = dict(zip(("text", "text_pair"), ([str(text) for text in part] for part in inputs), strict=False))
        return _Raw(name, found, texts=_with_tokenizer(texts, name, reading))
    tensors = [torch.as_tensor(part) for part in inputs]
    marks = torch.zeros(len(tensors[0]))  # in place of labels, which are known
    return _Raw(name, found, items=TensorDataset(*tensors, marks))


def _of_table(data: Any, name: str, reading: Reading, collate: Collate | None) -> _Raw:
    """Take a table apart: a mapping of columns, or a dataset of Hugging Face."""
    columns = list(data) if isinstance(data, Mapping) else list(data.column_names)
    label = reading.label or next((one for one in _LABELS if one in columns), None)
    if reading.label is not None and reading.label not in columns and name != "data":
        raise DataError(f"{name}: must have the column '{reading.label}' (label), has {', '.join(columns)}")
    labels = None if label is None or label not in columns else _plain_list(data[label])
    feature = getattr(data, "features", {}).get(label) if label else None
    names = tuple(getattr(feature, "names", None) or ())
    if reading.tokenizer is not None and reading.text in columns and "input_ids" not in columns:
        wanted = {"text": reading.text} | ({"text_pair": reading.text_pair} if reading.text_pair else {})
        for column in wanted.values():
            if column not in columns:
                raise DataError(f"{name}: must have the column '{column}', has {', '.join(columns)}")
        texts = {key: [str(text) for text in data[column]] for key, column in wanted.items()}
        return _Raw(name, labels, texts=texts, names=names)
    items = _Columns({column: data[column] for column in columns}) if isinstance(data, Mapping) else data
    return _Raw(name, labels, items=items, collate=collate, label=label or "label", names=names)


def _of_items(data: Any, name: str, reading: Reading, collate: Collate | None) -> _Raw:
    """Take a dataset of items apart, each of which is read once for its label."""
    labels, texts = [], []
    label = reading.label or "label"
    for number in range(len(data)):
        item = data[number]
        if isinstance(item, Mapping):
            label = next((key for key in (label, *_LABELS) if key in item), label)
            labels.append(item.get(label))
        elif isinstance(item, tuple | list) and len(item) > 1:
            labels.append(item[-1])
            texts += [item[0]] if isinstance(item[0], str) else []
        else:
            labels.append(None)
    found = None if any(value is None for value in labels) else _plain_list(labels)
    if reading.tokenizer is not None and collate is None and reading.collate is None and len(texts) == len(labels) > 0:
        return _Raw(name, found, texts={"text": texts})
    return _Raw(name, found, items=data, collate=collate, label=label)


def _with_tokenizer(texts: dict[str, list[str]], name: str, reading: Reading) -> dict[str, list[str]]:
    if reading.tokenizer is None:
        raise ConfigError(f"tokenizer: must be given, {name} is made of texts")
    return texts


def _plain_list(values: Any) -> list[Any]:
    """Return labels as Python values."""
    if isinstance(values, torch.Tensor | np.ndarray | pd.Series):
        return list(values.tolist())
    return [value.item() if isinstance(value, torch.Tensor | np.generic) else value for value in values]


def _check_are_classes(raw: _Raw) -> None:
    """Refuse sets of labels, and numbers that are none of classes.

    Raises:
        DataError: says which label, and what trains on such.
    """
    for label in raw.labels or ():
        is_several = not isinstance(label, str) and hasattr(label, "__len__")
        if is_several or (isinstance(label, float) and not label.is_integer()):
            raise DataError(
                f"{raw.name}: labels must be one class per example (a number from 0, or a name), got {label!r}; "
                "several labels or numbers are what `raybert.train` learns, with `data.task`"
            )


def _class_names(raw: _Raw, given: Sequence[str] | None) -> tuple[str, ...]:
    """Return the names of the classes: given, of the data, or the sorted labels that are names."""
    if given is not None:
        return tuple(given)
    assert raw.labels is not None
    if raw.names:
        return raw.names
    if any(isinstance(label, str) for label in raw.labels):
        return tuple(sorted({str(label) for label in raw.labels}))
    most = max((_whole(label) for label in raw.labels), default=0)
    return tuple(str(number) for number in range(most + 1))


def _table(raw: _Raw, names: tuple[str, ...], reading: Reading) -> Table:
    size = len(raw.items) if raw.texts is None else len(raw.texts["text"])
    labels = np.zeros(size, np.int64) if raw.labels is None else _class_numbers(raw, names)
    if raw.texts is not None:
        columns = {key: pa.array(texts, pa.string()) for key, texts in raw.texts.items()}
        examples = pa.table({**columns, "label": pa.array(labels)})
        tokens = tokenize_examples(examples, reading.tokenizer, reading.max_length)
        types = takes_token_types(reading.tokenizer)
        return TextTable(tokens, int(reading.tokenizer.pad_token_id), types, tuple(raw.texts["text"]))
    lengths = _lengths(raw, size)
    unit = max(1, _SCORING_TOKENS // (2 * reading.rows_per_pass)) if lengths is None else 1
    return ItemTable(
        items=raw.items,
        rows=np.arange(size),
        labels=labels,
        lengths=np.ones(size, np.int64) if lengths is None else lengths,
        unit_size=unit,
        collate=reading.collate or raw.collate,
        label=raw.label,
        pad_id=reading.pad_id,
        inputs=reading.inputs,
    )


def _class_numbers(raw: _Raw, names: tuple[str, ...]) -> np.ndarray:
    """Return labels as (n,) int64.

    Raises:
        DataError: one is no class.
    """
    assert raw.labels is not None
    number_of = {name: number for number, name in enumerate(names)}
    numbers = []
    for label in raw.labels:
        number = number_of.get(label, -1) if isinstance(label, str) else _whole(label)
        if not 0 <= number < len(names):
            known = f"one of {', '.join(names[:5])}" if isinstance(label, str) else f"0..{len(names) - 1}"
            raise DataError(f"{raw.name}: labels must be {known}, got {label!r}; number them from 0, or give names")
        numbers.append(number)
    return np.array(numbers, np.int64)


def _whole(label: Any) -> int:
    """Return a label as a whole number; -1: it is none."""
    is_whole = isinstance(label, int | float) and label == label and label == int(label)
    return int(label) if is_whole else -1


def _lengths(raw: _Raw, size: int) -> np.ndarray | None:
    """Return the lengths of `input_ids` of a table that has them; None: items have no length."""
    columns = getattr(raw.items, "column_names", ())
    if "input_ids" not in columns:
        return None
    return np.fromiter((len(row) for row in raw.items["input_ids"]), np.int64, size)


def _hold_out(table: Table, fraction: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows of train and validation: classes are spread, copies of a text stay together.

    Raises:
        ConfigError: it is no share, or one of them would be empty.
    """
    if isinstance(fraction, bool) or not 0 < fraction < 1:
        raise ConfigError(f"validation: must be data, or a share of train in (0, 1), got {fraction}")
    if isinstance(table, TextTable):
        units: Iterable[str] = normal_forms(
            pa.table({"text": pa.array(table.texts, pa.string()), "label": pa.array(table.labels)})
        )
    else:
        units = map(str, range(len(table)))
    part = assign_units(Units.of_names(units), table.labels, [float(fraction)], seed, "fit")
    kept, held = np.flatnonzero(part == 0), np.flatnonzero(part == 1)
    if not len(kept) or not len(held):
        raise ConfigError(f"validation: must leave examples on both sides, got {fraction} of {len(table)} examples")
    return kept, held


@dataclass(frozen=True)
class _Columns:
    """A mapping of columns, item by item."""

    columns: Mapping[str, Sequence[Any]]

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()), ()))

    def __getitem__(self, row: int) -> dict[str, Any]:
        return {name: values[row] for name, values in self.columns.items()}

    @property
    def column_names(self) -> list[str]:
        return list(self.columns)
