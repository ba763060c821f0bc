"""Strategies on further test sets (`data.extra_tests`): the comparison of a sweep, once more for each of them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from raybert.analysis.results.comparison import usual_baseline, verdict_mark
from raybert.analysis.results.held_out import add_held_out
from raybert.analysis.statistics.columns import typed_frame
from raybert.analysis.statistics.configurations import KEY
from raybert.analysis.statistics.scales import Scale
from raybert.display import Row, Style, TextTable
from raybert.files import read_json
from raybert.sweeping.folder.predictions import EXTRA_METRICS_FILE
from raybert.sweeping.plan.roles import MEASURED_ELSEWHERE
from raybert.tables import EXTRA_TESTS

if TYPE_CHECKING:
    from raybert.analysis.results.sweep import Sweep

_START = "test_"


def names_of_extra_tests(manifest: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the names of the further test sets that a manifest describes, in the order of the sweep file."""
    described = manifest.get("data")
    found: dict[str, None] = {}
    for entry in described.values() if isinstance(described, dict) else ():
        details = entry.get("details") if isinstance(entry, dict) else None
        known = details.get("extra_tests") if isinstance(details, dict) else None
        found |= dict.fromkeys(known) if isinstance(known, dict) else {}
    return tuple(found)


def trials_on_test(trials: pd.DataFrame, folder: Path, metric: str, test: str) -> pd.DataFrame:
    """Return the trials of strategies, with `test_<metric>` on a further test set; NaN where one was not measured.

    Args:
        trials: as in `Sweep.trials`.
        folder: of the sweep.
        metric: of the sweep.
        test: name of the test set.
    """
    found = trials[trials["role"].isin(MEASURED_ELSEWHERE)].copy()
    values = [_measured(folder / "trials" / str(name), test) for name in found["trial_id"]]
    columns = [str(name) for name in found if str(name).startswith(_START)]
    for column in dict.fromkeys([*columns, f"{_START}{metric}"]):
        own = [each.get(column.removeprefix(_START)) for each in values]
        found[column] = pd.Series(own, index=found.index, dtype="float64")
    return add_held_out(found, folder, metric, test)


def _measured(folder: Path, test: str) -> Mapping[str, Any]:
    known = (read_json(folder / EXTRA_METRICS_FILE) or {}).get(test)
    return known if isinstance(known, dict) else {}


def extra_tests_table(sweep: Sweep) -> pd.DataFrame:
    """Return a row per configuration, further test set and baseline: `EXTRA_TESTS`; without such sets no rows."""
    rows: list[dict[str, Any]] = []
    name = f"{_START}{sweep.metric}"
    at_home = sweep.summary().set_index(KEY)[f"{name}_mean"]
    for test in sweep.extra_test_names:
        there = sweep.on_test(test)
        beside: dict[str, list[dict[Any, Any]]] = {}
        for row in there.comparisons.to_dict("records"):
            beside.setdefault(str(row[KEY]), []).append(row)
        summary = there.summary()
        shown = summary[summary[f"{name}_mean"].notna()]
        for row in shown.sort_values(f"{name}_mean", ascending=Scale(sweep.metric).sign < 0).to_dict("records"):
            for compared in beside.get(str(row[KEY])) or [{}]:
                rows.append({"test": test, **_row(row, compared, name, float(at_home[row[KEY]]))})
    return typed_frame(rows, EXTRA_TESTS, sweep.grid_columns)


def _row(row: Mapping[Any, Any], compared: Mapping[Any, Any], name: str, at_home: float) -> dict[str, Any]:
    taken = {column.name for column in EXTRA_TESTS.columns}
    about = {str(key): value for key, value in row.items() if key in taken or "." in str(key)}
    values = {end: row[f"{name}_{end}"] for end in ("mean", "std", "low", "high")}
    keys = ("baseline", "difference", "difference_std", "difference_low", "difference_high", "p", "holm_p", "verdict")
    return {**about, **values, "test_mean": at_home, **{key: compared.get(key) for key in keys}}


def extra_tests_words(sweep: Sweep) -> TextTable:
    """Return every configuration on each further test set beside the test split of the data, in the order of that."""
    first = sweep.comparison()
    num_keys = len(sweep.configurations.headers)
    names = sweep.extra_test_names
    found = {test: _cells(sweep.on_test(test), sweep.metric) for test in names}
    shown = {
        str(row[KEY]): row
        for row in sweep.summary().to_dict("records")
        if row["num_complete"] and row["role"] in MEASURED_ELSEWHERE
    }
    scale, name = Scale(sweep.metric), f"{_START}{sweep.metric}_mean"
    rows = []
    for key in sorted(shown, key=lambda key: -scale.sign * float(shown[key][name])):
        row = shown[key]
        cells = [str(row["strategy"]), *_varied(sweep, key), f"{row['budget']:,}", scale.value(row[name])]
        styles: list[tuple[int, Style]] = []
        for test in names:
            words, style = found[test].get(key, ("", ""))
            cells.append(words)
            styles.append((len(cells) - 1, style))
        rows.append(Row(tuple(cells), "", tuple(styles)))
    heads = [first.columns[0], *sweep.configurations.headers.values(), "budget", scale.words]
    heads += [f"{test} (vs {usual_baseline(sweep.comparisons)})" for test in names]
    return TextTable(tuple(heads), tuple(rows), left=frozenset(range(num_keys + 1)), spare=(num_keys + 1,))


def _varied(sweep: Sweep, key: str) -> tuple[str, ...]:
    cells = sweep.configurations[key].cells
    return tuple(cells[name] for name in sweep.configurations.headers)


def _cells(there: Sweep, metric: str) -> dict[str, tuple[str, Style]]:
    """Return configuration -> its mean on a test set, with its difference to the baseline there, and how that looks."""
    usual = usual_baseline(there.comparisons)
    compared = {str(row[KEY]): row for row in there.comparisons.to_dict("records") if row["baseline"] == usual}
    found, scale = {}, Scale(metric)
    for row in there.summary().to_dict("records"):
        beside = compared.get(str(row[KEY]))
        mark, style = verdict_mark(None if beside is None else str(beside["verdict"]))
        mean = row[f"{_START}{metric}_mean"]
        if pd.isna(mean):
            continue
        is_compared = beside is not None and not pd.isna(beside["difference"])
        words = f"({scale.difference(beside['difference'])}{mark and f' {mark}'})" if beside and is_compared else ""
        found[str(row[KEY])] = (f"{scale.value(mean)} {words}".strip(), style)
    return found
