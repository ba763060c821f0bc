"""Cross-validation: all rows of a source, cut into folds; each fold is the test split of a data set of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pyarrow as pa

from raybert.config import DataConfig
from raybert.config.tasks import MULTI_LABEL
from raybert.data.cut import assign_units
from raybert.data.identity import content_fingerprint, keyed_order
from raybert.data.noise import plant
from raybert.data.rare import describe_rare, drop_classes, set_rare_aside
from raybert.data.rows import take_rows
from raybert.data.same import number_rows
from raybert.data.sources import SourceTables, read_source
from raybert.data.splits import (
    SPLITS,
    Splits,
    answers_of,
    count_classes,
    describe_repeats,
    have_several,
    subsample,
    with_forms,
    with_ids,
)
from raybert.data.spread import lacking_labels, spread_units
from raybert.data.strings import stream_strings
from raybert.data.targets import TARGET, target_matrix
from raybert.data.units import FORM, Units
from raybert.errors import DataError

_WAYS_OUT = "set data.rare_classes: drop (leaves such classes out) or train (keeps them in train alone)"


def load_folds(
    config: DataConfig, cache_folder: Path, further: Mapping[str, str] = MappingProxyType({})
) -> tuple[Splits, ...]:
    """Return the splits of every fold that a `data` section with `folds` asks for.

    The train, validation and test rows that the source has are put together (each subsampled first where
    `<split>_examples` says so) and cut into `folds` parts. Of data set f, part f is the test split; the others are cut
    once more, into validation (`validation_fraction` of them) and the pool. Both cuts are stratified by class and leave
    whole what must not be torn: the groups of `data.group`, or without groups the copies of a text. Which rows go where
    depends on their ids (groups: their names) and `data.split_seed` only.

    Args:
        config: the `data` section.
        cache_folder: where the parsed built-in corpus is kept.
        further: as of `load_splits`.

    Raises:
        DataError: what `read_source` raises; an id twice; `<split>_examples` of a split that the source lacks; fewer
            groups than folds; a fold, or the validation split or pool of one, without some class.
    """
    assert config.folds is not None
    source = read_source(config, cache_folder, further)
    table, names = _join_rows(source, config), source.label_names
    units, labels = Units.of_table(table), table["label"].to_numpy()

    def lacking(rows: np.ndarray) -> set[int]:
        return _Cutter(config, names, units.take(rows), labels[rows]).lacking()

    rows, rare = set_rare_aside(units.of_row, labels, lacking, names, config.rare_classes)
    notes = source.notes + describe_rare(labels, rare, names, config.rare_classes)
    if config.rare_classes == "drop" and rare:
        table, names = drop_classes(table, names, rare)
        units, labels, rows = units.take(rows), table["label"].to_numpy(), np.arange(table.num_rows)
    marks = target_matrix(table[TARGET], source.outputs) if config.predicts == MULTI_LABEL else None
    cutter = _Cutter(config, names, units.take(rows), labels[rows], marks)
    test_fold = cutter.cut_folds()
    notes += _describe(source, table, rows, test_fold)
    folds = []
    for fold in range(config.folds):
        part = np.zeros(table.num_rows, np.int64)  # what is not cut is train
        part[rows] = cutter.cut_rest(test_fold, fold)
        folds.append(_take_fold(table, part, fold, replace(source, label_names=names), notes, config))
    return tuple(folds)


def assign_folds(units: Units, labels: np.ndarray, num_folds: int, seed: int) -> np.ndarray:
    """Return (n,) int64 the fold of each row; rows of one unit share it, and folds are alike in their classes.

    The cut is that of scikit-learn: StratifiedKFold where every row is a unit of its own, else StratifiedGroupKFold
    (0.1 ms a unit), which gets the units in a keyed order and follows it where it has no preference.

    Args:
        units: of the n rows.
        labels: (n,) class numbers.
        num_folds: m; at least m units must hold each class.
        seed: of the order of units.
    """
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold  # slow to import

    if len(units) == len(labels):
        cuts = StratifiedKFold(num_folds).split(labels, labels)
    else:
        place = units.order(seed, "folds").argsort(kind="stable").argsort()
        cuts = StratifiedGroupKFold(num_folds).split(labels, labels, place[units.of_row])
    fold = np.empty(len(labels), np.int64)
    for number, (_, test) in enumerate(cuts):
        fold[test] = number
    return fold


class _Cutter:
    """Cuts the rows of a source, and refuses cuts that leave a class out."""

    def __init__(
        self,
        config: DataConfig,
        names: Sequence[str],
        units: Units,
        labels: np.ndarray,
        marks: np.ndarray | None = None,
    ) -> None:
        assert config.folds is not None
        self.marks = marks
        """(n, L) which labels each row has, where it may have several."""
        self.config, self.num_folds = config, config.folds
        self.names, self.labels = names, labels
        self.units = units
        self.noun = "different texts" if config.group is None else f"groups of column '{config.group}'"

    def lacking(self) -> set[int]:
        """Return the classes that some part of some fold lacks."""
        num_units = {label: self._num_units(self.labels == label) for label in np.unique(self.labels).tolist()}
        few = {label for label, count in num_units.items() if count < self.num_folds}
        if few or len(self.units) < self.num_folds:
            return few
        fold = assign_folds(self.units, self.labels, self.num_folds, self.config.split_seed)
        parts = [(fold, self.num_folds), *((self._part(fold, number), 3) for number in range(self.num_folds))]
        return {label for part, count in parts for _, label in self._missing(part, count)}

    def cut_folds(self) -> np.ndarray:
        """Return the fold of each row."""
        if len(self.units) < self.num_folds:
            raise DataError(
                f"data.folds: must be at most {len(self.units)}, because there are {len(self.units)} {self.noun}, "
                f"got {self.num_folds}; lower it"
            )
        for label in self._classes():
            if self._num_units(self._held(label)) < self.num_folds:
                raise self._lacks_class(label, "there are fewer of them than folds")
        if self.marks is None:
            fold = assign_folds(self.units, self.labels, self.num_folds, self.config.split_seed)
        else:
            shares = [1 / self.num_folds] * self.num_folds
            fold = spread_units(self.units, self.marks, shares, self.config.split_seed, "folds")
        missing = self._first_missing(fold, self.num_folds)
        if missing is not None:
            raise self._lacks_class(missing[1], f"fold {missing[0]} got none")
        return fold

    def cut_rest(self, test_fold: np.ndarray, fold: int) -> np.ndarray:
        """Return for each row the split that it is in: 0 train, 1 validation, 2 test, as in `SPLITS`."""
        part = self._part(test_fold, fold)
        rest = np.flatnonzero(test_fold != fold)
        fraction = self.config.validation_fraction
        missing = self._first_missing(part, 3)
        if missing is not None:
            split, label = SPLITS[missing[0]], missing[1]
            raise DataError(
                "data.validation_fraction: must leave every class in train and validation of every fold, but "
                f"{split} of fold {fold} has no '{self.names[label]}' "
                f"({self._count(rest[self._held(label)[rest]])} outside its test split), got {fraction:g}; "
                f"change it, lower data.folds or {_WAYS_OUT}"
            )
        return part

    def _part(self, test_fold: np.ndarray, fold: int) -> np.ndarray:
        part = np.full(len(self.labels), 2)
        rest = np.flatnonzero(test_fold != fold)
        fraction, purpose = self.config.validation_fraction, f"validation of fold {fold}"
        units, seed = self.units.take(rest), self.config.split_seed
        if self.marks is None:
            part[rest] = assign_units(units, self.labels[rest], [fraction], seed, purpose)
        else:
            part[rest] = spread_units(units, self.marks[rest], [1 - fraction, fraction], seed, purpose)
        return part

    def _classes(self) -> list[int]:
        """Return the classes, or labels, that there are."""
        return np.unique(self.labels).tolist() if self.marks is None else [*range(self.marks.shape[1])]

    def _held(self, label: int) -> np.ndarray:
        """Return (n,) which rows have a class, or a label."""
        return np.asarray(self.labels == label if self.marks is None else self.marks[:, label] > 0)

    def _first_missing(self, part: np.ndarray, num_parts: int) -> tuple[int, int] | None:
        """Return the first part that lacks a class which other parts have, with the class."""
        return next(iter(self._missing(part, num_parts)), None)

    def _missing(self, part: np.ndarray, num_parts: int) -> list[tuple[int, int]]:
        if self.marks is not None:
            return [
                (int(number), int(label)) for number, label in np.argwhere(lacking_labels(part, self.marks, num_parts))
            ]
        counts = np.zeros((num_parts, len(self.names)), np.int64)
        np.add.at(counts, (part, self.labels), 1)
        absent = np.argwhere((counts == 0) & (counts.sum(axis=0) > 0))
        return [(int(number), int(label)) for number, label in absent]

    def _lacks_class(self, label: int, problem: str) -> DataError:
        held = np.flatnonzero(self._held(label))
        return DataError(
            f"data.folds: every fold must hold every class, but of '{self.names[label]}' ({self._count(held)}) "
            f"{problem}, got {self.num_folds}; lower it or {_WAYS_OUT}"
        )

    def _count(self, rows: np.ndarray) -> str:
        return f"{len(rows):,} examples, {self._num_units(rows):,} {self.noun}"

    def _num_units(self, rows: np.ndarray) -> int:
        return len(np.unique(self.units.of_row[rows]))


def _join_rows(source: SourceTables, config: DataConfig) -> pa.Table:
    """Return the rows of all splits of a source with their ids, in canonical order.

    Raises:
        DataError: examples are asked for of a split that is not there, or an id is in two splits.
    """
    for split in SPLITS:
        wanted = getattr(config, f"{split}_examples")
        if wanted is not None and split not in source.tables:
            raise DataError(
                f"data.{split}_examples: must be left out with data.folds, because '{config.source}' has no {split} "
                f"split (the folds are cut from all its rows), got {wanted}"
            )
    given = [split for split in SPLITS if split in source.tables]
    together = with_forms(with_ids(pa.concat_tables([source.tables[split] for split in given]), source.label_names))
    numbers = number_rows(together["example_id"])
    is_repeated = np.bincount(numbers, minlength=1)[numbers] > 1
    if is_repeated.any():
        twice = min(together["example_id"].filter(pa.array(is_repeated)).to_pylist())
        raise DataError(
            f"data.id: must be unique over all splits of '{config.source}' with data.folds, got '{twice}' twice; "
            "leave it out (ids are then hashes of the content)"
        )
    ends = np.cumsum([source.tables[split].num_rows for split in given])
    parts = [
        subsample(together.slice(end - source.tables[split].num_rows, source.tables[split].num_rows), split, config)
        for split, end in zip(given, ends.tolist(), strict=True)
    ]
    table = pa.concat_tables(parts)
    order = keyed_order(stream_strings(table["example_id"]), config.split_seed, "order")
    return take_rows(table, np.argsort(order))


def _take_fold(
    table: pa.Table, part: np.ndarray, fold: int, source: SourceTables, notes: tuple[str, ...], config: DataConfig
) -> Splits:
    table = table.drop_columns([FORM])
    tables = {split: table.filter(pa.array(part == number)) for number, split in enumerate(SPLITS)}
    if config.noise is not None and config.noise.is_planted:
        names = source.label_names
        tables["train"], _, planted = plant(tables["train"], config.noise, len(names), config.split_seed)
        notes += planted
    return Splits(
        **tables,
        label_names=source.label_names,
        fingerprint=content_fingerprint(tables, source.label_names),
        notes=notes,
        details=source.details | {"fold": fold} | count_classes(tables, source.label_names, source.outputs),
        task=config.predicts,
        outputs=source.outputs,
    )


def _describe(source: SourceTables, table: pa.Table, rows: np.ndarray, test_fold: np.ndarray) -> tuple[str, ...]:
    """Return notes on what was put together, on texts in two folds, and on repeated ones, of the rows that are cut."""
    notes = []
    if len(source.tables) > 1:
        given = ", ".join(split for split in SPLITS if split in source.tables)
        notes.append(f"folds: the splits {given} of the source are put together, {len(rows):,} examples")
    forms = number_rows(table[FORM])[rows]
    noun = "pair" if "text_pair" in table.column_names else "text"
    num_shared = int(have_several(forms, test_fold)[forms].sum())
    if num_shared:
        share = f"{num_shared:,} of {len(forms):,} examples"
        notes.append(f"folds: {share} have a {noun} that is also in another fold, in another group")
    return (*notes, *describe_repeats("folds", forms, answers_of(table)[rows], noun))
