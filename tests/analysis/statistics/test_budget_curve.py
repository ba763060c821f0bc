"""The area under a budget curve: by scipy on the raw values, differences and p-values by scipy, gaps by hand."""

import numpy as np
import pandas as pd
import pytest
from scipy import integrate, stats

from raybert.analysis.statistics.budget_curve import budget_curve_table
from raybert.analysis.statistics.intervals import holm
from raybert.tables import BUDGET_CURVE

BUDGETS = (10, 40, 100)
CURVES = {  # strategy -> a row per seed, a value per budget
    "random": [[0.5, 0.6, 0.7], [0.52, 0.6, 0.69], [0.48, 0.62, 0.71], [0.5, 0.61, 0.72]],
    "el2n": [[0.5, 0.66, 0.77], [0.56, 0.62, 0.75], [0.51, 0.64, 0.80], [0.47, 0.70, 0.74]],
    "k_center": [[0.5, 0.6, 0.6], [0.6, 0.5, 0.7], [0.5, 0.5, 0.8], [0.5, 0.6, 0.7]],
}


def trials_of(curves, budgets=BUDGETS, fold=0, **more):
    rows = [
        {
            "trial_id": f"{strategy}-{budget}-{seed}",
            "strategy": strategy,
            "role": "trial",
            "budget_kind": "none" if strategy == "all" else "distinct",
            "budget": budget,
            "seed": seed,
            "fold": fold,
            "status": "failed" if np.isnan(value) else "complete",
            "test_accuracy": value,
            "test_loss": 1 - value,
            "configuration": f"{strategy} {budget}",
            **more,
        }
        for strategy, own in curves.items()
        for seed, values in enumerate(own)
        for budget, value in zip(budgets, values, strict=True)
    ]
    return pd.DataFrame(rows)


def areas(strategy, curves=CURVES, budgets=BUDGETS):
    return integrate.trapezoid(np.array(curves[strategy]), np.log2(budgets)) / np.log2(budgets[-1] / budgets[0])


def test_the_area_is_the_mean_height_over_the_logarithm_of_the_budget():
    table = budget_curve_table(trials_of(CURVES)).set_index("strategy")
    for strategy in CURVES:
        assert table.loc[strategy, "area"] == pytest.approx(areas(strategy).mean())
        assert table.loc[strategy, "area_std"] == pytest.approx(areas(strategy).std(ddof=1))
    assert list(table.loc["random", "budgets"]) == [10, 40, 100]
    assert table["num_replicates"].eq(4).all()
    # By hand, from 1 to 4: half of the way at .5 and .7, half at .7 and .8.
    small = budget_curve_table(trials_of({"random": [[0.5, 0.7, 0.8]]}, budgets=(1, 2, 4)))
    assert small["area"].tolist() == pytest.approx([0.5 * 0.6 + 0.5 * 0.75])


def test_a_difference_is_paired_and_tested_as_scipy_does():
    table = budget_curve_table(trials_of(CURVES)).set_index("strategy")
    row, values = table.loc["el2n"], areas("el2n") - areas("random")
    assert (row["baseline"], row["num_pairs"]) == ("random", 4)
    assert row["difference"] == pytest.approx(values.mean())
    expected = stats.t.interval(0.95, 3, loc=values.mean(), scale=stats.sem(values))
    np.testing.assert_allclose([row["difference_low"], row["difference_high"]], expected)
    p = [stats.ttest_rel(areas(name), areas("random")).pvalue for name in ("el2n", "k_center")]
    np.testing.assert_allclose(table.loc[["el2n", "k_center"], "p"], p)
    np.testing.assert_allclose(table.loc[["el2n", "k_center"], "holm_p"], holm(np.array(p)))
    assert table.loc["random", "baseline"] == ""
    assert np.isnan(table.loc["random", "p"])


def test_a_seed_without_one_of_the_budgets_has_no_area():
    curves = CURVES | {"el2n": [[0.5, np.nan, 0.77], *CURVES["el2n"][1:]]}
    table = budget_curve_table(trials_of(curves)).set_index("strategy")
    assert (table.loc["el2n", "num_replicates"], table.loc["el2n", "num_pairs"]) == (3, 3)
    assert table.loc["el2n", "area"] == pytest.approx(areas("el2n")[1:].mean())
    assert table.loc["el2n", "difference"] == pytest.approx((areas("el2n") - areas("random"))[1:].mean())
    never = budget_curve_table(trials_of(CURVES | {"el2n": [[0.5, np.nan, 0.7]] * 4})).set_index("strategy")
    assert never.loc["el2n", "num_replicates"] == 0
    assert np.isnan(never.loc["el2n", "area"])


def test_curves_over_other_budgets_are_not_compared():
    trials = pd.concat([trials_of({"random": CURVES["random"]}), trials_of({"el2n": CURVES["el2n"]}, (10, 40, 200))])
    row = budget_curve_table(trials).set_index("strategy").loc["el2n"]
    assert (row["baseline"], row["num_pairs"]) == ("", 0)
    assert row["area"] == pytest.approx(areas("el2n", budgets=(10, 40, 200)).mean())


def test_what_is_compared_is_what_the_sweep_file_says():
    pairs = [("el2n", "k_center"), ("random", "k_center")]
    table = budget_curve_table(trials_of(CURVES), pairs=pairs).set_index("strategy")
    assert table["baseline"].to_dict() == {"random": "", "el2n": "", "k_center": "el2n"}


def test_one_budget_is_no_curve():
    trials = trials_of({"random": [[0.5], [0.6]], "all": [[0.8], [0.9]]}, budgets=(10,))
    table = budget_curve_table(trials)
    assert table.empty
    assert [*table] == BUDGET_CURVE.order()
    assert budget_curve_table(trials_of(CURVES), metric="mcc").empty


def test_a_curve_is_compared_at_its_own_point_of_a_grid_and_what_has_no_key_at_its_first():
    key = "selection.proxy.epochs"
    parts = [trials_of({"random": CURVES["random"]}, **{key: np.nan})]
    for epochs, name in ((1.0, "el2n"), (3.0, "k_center")):
        part = trials_of({"el2n": CURVES[name]}, **{key: epochs})
        parts.append(part.assign(configuration=part["configuration"] + f", epochs {epochs}"))
    table = budget_curve_table(pd.concat(parts), ["selection.budget", key])
    rows = table[table["strategy"] == "el2n"].set_index(key)
    assert rows["baseline"].eq("random").all()
    assert rows.loc[1.0, "difference"] == pytest.approx((areas("el2n") - areas("random")).mean())
    assert rows.loc[3.0, "difference"] == pytest.approx((areas("k_center") - areas("random")).mean())
    assert "selection.budget" not in table


def test_folds_are_replicates_and_a_share_of_their_pools_is_one_budget():
    parts = []
    for fold, gain in enumerate([0.02, 0.04, 0.03, 0.05, 0.01]):
        for seed_gain in (-0.01, 0.01):
            values = {"random": [[0.5, 0.5]], "el2n": [[0.5 + gain + seed_gain] * 2]}
            part = trials_of(values, budgets=(10 + fold % 2, 40), fold=fold).assign(seed=seed_gain)
            parts.append(
                part.assign(configuration=part["strategy"] + (part["budget"] > 20).map({True: " b", False: " a"}))
            )
    row = budget_curve_table(pd.concat(parts)).set_index("strategy").loc["el2n"]
    half = stats.t.ppf(0.975, 4) * np.sqrt(0.00025 * (1 / 5 + 1 / 4))  # Nadeau and Bengio
    assert (list(row["budgets"]), row["num_pairs"], row["num_replicates"]) == ([10, 40], 10, 5)
    np.testing.assert_allclose([row["difference_low"], row["difference_high"]], [0.03 - half, 0.03 + half])
