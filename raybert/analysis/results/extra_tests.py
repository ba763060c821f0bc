"""Strategies on further test sets (`data.extra_tests`): the comparison of a sweep, once more for each of them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from raybert.analysis.results.compared import Compared
from raybert.analysis.results.comparison import usual_baseline, verdict_mark
from raybert.analysis.results.held_out import add_held_out
from raybert.analysis.statistics.columns import typed_frame
from raybert.analysis.statistics.configurations import KEY, Configurations
from raybert.analysis.statistics.scales import Scale
from raybert.config.extra_tests import TEST
from raybert.display import Row, Style, TextTable
from raybert.files import read_json
from raybert.sweeping.folder.predictions import read_splits
from raybert.sweeping.folder.trial_folder import EXTRA_METRICS_FILE
from raybert.sweeping.plan.roles import MEASURED_ELSEWHERE
from raybert.tables import EXTRA_TESTS

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
    """Return every metric of a run on a test set, as it wrote them, or else of what it predicted; empty: unknown."""
    known = (read_json(folder / EXTRA_METRICS_FILE) or {}).get(test)
    if isinstance(known, dict) and all(isinstance(value, (int, float)) for value in known.values()):
        return known
    splits = read_splits(folder, test)
    if TEST not in splits:
        return {}
    from raybert.training.measures.metrics import evaluation_metrics  # scikit-learn is slow to import

    return evaluation_metrics(*splits[TEST])


def extra_tests_table(home: Compared, there: Mapping[str, Compared]) -> pd.DataFrame:
    """Return a row per configuration, further test set and baseline: `EXTRA_TESTS`; without such sets no rows.

    Args:
        home: the statistics of a sweep on test.
        there: the same on each further test set, by its name.
    """
    rows: list[dict[str, Any]] = []
    mean = f"{_START}{home.metric}_mean"
    at_home = home.summary.set_index(KEY)[mean]
    for test, compared in there.items():
        beside: dict[str, list[dict[Any, Any]]] = {}
        for row in compared.comparisons.to_dict("records"):
            beside.setdefault(str(row[KEY]), []).append(row)
        shown = compared.summary[compared.summary[mean].notna()]
        for row in shown.sort_values(mean, ascending=Scale(home.metric).sign < 0).to_dict("records"):
            about = _about(row, home.metric) | {"test": test, "test_mean": float(at_home[row[KEY]])}
            rows += [about | _differences(each) for each in beside.get(str(row[KEY])) or [{}]]
    return typed_frame(rows, EXTRA_TESTS, home.grid_columns)


def _about(row: Mapping[Any, Any], metric: str) -> dict[str, Any]:
    taken = {column.name for column in EXTRA_TESTS.columns}
    about = {str(key): value for key, value in row.items() if key in taken or "." in str(key)}
    return about | {end: row[f"{_START}{metric}_{end}"] for end in ("mean", "std", "low", "high")}


def _differences(compared: Mapping[Any, Any]) -> dict[str, Any]:
    keys = ("baseline", "difference", "difference_std", "difference_low", "difference_high", "p", "holm_p", "verdict")
    return {key: compared.get(key) for key in keys}


def extra_tests_words(home: Compared, there: Mapping[str, Compared], configurations: Configurations) -> TextTable:
    """Return every configuration on each further test set, in the order of the test split of the data.

    Args:
        home: as of `extra_tests_table`.
        there: likewise.
        configurations: of the sweep.
    """
    scale, mean, headers = Scale(home.metric), f"{_START}{home.metric}_mean", configurations.headers
    found = {test: _cells(compared) for test, compared in there.items()}
    shown = home.summary[(home.summary["num_complete"] > 0) & home.summary["role"].isin(MEASURED_ELSEWHERE)]
    rows = []
    for row in shown.sort_values(mean, ascending=scale.sign < 0, kind="stable").to_dict("records"):
        varied = configurations[row[KEY]].cells
        cells = [
            str(row["strategy"]),
            *(varied[name] for name in headers),
            f"{row['budget']:,}",
            scale.value(row[mean]),
        ]
        styles: list[tuple[int, Style]] = []
        for test in there:
            words, style = found[test].get(str(row[KEY]), ("", ""))
            cells.append(words)
            styles.append((len(cells) - 1, style))
        rows.append(Row(tuple(cells), "", tuple(styles)))
    baseline = usual_baseline(home.comparisons)
    heads = ["strategy", *headers.values(), "budget", scale.words, *(f"{test} (vs {baseline})" for test in there)]
    num_keys = len(headers)
    return TextTable(tuple(heads), tuple(rows), left=frozenset(range(num_keys + 1)), spare=(num_keys + 1,))


def _cells(there: Compared) -> dict[str, tuple[str, Style]]:
    """Return configuration -> its mean on a test set, with its difference to the baseline there, and how that looks."""
    scale, usual = Scale(there.metric), usual_baseline(there.comparisons)
    compared = {str(row[KEY]): row for row in there.comparisons.to_dict("records") if row["baseline"] == usual}
    found: dict[str, tuple[str, Style]] = {}
    for row in there.summary.to_dict("records"):
        mean, beside = row[f"{_START}{there.metric}_mean"], compared.get(str(row[KEY]))
        if pd.isna(mean):
            continue
        mark, style = verdict_mark(None if beside is None else str(beside["verdict"]))
        words = scale.value(mean)
        if beside is not None and not pd.isna(beside["difference"]):
            words += f" ({scale.difference(beside['difference'])}{mark and f' {mark}'})"
        found[str(row[KEY])] = (words, style)
    return found
