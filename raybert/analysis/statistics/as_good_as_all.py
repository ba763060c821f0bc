"""Which configurations are as good as training on everything: one-sided non-inferiority to `all` at a margin.

The pairs are those of every comparison: the same seed, fold and grid point. All configurations of the table are one
family of Holm's correction, whatever `sweep.compare` names. From five replicates on the interval over test examples
must lie within the margin, too, where predictions are left; if it does not, what seeds show is not settled: a test set
of a thousand examples rarely tells half a point.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from raybert.analysis.statistics.columns import typed_frame
from raybert.analysis.statistics.comparisons import compare
from raybert.analysis.statistics.configurations import KEY
from raybert.analysis.statistics.decision import NOT_COMPARED, NOT_SETTLED
from raybert.analysis.statistics.intervals import LEVEL, holm
from raybert.analysis.statistics.margins import non_inferiority_p, ratios_of, within_margin, worst_gain
from raybert.analysis.statistics.on_examples import OnExamples
from raybert.analysis.statistics.scales import Scale
from raybert.config import DEFAULT_MARGIN
from raybert.tables import AS_GOOD_AS_ALL

FULL = "all"
AS_GOOD, NOT_SHOWN = "as good", "not shown"
_PAIR = ["baseline_configuration", KEY]


def as_good_as_all_table(
    trials: pd.DataFrame,
    grid_columns: Sequence[str] = (),
    metric: str = "accuracy",
    margin: float = DEFAULT_MARGIN,
    on_examples: OnExamples | None = None,
    scored: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """Return a row per configuration that has finished trials beside those of `all`: `AS_GOOD_AS_ALL`.

    Args:
        trials: a row per trial, as in `Sweep.trials`; only complete ones count.
        grid_columns: its columns that hold varied hyperparameters.
        metric: what is compared on test, a name of `METRICS`.
        margin: that a configuration may lose, in units of the metric.
        on_examples: as in `compare`.
        scored: the same trials with failed ones scored as the majority class; None: none failed.
    """
    table = _tested(trials, grid_columns, metric, margin, on_examples)
    if not table.empty:
        table["with_failures_verdict"] = ""
    if scored is not None and not table.empty:
        again = _tested(scored, grid_columns, metric, margin, on_examples).set_index(_PAIR)
        again = again.reindex(pd.MultiIndex.from_frame(table[_PAIR])).reset_index(drop=True)
        is_touched = (again["num_dropped_pairs"] < table["num_dropped_pairs"]).to_numpy(bool)
        table["with_failures_verdict"] = np.where(is_touched, again["verdict"], "")
    shown = table[[name for name in AS_GOOD_AS_ALL.order(grid_columns) if name in table]]
    return typed_frame(shown.to_dict("records"), AS_GOOD_AS_ALL, grid_columns)


def is_flattered(row: Mapping[Any, Any]) -> bool:
    """Tell whether a row is as good only as long as failed runs are left out."""
    return row["verdict"] == AS_GOOD and row["with_failures_verdict"] not in ("", AS_GOOD)


def _tested(
    trials: pd.DataFrame,
    grid_columns: Sequence[str],
    metric: str,
    margin: float,
    on_examples: OnExamples | None,
) -> pd.DataFrame:
    names = dict.fromkeys(map(str, trials.loc[trials["role"] == "trial", "strategy"]))
    pairs = [(FULL, name) for name in names if name != FULL] if FULL in names else []
    if not pairs:
        return pd.DataFrame()
    table = compare(trials, grid_columns, metric, pairs, on_examples, margin)
    sign = Scale(metric).sign
    spread = table["difference_std"], table["num_replicates"]
    ratio = ratios_of(table["folds"])
    table["p"] = non_inferiority_p(sign * table["difference"], *spread, table["margin"], ratio)
    table["holm_p"] = holm(table["p"].to_numpy())
    table["difference_at_worst"] = sign * worst_gain(sign * table["difference"], *spread, ratio)
    found = table["holm_p"] < 1 - LEVEL
    is_confirmed = within_margin(table, both_sides=False, sign=sign)
    table["verdict"] = np.select(
        [found & is_confirmed, found, table["p"].notna()], [AS_GOOD, NOT_SETTLED, NOT_SHOWN], default=NOT_COMPARED
    )
    return table
