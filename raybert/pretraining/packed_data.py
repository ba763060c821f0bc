"""What a run of pretraining reads: packed sequences of a corpus, in the form of the training loop."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch

from raybert.config.tasks import CLASSIFICATION, Task
from raybert.data.examples import HiddenSplit
from raybert.files import json_digest
from raybert.pretraining.packing import PackedTable


@dataclass(frozen=True)
class PackedData:
    """Sequences to train and to evaluate on.

    Attributes:
        train: the pool.
        validation: what the best evaluation is chosen by.
        pad_id: word piece that fills short rows.
        test: not read: models are compared on it afterwards.
    """

    train: PackedTable
    validation: PackedTable
    pad_id: int
    test: HiddenSplit = field(default_factory=HiddenSplit)

    @property
    def example_ids(self) -> np.ndarray:
        """(n,) str: `sequence 0`, ..."""
        return np.array([f"sequence {number}" for number in range(len(self.train))], np.str_)

    @property
    def label_names(self) -> tuple[str, ...]:
        """None: there are no classes."""
        return ()

    @property
    def num_classes(self) -> int:
        """0."""
        return 0

    @property
    def task(self) -> Task:
        """None of those of examples: its objective is its own."""
        return CLASSIFICATION

    @property
    def output_names(self) -> tuple[str, ...]:
        """None."""
        return ()

    @property
    def fingerprint(self) -> str:
        """Hex digest of all sequences."""
        return json_digest([self.train.fingerprint, self.validation.fingerprint, self.pad_id])

    def batch(self, table: PackedTable, positions: np.ndarray) -> dict[str, torch.Tensor]:
        """Return `input_ids`, `segments` (-1: padding) and `places` of some sequences, (b, width) int64 each."""
        at, filled = table.rows(positions)
        return {
            "input_ids": filled_with(table.ids[at], filled, self.pad_id),
            "segments": filled_with(table.segments[at], filled, -1),
            "places": filled_with(table.places[at], filled, 0),
        }


def filled_with(values: np.ndarray, filled: np.ndarray, padding: int) -> torch.Tensor:
    """Return (b, width) int64 with values in the cells that are filled."""
    cells = np.full(filled.shape, padding, np.int64)
    cells[filled] = values
    return torch.from_numpy(cells)
