"""Metrics by the values of any column of what is evaluated, each with its number of examples and its intervals."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pandas as pd

from raybert.config import DataConfig
from raybert.data import load_folds, load_splits
from raybert.errors import ConfigError, DataError, SweepError
from raybert.evaluation.any_task import values_with_intervals
from raybert.evaluation.find import Target
from raybert.evaluation.targets import held_out
from raybert.files import writable_cache
from raybert.sweeping.folder.layout import SweepFolder
from raybert.sweeping.folder.spec_file import read_spec
from raybert.tables.evaluation import BY
from raybert.training.measures.own_metrics import OwnMetric

MISSING = "(missing)"
MOST_NUMBERS = 20
"""Different numbers from which on a group for each says nothing: they are put together by an option, or refused."""
MOST_GROUPS = 200
_KEY = "by[{}]"


def keys_of(columns: Sequence[str]) -> dict[str, str]:
    """Return the name of the option in messages -> the column, of the columns that are asked for.

    Raises:
        ConfigError: one is there twice.
    """
    twice = next((column for number, column in enumerate(columns) if column in columns[:number]), None)
    if twice is not None:
        raise ConfigError(f"by: must name every column once, got '{twice}' twice")
    return {_KEY.format(number): column for number, column in enumerate(columns)}


@contextlib.contextmanager
def naming_the_option() -> Iterator[None]:
    """Let errors about columns name the option, which is no key of the sweep file."""
    try:
        yield
    except DataError as error:
        raise DataError(str(error).replace("data.by[", "by[").replace("; set data.by", "; set by")) from None


def values_of_run(targets: Sequence[Target], split: str, columns: Sequence[str]) -> dict[str, np.ndarray]:
    """Return (m,) texts of columns of the source for the held-out examples of trials, in the order of predictions.

    The source is read and cut again as it was for the run. Nothing is scored.

    Args:
        targets: the trials, one a fold.
        split: validation or test.
        columns: of the source.

    Raises:
        RaybertError: the source is not there, has no such column, or is not what the run was of.
    """
    known: dict[str, tuple[pd.DataFrame, ...]] = {}
    parts = []
    for target in targets:
        data, fold = _data_of(target)
        key = data.model_dump_json()
        if key not in known:
            known[key] = _read(data, split, columns)
        parts.append(_rows(known[key][fold], target, split, data.source))
    whole = pd.concat(parts, ignore_index=True)
    return {column: whole[name].to_numpy() for name, column in keys_of(columns).items()}


def metrics_by(
    columns: Mapping[str, np.ndarray],
    answers: np.ndarray,
    probs: np.ndarray,
    threshold: float = 0.5,
    *,
    units: np.ndarray | None = None,
    quantiles: int | None = None,
    num_resamples: int = 1000,
    own: Sequence[OwnMetric] = (),
) -> pd.DataFrame:
    """Return a row per column, group and metric: `BY`.

    Args:
        columns: name -> (m,) texts, empty where missing: these are a group of their own, the last.
        answers: (m,) class numbers, (m, L) 0 or 1, or (m, 1) numbers.
        probs: (m, C) or (m, L) probabilities, or (m, 1) numbers.
        threshold: of class 1 of two classes, or of every label.
        units: (m,) numbers of what is drawn in resamples, as of `bootstrap_intervals`.
        quantiles: into how many parts of equal size columns of numbers are put together; None: each is a group.
        num_resamples: behind the intervals.
        own: metrics of a user's own.

    Raises:
        ConfigError: too many different numbers or values, or quantiles where no column holds numbers.
    """
    grouped = {name: groups_of(values, name, quantiles) for name, values in columns.items()}
    if quantiles is not None and not any(is_number for _, is_number in grouped.values()):
        raise ConfigError(f"quantiles: must be left out, no column of `by` holds numbers ({', '.join(columns)})")
    rows: list[dict[str, object]] = []
    for name, (groups, _) in grouped.items():
        for group in dict.fromkeys(groups.categories):
            part = np.flatnonzero(groups == group)
            drawn = None if units is None else np.unique(units[part], return_inverse=True)[1]
            found = values_with_intervals(
                answers[part], probs[part], threshold, units=drawn, num_resamples=num_resamples, own=own
            )
            about = {"column": name, "group": str(group), "num_examples": len(part)}
            rows += [
                {**about, "metric": metric, "value": value, "low": low, "high": high}
                for metric, (value, (low, high)) in found.items()
            ]
    return pd.DataFrame(rows, columns=BY.order())


def groups_of(values: np.ndarray, name: str, quantiles: int | None = None) -> tuple[pd.Categorical, bool]:
    """Return the group of each example, groups in order and what is missing last; and whether they are of numbers.

    Args:
        values: (m,) texts, empty where missing.
        name: of the column.
        quantiles: parts of numbers, as of `metrics_by`.

    Raises:
        ConfigError: too many different numbers or values.
    """
    is_there = values != ""
    distinct = sorted(set(values[is_there].tolist()))
    numbers = [_number(text) for text in distinct]
    is_numeric = bool(distinct) and not any(math.isnan(number) for number in numbers)
    texts = np.where(is_there, values, MISSING).astype(object)
    if is_numeric and quantiles is not None and len(set(numbers)) > quantiles:
        of_text = dict(zip(distinct, numbers, strict=True))
        texts[is_there], order = _parts([of_text[text] for text in values[is_there]], quantiles)
    elif is_numeric:
        if len(distinct) > MOST_NUMBERS:
            raise ConfigError(
                f"by: column '{name}' must hold at most {MOST_NUMBERS} different numbers, got {len(distinct):,}; put "
                "them together with --quantiles 4 (Python: `quantiles=4`)"
            )
        order = [distinct[place] for place in np.argsort(numbers, kind="stable")]
    else:
        order = distinct
    if len(order) > MOST_GROUPS:
        raise ConfigError(
            f"by: column '{name}' must hold at most {MOST_GROUPS} different values, got {len(order):,}; is it the one?"
        )
    return pd.Categorical(texts, [*order, *([] if is_there.all() else [MISSING])]), is_numeric


def _parts(numbers: Sequence[float], quantiles: int) -> tuple[np.ndarray, list[str]]:
    """Return the part of each number, in words, and all parts in order; equal numbers are in one part."""
    values = np.asarray(numbers)
    edges = np.unique(np.quantile(values, np.arange(1, quantiles) / quantiles))
    places = np.searchsorted(edges, values, side="right")
    found = {place: values[places == place] for place in np.unique(places).tolist()}
    names = {place: f"{part.min():g} .. {part.max():g}" for place, part in found.items()}
    return np.array([names[place] for place in places.tolist()], object), [*names.values()]


def _number(text: str) -> float:
    """Return the number that a text is; NaN: it is none."""
    try:
        value = float(text)
    except ValueError:
        return math.nan
    return value if math.isfinite(value) else math.nan


def _data_of(target: Target) -> tuple[DataConfig, int]:
    """Return the `data` section of a trial, and its fold."""
    if target.run is None or target.trial_id is None:
        raise SweepError(f"{target.model}: is not in a results folder, whose data have columns; give `data`")
    spec = read_spec(SweepFolder(target.run).trial(target.trial_id).path).spec
    return spec.config.data, spec.fold


def _read(data: DataConfig, split: str, columns: Sequence[str]) -> tuple[pd.DataFrame, ...]:
    """Return ids and columns of a split, of every fold."""
    keys = keys_of(columns)
    with naming_the_option():
        loaded = (
            load_folds(data, writable_cache(), keys) if data.folds else (load_splits(data, writable_cache(), keys),)
        )
    tables = (getattr(splits, split) for splits in loaded)
    return tuple(table.select(["example_id", *keys]).to_pandas() for table in tables)


def _rows(table: pd.DataFrame, target: Target, split: str, source: str) -> pd.DataFrame:
    """Return the rows of a trial's held-out examples, in its order."""
    assert target.run is not None
    assert target.trial_id is not None
    kept = held_out(target.run, target.trial_id, split)
    if "example_id" not in kept:
        raise SweepError(f"{target.run / 'held_out.parquet'}: must say which examples were held out; give `data`")
    found = table.set_index(table["example_id"].astype(str)).reindex(kept["example_id"].astype(str))
    missing = int(found["example_id"].isna().sum())
    if missing:
        raise SweepError(
            f"by: the data of the run must be as they were, but {missing:,} of {len(kept):,} {split} examples are not "
            f"in '{source}' any more; give a file with its rows as `data`"
        )
    return found
