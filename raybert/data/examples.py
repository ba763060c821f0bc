"""What training and inference need of a data set, whatever its examples are made of: word pieces, or chunks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NoReturn, Protocol

import numpy as np
import torch

from raybert.config.tasks import Task
from raybert.errors import DataError


class ExampleTable(Protocol):
    """The examples of one split in a fixed order; rows are positions."""

    @property
    def labels(self) -> np.ndarray:
        """(n,) int64, class numbers 0..C-1; of another task than classification numbers of strata."""

    @property
    def lengths(self) -> np.ndarray:
        """(n,) int64, word pieces (or chunks) per example: what a batch is padded to."""

    @property
    def unit_size(self) -> int:
        """How many word pieces one unit of length counts for, where a batch is limited by memory."""

    def __len__(self) -> int:
        """Return n."""


def answers_of(table: ExampleTable) -> np.ndarray:
    """Return what is predicted of the rows of a table: (n,) class numbers; of another task its targets (n, L)."""
    targets = getattr(table, "targets", None)  # only token tables have any
    return np.asarray(table.labels if targets is None else targets)


class BatchMaker(Protocol):
    """Knows how rows become a model's inputs."""

    def batch(self, table: Any, positions: np.ndarray) -> dict[str, torch.Tensor]:
        """Return the model's inputs for some rows of a table, padded to the longest, and their `labels`."""


class ExampleData(BatchMaker, Protocol):
    """The three splits of a data set and what describes them."""

    @property
    def train(self) -> Any:
        """The pool, an `ExampleTable`."""

    @property
    def validation(self) -> Any:
        """Chooses the best evaluation."""

    @property
    def test(self) -> Any:
        """Read once, for the chosen evaluation."""

    @property
    def example_ids(self) -> np.ndarray:
        """(n,) str, the stable id of every pool example."""

    @property
    def label_names(self) -> tuple[str, ...]:
        """Class number -> name; of another task stratum -> name."""

    @property
    def fingerprint(self) -> str:
        """Hex digest of all that the tables are made of."""

    @property
    def num_classes(self) -> int:
        """Number of classes C; of another task than classification of strata."""

    @property
    def task(self) -> Task:
        """What is predicted."""

    @property
    def output_names(self) -> tuple[str, ...]:
        """What a model's outputs are called: classes, labels, or the number."""


class HiddenSplit:
    """In place of a split that must not be read: whatever is asked of it raises."""

    def __getattr__(self, name: str) -> NoReturn:
        if name.startswith("__"):  # pickle and copy ask for what need not be there
            raise AttributeError(name)
        self._refuse()

    def __len__(self) -> int:
        self._refuse()

    def __getitem__(self, key: Any) -> NoReturn:
        self._refuse()

    def _refuse(self) -> NoReturn:
        raise DataError("data.test: must not be read while hyperparameters are tuned: it is for the comparison")


def extra_tests_of(data: ExampleData) -> Mapping[str, ExampleTable]:
    """Return the further test sets that a model is measured on, by name; only token tables of a sweep have any."""
    found: Mapping[str, ExampleTable] = getattr(data, "extra_tests", {})
    return found


def without_extra_tests(data: ExampleData) -> ExampleData:
    """Return the data of a run that is measured on no further test set."""
    if not extra_tests_of(data):
        return data
    cut: ExampleData = replace(data, extra_tests={}, extra_tests_digest="")  # type: ignore[type-var]
    return cut


def without_test(data: ExampleData) -> ExampleData:
    """Return the data of a run with a test split that raises a DataError when it is read."""
    hidden: ExampleData = replace(data, test=HiddenSplit())  # type: ignore[type-var]
    return hidden
