"""The second comparison: where each configuration stands at equal total cost, signals and scoring included."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from raybert.analysis.statistics.columns import typed_frame
from raybert.analysis.statistics.comparisons import Pairs, default_pairs
from raybert.analysis.statistics.configurations import BUDGET_KEY, KEY, has_budget, with_configurations
from raybert.analysis.statistics.points import grid_points
from raybert.config import sign_of
from raybert.tables import EQUAL_COST, PRETRAINING_SECONDS

MULTIPLES = (1.0, 2.0, 3.0, 5.0, 10.0)
"""Of what `random` costs at the same budget: what costs more than that has to be worth it."""
PARTS = (0.1, 0.25, 0.5, 0.75, 1.0)
"""Of what another baseline costs, such as `all`: less than that is to be saved."""
_COSTS = ("examples", "seconds")
_LOOKED_AT = (KEY, "strategy", "role", "budget", "budget_kind", "trial_id", "seed", "fold")
FORWARD_PASSES_OF_A_STEP = 3
"""What training on an example is worth: its backward pass takes as long as two forward passes.

Source: Kaplan et al. 2020, "Scaling Laws for Neural Language Models", section 2.1.
"""


def equal_cost_table(
    trials: pd.DataFrame,
    evaluations: pd.DataFrame,
    grid_columns: Sequence[str] = (),
    metric: str = "accuracy",
    pairs: Pairs = (),
) -> pd.DataFrame:
    """Return what every configuration has reached on validation once a total cost is spent.

    Everything is compared with `random` at the same budget and point of the grid, and the pairs that have another
    baseline with that. The cost of an evaluation is what the
    trial has spent until then: its signals as if it had computed them alone, selection, training, and where seconds
    are counted evaluation. Counted in examples it is what `total_examples` is, which does not vary with the load of a
    machine; what a strategy scores for its selection counts as spent before its first evaluation. The value is that of
    the best evaluation within the cost, which is the model that one would keep. A strategy whose signals cost more
    has nothing by then: NaN, and `num_begun` counts its seeds that have. Validation and not test: the test split is
    read for the chosen evaluation only.

    Columns: those of `EQUAL_COST`.

    Args:
        trials: `Sweep.trials`.
        evaluations: `Sweep.evaluations`.
        grid_columns: the varied hyperparameters.
        metric: which chooses the best evaluation, and is given besides accuracy.
        pairs: what is compared; empty: `default_pairs`.
    """
    trials = with_configurations(trials, grid_columns)
    metric = metric if f"validation_{metric}" in evaluations else "accuracy"  # a grid may vary `best_metric`
    others = [column for column in grid_columns if column != BUDGET_KEY]
    complete = trials[(trials["status"] == "complete") & (trials["role"] != "part")]
    curves = _Curves.best_first(spent_by_evaluation(complete, evaluations), metric)
    complete = complete[[*_LOOKED_AT, *others]]  # rows of all columns are slow to take apart
    values = [*dict.fromkeys(("validation_accuracy", f"validation_{metric}"))]
    rows: list[dict[str, Any]] = []
    for point, at_point in grid_points(complete, others):
        for name, compared in _families(at_point, list(pairs) or default_pairs(trials)):
            baselines = compared[(compared["strategy"] == name) & (compared["role"] != "proxy")]
            for budget, baseline in baselines.groupby("budget"):
                is_alike = (compared["budget"] == budget) | ~has_budget(compared)
                alike = compared[is_alike] if has_budget(baseline).all() else compared
                for cost in _COSTS:
                    for row in _rows(alike, baseline, curves, cost, values):
                        rows.append({"budget": budget, **point, "cost": cost, **row, "metric": metric})
    return typed_frame(rows, EQUAL_COST, grid_columns)


def _families(at_point: pd.DataFrame, pairs: Pairs) -> Iterator[tuple[str, pd.DataFrame]]:
    """Yield every baseline with the trials that stand beside it: all beside `random`, else those paired with it."""
    yield "random", at_point
    for baseline in dict.fromkeys(one for one, _ in pairs if one != "random"):
        names = {baseline, *(other for one, other in pairs if one == baseline)}
        yield baseline, at_point[at_point["strategy"].isin(names) & (at_point["role"] == "trial")]


def spent_by_evaluation(complete: pd.DataFrame, evaluations: pd.DataFrame) -> pd.DataFrame:
    """Return the evaluations of trials with what each had cost by then.

    Columns besides: `seconds_spent`, and where it is known what runs have trained on and scored `examples_spent`.

    Args:
        complete: finished trials.
        evaluations: `Sweep.evaluations`.
    """
    names = ("signal_seconds", PRETRAINING_SECONDS, "total_examples", "examples_seen")
    known = [name for name in names if name in complete]
    facts = complete[["trial_id", *known]].rename(columns={"examples_seen": "examples_seen_in_all"})
    curves = evaluations.merge(facts, on="trial_id")
    curves["seconds_spent"] = curves["signal_seconds"] + curves["seconds"]
    if PRETRAINING_SECONDS in known:
        curves["seconds_spent"] += curves[PRETRAINING_SECONDS].fillna(0.0)
    if "total_examples" in known:
        left = FORWARD_PASSES_OF_A_STEP * (curves["examples_seen_in_all"] - curves["examples_seen"])
        curves["examples_spent"] = (curves["total_examples"] - left).astype("float64")
    return curves


@dataclass(frozen=True)
class _Curves:
    """Evaluations of all trials as arrays, the best ones first: each is asked many times what it has reached.

    Attributes:
        of_trial: trial id -> its rows.
        columns: name -> (rows,) float64.
    """

    of_trial: Mapping[str, np.ndarray]
    columns: Mapping[str, np.ndarray]

    @classmethod
    def best_first(cls, curves: pd.DataFrame, metric: str) -> _Curves:
        """Return evaluations, ranked by a metric."""
        ordered = curves.sort_values(f"validation_{metric}", ascending=sign_of(metric) < 0, kind="stable")
        numbers = ordered.select_dtypes("number")
        return cls(
            {str(own): np.asarray(rows) for own, rows in ordered.groupby("trial_id").indices.items()},
            {str(name): numbers[name].to_numpy(np.float64, na_value=np.nan) for name in numbers},
        )

    def price(self, trial_ids: Iterable[str], spent: str) -> float:
        """Return what trials have cost at their last evaluation, on average."""
        costs = self.columns[spent]
        return float(
            pd.Series([costs[self.of_trial[own]].max() for own in sorted(trial_ids) if own in self.of_trial]).mean()
        )

    def within(self, trial_ids: Iterable[str], spent: str, limit: float) -> np.ndarray:
        """Return the row of the best evaluation within a cost of each trial that has one."""
        costs = self.columns[spent]
        own = [self.of_trial[trial_id] for trial_id in trial_ids if trial_id in self.of_trial]
        return np.sort([rows[is_within.argmax()] for rows in own if (is_within := costs[rows] <= limit).any()]).astype(
            int
        )


def _rows(
    alike: pd.DataFrame, baseline: pd.DataFrame, curves: _Curves, cost: str, values: list[str]
) -> Iterator[dict[str, Any]]:
    """Yield a row per configuration and multiple of what the baseline has cost at its last evaluation."""
    spent = f"{cost}_spent"
    if spent not in curves.columns:
        return
    price = curves.price(baseline["trial_id"], spent)
    beside = str(baseline["strategy"].iloc[0])
    for name, group in alike.groupby(KEY, sort=False):
        strategy, role = group["strategy"].iloc[0], group["role"].iloc[0]
        trial_ids, num_seeds = list(group["trial_id"]), len(set(zip(group["seed"], group["fold"], strict=True)))
        for multiple in MULTIPLES if beside == "random" else PARTS:
            best = curves.within(trial_ids, spent, multiple * price)
            yield {
                KEY: name,
                "strategy": strategy,
                "role": role,
                "cost_of_random": multiple if beside == "random" else math.nan,
                "spent": multiple * price,
                **{value: pd.Series(curves.columns[value][best]).mean() for value in values},
                "num_seeds": num_seeds,
                "num_begun": len(best),
                "baseline": beside,
                "multiple": multiple,
            }
