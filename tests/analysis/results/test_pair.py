"""Any two strategies or configurations beside each other: which are paired, and what is said where they cannot be."""

import numpy as np
import pytest
from scipy import stats

from raybert.analysis import load_sweep
from raybert.errors import SweepError
from tests.analysis.folders import make_spec, write_error, write_evaluations, write_plan, write_result

BUDGETS = (20, 40, 120)
REACHED = {
    ("random", 20): (0.50, 0.52, 0.54),
    ("random", 40): (0.60, 0.63, 0.61),
    ("random", 120): (0.70, 0.71, 0.75),
    ("el2n", 20): (0.48, 0.55, 0.50),
    ("el2n", 40): (0.66, 0.67, 0.70),
    ("el2n", 120): (0.70, 0.72, 0.73),
    ("all", 400): (0.80, 0.82, 0.81),
}


@pytest.fixture(scope="module")
def sweep(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pairs") / "run"
    specs = {
        (name, budget, seed): make_spec(
            name, seed, budget, grid={} if name == "all" else {"selection.budget": budget / 400}
        )
        for name, budget in REACHED
        for seed in range(3)
    }
    write_plan(folder, list(specs.values()))
    for (name, budget, seed), spec in specs.items():
        top = REACHED[name, budget][seed]
        write_result(folder, spec, top)
        write_evaluations(folder, spec, [top - 0.2, top - 0.05, top - 0.01], 3840 if name == "all" else 1280)
    return load_sweep(folder)


def test_two_strategies_are_paired_at_every_budget_with_the_family_of_the_sweep(sweep):
    pair = sweep.pair("random", "el2n")
    assert pair.comparisons["configuration"].tolist() == [f"el2n, budget {budget}" for budget in BUDGETS]
    assert pair.comparisons["holm_p"].tolist() == sweep.comparisons["holm_p"].tolist()
    assert (pair.baseline, pair.strategy, pair.notes) == ("random", "el2n", ())


@pytest.mark.parametrize("label", ["el2n, budget 40", "el2n@40", "el2n@10%", "el2n@10 %"])
def test_a_budget_may_be_named_in_every_way(sweep, label):
    pair = sweep.pair("random", label)
    assert (pair.baseline, pair.strategy) == ("random", "el2n, budget 40")
    assert pair.comparisons["baseline_configuration"].tolist() == ["random, budget 40"]


def test_two_configurations_are_compared_whatever_their_budgets(sweep):
    pair = sweep.pair("random@120", "el2n@40")
    own, beside = np.array(REACHED["el2n", 40]), np.array(REACHED["random", 120])
    low, high = stats.ttest_rel(own, beside).confidence_interval()
    (row,) = pair.comparisons.to_dict("records")
    assert (row["baseline_configuration"], row["configuration"]) == ("random, budget 120", "el2n, budget 40")
    assert [row["difference_low"], row["difference_high"]] == pytest.approx([low, high])
    assert row["holm_p"] == row["p"] == pytest.approx(stats.ttest_rel(own, beside).pvalue)
    assert pair.sentences[0].startswith("el2n, budget 40: worse than random, budget 120 (-4.3 points [")


def test_what_has_no_budget_stands_beside_every_budget(sweep):
    assert len(sweep.pair("all", "el2n").comparisons) == 3
    assert len(sweep.pair("el2n", "all").comparisons) == 3
    assert sweep.pair("all", "el2n@30%").comparisons["difference"].iloc[0] == pytest.approx(-0.28 / 3)


def test_differences_while_training_are_those_of_the_evaluations(sweep):
    curves = sweep.pair("random@40", "el2n@40").curves
    rows = curves[curves["quantity"] == "validation_accuracy"]
    own, beside = np.array(REACHED["el2n", 40]), np.array(REACHED["random", 40])
    low, high = stats.ttest_rel(own, beside).confidence_interval()
    assert rows["examples_seen"].tolist() == [426, 853, 1280]
    assert not rows["is_interpolated"].any()
    assert rows["difference"].to_numpy() == pytest.approx([0.19 / 3] * 3)
    assert rows["difference_low"].to_numpy() == pytest.approx([low] * 3)
    assert rows["difference_high"].to_numpy() == pytest.approx([high] * 3)
    assert rows["strategy_mean"].to_numpy() == pytest.approx(own.mean() - np.array([0.2, 0.05, 0.01]))
    (test,) = curves[curves["quantity"] == "test_accuracy"].to_dict("records")
    assert (test["strategy_mean"], test["difference"]) == pytest.approx((own.mean(), 0.19 / 3))
    loss = curves[curves["quantity"] == "train_loss"]
    assert loss["difference"].to_numpy() == pytest.approx([-0.19 / 3] * 3)


def test_differences_end_where_one_of_both_does(sweep):
    # `all` has evaluations at 1,280, 2,560 and 3,840, el2n at 426, 853 and 1,280.
    rows = sweep.pair("el2n@40", "all").curves
    rows = rows[rows["quantity"] == "validation_accuracy"]
    assert rows["examples_seen"].tolist() == [1280]
    reached = np.mean(REACHED["all", 400]) - 0.2, np.mean(REACHED["el2n", 40]) - 0.01
    assert rows["difference"].iloc[0] == pytest.approx(reached[0] - reached[1])


def test_lines_between_evaluations_by_hand(tmp_path):
    places = {"random": 900, "el2n": 1200}
    specs = {name: make_spec(name) for name in places}
    folder = write_plan(tmp_path, list(specs.values()))
    for name, examples in places.items():
        write_result(folder, specs[name], 0.6)
        write_evaluations(folder, specs[name], [0.3, 0.6, 0.9], examples)
    curves = load_sweep(folder).pair("random", "el2n").curves
    rows = curves[curves["quantity"] == "validation_accuracy"]
    # random: .3 at 300, .6 at 600, .9 at 900; el2n: .3 at 400, .6 at 800, .9 at 1,200.
    assert rows["examples_seen"].tolist() == [400, 600, 800, 900]
    assert rows["baseline_mean"].tolist() == pytest.approx([0.4, 0.6, 0.8, 0.9])
    assert rows["strategy_mean"].tolist() == pytest.approx([0.3, 0.45, 0.6, 0.675])
    assert rows["difference"].tolist() == pytest.approx([-0.1, -0.15, -0.2, -0.225])
    assert rows["is_interpolated"].all()
    assert rows["difference_low"].isna().all()  # one seed


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        (("random", "el2m"), r"^pair: no strategy or configuration is called 'el2m'; did you mean 'el2n'"),
        (("random", "qqq"), r"^pair: must be a strategy or configuration of the sweep: random, el2n, all; got 'qqq'$"),
        (("random", "el2n@7%"), r"^pair: el2n has the budgets 20 \(5 %\), 40 \(10 %\), 120 \(30 %\), got 'el2n@7%'$"),
        (("random", "all@10%"), r"^pair: all has no budget, got 'all@10%'$"),
        (("random", "random@10%"), r"^pair: must be two that have no configuration in common, got 'random' and"),
    ],
)
def test_a_label_that_nothing_has_is_one_line(sweep, labels, words):
    with pytest.raises(SweepError, match=words):
        sweep.pair(*labels)


def test_what_has_not_finished_is_said(tmp_path):
    specs = {(name, seed): make_spec(name, seed) for name in ("random", "el2n", "aum") for seed in range(3)}
    folder = write_plan(tmp_path, list(specs.values()))
    for seed in range(3):
        write_result(folder, specs["random", seed], 0.5 + 0.01 * seed)
        write_evaluations(folder, specs["random", seed], [0.3, 0.5])
    write_result(folder, specs["el2n", 1], 0.6)
    write_evaluations(folder, specs["el2n", 1], [0.4, 0.6])
    write_error(folder, specs["el2n", 0])
    sweep = load_sweep(folder)
    pair = sweep.pair("random", "el2n")
    assert pair.notes == ("1 of 3 pairs of trials: the others have failed or not finished",)
    with pytest.raises(
        SweepError, match="seed and fold yet: 3 of 3 trials of random and 0 of 3 trials of aum are comp"
    ):
        sweep.pair("random", "aum")


def test_budgets_without_any_in_common_are_named(tmp_path):
    specs = [
        make_spec(name, 0, budget) for name, budget in (("random", 20), ("random", 80), ("el2n", 40), ("el2n", 60))
    ]
    specs = [spec | {"grid": {"selection.budget": spec["budget"] / 400}} for spec in specs]
    folder = write_plan(tmp_path, specs)
    for spec in specs:
        write_result(folder, spec, 0.5)
    with pytest.raises(
        SweepError, match=r"in common: random has the budgets 20 .*; el2n has the budgets 40 \(10 %\), 60"
    ):
        load_sweep(folder).pair("random", "el2n")
