import numpy as np
import pandas as pd

from raybert.analysis.statistics.equal_cost import equal_cost_table


def trial(name, seed, signal_seconds, role="trial", kind="distinct", budget=40):
    return {
        "trial_id": f"{name}{seed}",
        "strategy": name,
        "seed": seed,
        "fold": 0,
        "role": role,
        "budget_kind": kind,
        "budget": budget,
        "status": "complete",
        "signal_seconds": signal_seconds,
    }


def curve(name, seed, seconds, accuracy, budget=40):
    return [
        {"trial_id": f"{name}{seed}", "strategy": name, "budget": budget, "seconds": s, "validation_accuracy": a}
        for s, a in zip(seconds, accuracy, strict=True)
    ]


def test_accuracy_once_a_multiple_of_the_cost_of_random_is_spent():
    trials = pd.DataFrame(
        [
            trial("random", 0, 0.0),
            trial("random", 1, 0.0),
            trial("el2n", 0, 3.0),
            trial("el2n", 1, 30.0),
            trial("all", 0, 0.0, kind="none", budget=400),
            trial("proxy_fold", 0, 0.0, role="part", kind="none", budget=300),
        ]
    )
    evaluations = pd.DataFrame(
        curve("random", 0, [1, 2], [0.5, 0.6])
        + curve("random", 1, [1, 2], [0.6, 0.5])
        + curve("el2n", 0, [1, 2], [0.8, 0.7])
        + curve("el2n", 1, [1, 2], [0.9, 0.9])
        + curve("all", 0, [2, 4, 6], [0.3, 0.6, 0.9], budget=400)
        + curve("proxy_fold", 0, [1], [0.9], budget=300)
    )
    table = equal_cost_table(trials, evaluations).set_index(["strategy", "cost_of_random"])
    assert (table["cost"] == "seconds").all()  # what was trained and scored is not known of these trials
    assert set(table.index.get_level_values(0)) == {"random", "el2n", "all"}
    assert (table["budget"] == 40).all()
    assert table.loc[("random", 1), "spent"] == 2.0
    # Each seed keeps its best evaluation so far.
    assert table.loc[("random", 1), "validation_accuracy"] == 0.6
    # el2n has paid 3 s for signals before it begins: nothing at 2 s, its first evaluation at 4 s.
    assert np.isnan(table.loc[("el2n", 1), "validation_accuracy"])
    assert table.loc[("el2n", 1), "num_begun"] == 0
    assert table.loc[("el2n", 2), "validation_accuracy"] == 0.8
    assert table.loc[("el2n", 2), "num_begun"] == 1
    assert table.loc[("el2n", 10), "num_begun"] == 1
    assert [table.loc[("all", m), "validation_accuracy"] for m in (1, 2, 3)] == [0.3, 0.6, 0.9]
