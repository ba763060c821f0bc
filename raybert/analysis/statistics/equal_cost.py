"""The second comparison: where each strategy stands at equal total cost, signals and scoring included."""

from __future__ import annotations

import pandas as pd

from raybert.tables import EQUAL_COST

MULTIPLES = (1.0, 2.0, 3.0, 5.0, 10.0)
"""Of what `random` costs at the same budget."""


def equal_cost_table(trials: pd.DataFrame, evaluations: pd.DataFrame) -> pd.DataFrame:
    """Return the validation accuracy of every strategy once a total cost is spent.

    The cost of an evaluation is what the trial has spent until then: its signals as if it had computed them alone,
    selection, training, evaluation. The accuracy is that of the best evaluation within the cost, which is the model
    that one would keep. A strategy whose signals cost more has nothing by then: NaN, and `num_begun` counts its seeds
    that have. Validation and not test: the test split is read for the chosen evaluation only.

    Columns: those of `EQUAL_COST`.

    Args:
        trials: `Sweep.trials`.
        evaluations: `Sweep.evaluations`.
    """
    complete = trials[(trials["status"] == "complete") & (trials["role"] != "part")]
    curves = evaluations.merge(complete[["trial_id", "role", "signal_seconds"]], on="trial_id")
    curves = curves.assign(spent=curves["signal_seconds"] + curves["seconds"])
    rows = []
    for budget, baseline in curves[curves["strategy"] == "random"].groupby("budget"):
        price = baseline.groupby("trial_id")["spent"].max().mean()
        alike = complete[(complete["budget"] == budget) | complete["budget_kind"].eq("none")]
        for (strategy, role), group in alike.groupby(["strategy", "role"], sort=False):
            own = curves[curves["trial_id"].isin(group["trial_id"])]
            for multiple in MULTIPLES:
                best = own[own["spent"] <= multiple * price].groupby("trial_id")["validation_accuracy"].max()
                rows.append(
                    (
                        budget,
                        strategy,
                        role,
                        multiple,
                        multiple * price,
                        best.mean(),
                        group[["seed", "fold"]].drop_duplicates().shape[0],
                        len(best),
                    )
                )
    return pd.DataFrame(rows, columns=EQUAL_COST.order())
