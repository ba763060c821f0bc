"""Examples of a user's own as tables that the training loop reads: texts as word pieces, anything else item by item."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Protocol

import numpy as np
import torch

from raybert.config.tasks import CLASSIFICATION, Task
from raybert.data.examples import ExampleTable, HiddenSplit
from raybert.data.tokens import TokenTable, collate
from raybert.errors import DataError
from raybert.models.own import POSITIONAL

Collate = Callable[[list[Any]], Any]


class Table(ExampleTable, Protocol):
    """Examples that know how their rows become a batch; `lengths` are all 1 where they have none."""

    def take(self, positions: np.ndarray) -> Any:
        """Return the table of these rows, in this order."""

    def batch(self, positions: np.ndarray) -> dict[str, torch.Tensor]:
        """Return the model's inputs for some rows, and their `labels`."""


@dataclass(frozen=True)
class TextTable:
    """Texts, tokenized once.

    Attributes:
        tokens: their word pieces.
        pad_id: word piece that fills short rows.
        uses_token_types: whether the model takes `token_type_ids`.
        texts: (n,) the texts; first ones of pairs.
    """

    tokens: TokenTable
    pad_id: int
    uses_token_types: bool
    texts: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.tokens)

    @property
    def labels(self) -> np.ndarray:
        return self.tokens.labels

    @cached_property
    def lengths(self) -> np.ndarray:
        return self.tokens.lengths

    @property
    def unit_size(self) -> int:
        return 1

    def take(self, positions: np.ndarray) -> TextTable:
        return replace(self, tokens=self.tokens.take(positions), texts=tuple(self.texts[i] for i in positions))

    def batch(self, positions: np.ndarray) -> dict[str, torch.Tensor]:
        return collate(self.tokens, positions, self.pad_id, self.uses_token_types)


@dataclass(frozen=True)
class ItemTable:
    """Items of a dataset, read whenever they are needed.

    Attributes:
        items: numbered.
        rows: (n,) int64 numbers of the items that the table has.
        labels: (n,) int64 class numbers.
        lengths: (n,) int64.
        unit_size: of a length, in word pieces.
        collate: makes a batch of items; None: tensors are stacked, and padded where they are of several lengths.
        label: key of the label, of items that are mappings.
        pad_id: fills `input_ids` that are shorter than others.
        inputs: names that the model takes; None: it is given all of them.
    """

    items: Any
    rows: np.ndarray
    labels: np.ndarray
    lengths: np.ndarray
    unit_size: int
    collate: Collate | None
    label: str
    pad_id: int
    inputs: frozenset[str] | None

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, positions: np.ndarray) -> ItemTable:
        return replace(self, rows=self.rows[positions], labels=self.labels[positions], lengths=self.lengths[positions])

    def batch(self, positions: np.ndarray) -> dict[str, torch.Tensor]:
        items = [self.items[int(row)] for row in self.rows[positions]]
        if self.collate is not None:
            inputs = self._inputs_of(self.collate(items))
        else:
            parts = [self._with_mask(self._inputs_of(item)) for item in items]
            inputs = {name: self._stack(name, [part[name] for part in parts]) for name in parts[0]}
        labels = self.labels[positions].astype(np.int64)
        return {**_checked(inputs, len(items)), "labels": torch.from_numpy(labels)}

    def _inputs_of(self, item: Any) -> dict[str, Any]:
        found = inputs_of(item, self.label)
        return found if self.inputs is None else {name: found[name] for name in found if name in self.inputs}

    def _with_mask(self, inputs: dict[str, Any]) -> dict[str, Any]:
        """Return inputs with the mask that tells word pieces from those that fill their row, if they bring none."""
        takes_mask = self.inputs is None or "attention_mask" in self.inputs
        if "input_ids" not in inputs or "attention_mask" in inputs or not takes_mask:
            return inputs
        return {**inputs, "attention_mask": torch.ones(len(inputs["input_ids"]), dtype=torch.long)}

    def _stack(self, name: str, values: Sequence[Any]) -> Any:
        tensors = [torch.as_tensor(value) for value in values]
        if len({tensor.shape for tensor in tensors}) == 1:
            return torch.stack(tensors)
        fill = self.pad_id if name == "input_ids" else 0
        return torch.nn.utils.rnn.pad_sequence(tensors, batch_first=True, padding_value=fill)


@dataclass(frozen=True)
class FitData:
    """The data of a script's run, as `raybert.training` reads it.

    Attributes:
        train: the pool.
        validation: chooses the best evaluation.
        test: read once; None: there is none.
        rows: (n,) which rows of the data that was given the pool is.
        label_names: class number -> name.
    """

    train: Table
    validation: Table
    held_out: Table | None
    rows: np.ndarray
    label_names: tuple[str, ...]

    @property
    def test(self) -> Any:
        return HiddenSplit() if self.held_out is None else self.held_out

    @property
    def example_ids(self) -> np.ndarray:
        return self.rows.astype(str)

    @property
    def num_classes(self) -> int:
        return len(self.label_names)

    @property
    def task(self) -> Task:
        return CLASSIFICATION

    @property
    def output_names(self) -> tuple[str, ...]:
        return self.label_names

    @cached_property
    def fingerprint(self) -> str:
        """Hex digest of rows, labels, lengths, and word pieces where there are some."""
        digest = hashlib.sha256("\n".join(self.label_names).encode())
        arrays = [self.rows]
        for table in (self.train, self.validation):
            arrays += [table.labels, table.lengths]
            arrays += [table.tokens.ids] if isinstance(table, TextTable) else []
        for array in arrays:
            digest.update(f"\n{array.dtype}{array.shape}\n".encode() + np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()

    def batch(self, table: Table, positions: np.ndarray) -> dict[str, torch.Tensor]:
        return table.batch(positions)


def inputs_of(item: Any, label: str) -> dict[str, Any]:
    """Return the inputs of an item or a batch by name, without its label and without what is no number.

    Args:
        item: a mapping, (input, ..., label), or an input alone.
        label: key of the label, of mappings.
    """
    if isinstance(item, Mapping):
        return {name: value for name, value in item.items() if name != label and not _is_text(value)}
    parts = item[:-1] if isinstance(item, tuple | list) and len(item) > 1 else (item,)
    if len(parts) == 1 and isinstance(parts[0], Mapping):
        return dict(parts[0])
    return {f"{POSITIONAL}{number}": part for number, part in enumerate(parts)}


def _is_text(value: Any) -> bool:
    first = value[0] if isinstance(value, list | tuple) and value else value
    return isinstance(first, str | bytes) or value is None


def _checked(inputs: Mapping[str, Any], rows: int) -> dict[str, torch.Tensor]:
    """Return inputs that are tensors of so many rows.

    Raises:
        DataError: names one that is not.
    """
    if not inputs:
        raise DataError("train: items must hold inputs beside their label, got none that is a number or a tensor")
    for name, value in inputs.items():
        if not isinstance(value, torch.Tensor) or value.dim() == 0 or len(value) != rows:
            found = f"shape {tuple(value.shape)}" if isinstance(value, torch.Tensor) else type(value).__name__
            raise DataError(
                f"train: a batch must be tensors of {rows} rows, got {found} for '{name}'; give a `collate_fn`, or "
                "a `tokenizer` for texts"
            )
    return dict(inputs)
