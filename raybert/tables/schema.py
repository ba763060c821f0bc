"""What a table is: its columns, in order, each with what it holds; and what a row of it must have."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from typing import Any, Literal

from raybert.config.metrics import is_own_metric, metric_of

Kind = Literal[
    "text", "whole", "whole32", "count", "count32", "number", "number32", "flag", "texts", "counts", "numbers", "any"
]
Origin = Literal["plan", "run", "tables"]
DTYPES: Mapping[Kind, str] = {
    "text": "str",
    "whole": "int64",
    "whole32": "int32",
    "count": "Int64",
    "count32": "Int32",
    "number": "float64",
    "number32": "float32",
    "flag": "bool",
    "texts": "object",
    "counts": "object",
    "numbers": "object",
    "any": "object",
}
"""The pandas type of a column of each kind, whatever is missing."""
TYPE_WORDS: Mapping[Kind, str] = {
    "text": "text",
    "whole": "int64",
    "whole32": "int32",
    "count": "int64, may be missing",
    "count32": "int32, may be missing",
    "number": "float64, may be NaN",
    "number32": "float32, may be NaN",
    "flag": "true or false",
    "texts": "list of text",
    "counts": "list of int64",
    "numbers": "list of float64",
    "any": "number or text",
}
"""What a dictionary of columns says of each kind."""
_OF_JSON: Mapping[Kind, type | tuple[type, ...]] = {
    "text": str,
    "flag": bool,
    **dict.fromkeys(("whole", "whole32", "count", "count32", "number", "number32"), (int, float)),
    **dict.fromkeys(("texts", "counts", "numbers"), list),
}
"""What values of a kind are once they are read from JSON; any: not said."""


@dataclass(frozen=True)
class Column:
    """What is known of a column without reading a value of it.

    Attributes:
        name: in files and frames.
        kind: which values it has, see `DTYPES`.
        description: what a value is.
        unit: of its numbers.
        origin: who knows it: the `plan`, the `run` itself, or nobody before the `tables` are made.
        optional: not every run has it.
    """

    name: str
    kind: Kind
    description: str
    unit: str = ""
    origin: Origin = "run"
    optional: bool = False

    @property
    def dtype(self) -> str:
        """The type of the column in pandas."""
        return DTYPES[self.kind]

    def fits(self, value: Any) -> bool:
        """Tell whether a value that was read from JSON may stand in the column; what is missing may."""
        known = _OF_JSON.get(self.kind)
        if value is None or known is None:
            return True
        return isinstance(value, known) and isinstance(value, bool) == (known is bool)


def computed(name: str, kind: Kind, description: str, unit: str = "") -> Column:
    """Return a column that nobody knows before the table is made."""
    return Column(name, kind, description, unit, origin="tables")


@dataclass(frozen=True)
class Table:
    """A table of the results.

    Attributes:
        name: of its files.
        description: what a row is.
        columns: in the order of the table.
        grid_after: the column after which the varied hyperparameters stand, each under its dotted key.
        grid_without: keys of these that are none of its columns.
        further: columns that only some sweeps have, last.
        parameters_after: the column after which the tuned parameters stand, likewise.
        own_metrics: the splits of which it has a column `<split>_<name>` for every metric of a user's own, behind all
            others.
        suffixes: of the files `results/<name><suffix>` that it is published as; none: it is in no file of its own, or
            where the description says.
    """

    name: str
    description: str
    columns: tuple[Column, ...]
    grid_after: str | None = None
    further: tuple[Column, ...] = ()
    parameters_after: str | None = None
    suffixes: tuple[str, ...] = ()
    own_metrics: tuple[str, ...] = ()
    grid_without: tuple[str, ...] = ()

    def __getitem__(self, name: str) -> Column:
        """Return the column of a name."""
        own = self._own_metric(name)
        return self._by_name[name] if own is None else own

    def __contains__(self, name: object) -> bool:
        """Tell whether there is a column of a name, in all sweeps or in some."""
        return name in self._by_name or self._own_metric(name) is not None

    def __iter__(self) -> Iterator[Column]:
        """Yield the columns, those that only some sweeps have last."""
        return chain(self.columns, self.further)

    def _own_metric(self, name: object) -> Column | None:
        """Return the column of a metric of a user's own; None: the name is of none, or of no split of this table."""
        split, _, metric = str(name).partition("_")
        if split not in self.own_metrics or not is_own_metric(metric):
            return None
        return metric_column(split, metric, "an evaluation", optional=True)

    @cached_property
    def _by_name(self) -> dict[str, Column]:
        return {column.name: column for column in self}

    def order(self, grid_columns: Sequence[str] = (), parameters: Sequence[str] = ()) -> list[str]:
        """Return the names of the columns that every sweep has, in order, with those that are its own.

        Args:
            grid_columns: its varied hyperparameters.
            parameters: its tuned ones.
        """
        names: list[str] = []
        for column in self.columns:
            names.append(column.name)
            if column.name == self.grid_after:
                names += [key for key in grid_columns if key not in self.grid_without]
            if column.name == self.parameters_after:
                names += parameters
        return names

    def row(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return what a run writes of itself, if it is a whole row.

        Raises:
            ValueError: a name is no column's, or a column that every run has is missing.
        """
        known = {column.name for column in self if column.origin != "tables"}
        needed = {column.name for column in self.columns if column.origin == "run" and not column.optional}
        unknown = sorted(name for name in values if name not in known and self._own_metric(name) is None)
        missing = sorted(needed - values.keys())
        if unknown or missing:
            raise ValueError(
                f"a row of `{self.name}` must have the columns that raybert.tables declares; unknown: "
                f"{', '.join(unknown) or 'none'}; missing: {', '.join(missing) or 'none'}"
            )
        return dict(values)


def own_metric_columns(names: Iterable[Any], *splits: str) -> list[str]:
    """Return which names of columns are `<split>_<name>` of a metric of a user's own, in the order given."""
    parts = ((str(name), *str(name).partition("_")) for name in names)
    return [name for name, split, _, metric in parts if split in splits and is_own_metric(metric)]


def metric_column(split: str, name: str, of_what: str, *, optional: bool = False) -> Column:
    """Return the column of a metric, raybert's or a user's own, on a split."""
    metric = metric_of(name)
    better = "lower" if metric.lower_is_better else "higher"
    description = f"{metric.words} of {of_what} on {split}: {metric.description}; {better} is better"
    return Column(f"{split}_{name}", "number", description, optional=optional)
