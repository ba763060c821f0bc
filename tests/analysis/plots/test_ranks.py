import numpy as np
import pandas as pd
import pytest
from scipy.stats import studentized_range

from raybert.analysis.plots.ranks import draw_critical_difference, draw_ranks
from raybert.analysis.plots.style import strategy_styles
from raybert.analysis.statistics.ranks import alike_groups, critical_difference, mean_ranks, ranks_over_replicates
from tests.analysis.plots.layout import flaws

# Demsar 2006, table 5(a): critical values of the two-tailed Nemenyi test at 0.05.
CRITICAL = {2: 1.960, 3: 2.343, 4: 2.569, 5: 2.728, 6: 2.850, 7: 2.949, 8: 3.031, 9: 3.102, 10: 3.164}


def trials_of(values, budget=40, kind="distinct"):
    """Complete trials: values of each strategy by seed; None: it has failed."""
    rows = [
        {
            "strategy": name,
            "seed": seed,
            "fold": 0,
            "budget": budget,
            "budget_kind": kind,
            "role": "trial",
            "status": "failed" if value is None else "complete",
            "test_accuracy": np.nan if value is None else value,
        }
        for name, own in values.items()
        for seed, value in enumerate(own)
    ]
    return pd.DataFrame(rows)


@pytest.mark.parametrize(("number", "value"), CRITICAL.items())
def test_the_critical_difference_is_that_of_demsars_table(number, value):
    difference = critical_difference(number, 14)
    assert difference / np.sqrt(number * (number + 1) / (6 * 14)) == pytest.approx(value, abs=1e-3)


def test_demsars_example_of_four_learners_on_fourteen_data_sets():
    """His section 3.2.2: at 5 % nothing is told apart (CD 1.25), at 10 % C4.5 is worse than two others (CD 1.12)."""
    assert critical_difference(4, 14) == pytest.approx(1.25, abs=0.005)
    assert critical_difference(4, 14, 0.10) == pytest.approx(1.12, abs=0.005)
    ranks = {"C4.5": 3.143, "C4.5+m": 2.000, "C4.5+cf": 2.893, "C4.5+m+cf": 1.964}
    assert alike_groups(ranks, 1.25) == [("C4.5+m+cf", "C4.5+m", "C4.5+cf", "C4.5")]
    assert alike_groups(ranks, 1.12) == [("C4.5+m+cf", "C4.5+m", "C4.5+cf"), ("C4.5+cf", "C4.5")]


def test_groups_are_the_largest_and_none_is_part_of_another():
    ranks = {"a": 1.0, "b": 1.5, "c": 2.4, "d": 2.6, "e": 5.0}
    assert alike_groups(ranks, 1.45) == [("a", "b", "c"), ("b", "c", "d")]
    assert alike_groups(ranks, 0.1) == []
    assert alike_groups(ranks, 9.0) == [("a", "b", "c", "d", "e")]


def test_ranks_begin_with_the_best_and_equal_values_share_theirs():
    values = pd.DataFrame({"a": [0.9, 0.8], "b": [0.7, 0.8], "c": [0.5, 0.9]})
    assert mean_ranks(values, "accuracy").to_dict() == {"a": 1.75, "b": 2.25, "c": 2.0}
    assert mean_ranks(values, "loss").to_dict() == {"a": 2.25, "b": 1.75, "c": 2.0}


def test_only_seeds_count_that_all_strategies_have_finished():
    trials = trials_of({"a": [0.9, 0.9, 0.9], "b": [0.8, 0.8, 0.8], "c": [0.7, None, 0.95]})
    table = ranks_over_replicates(trials, "accuracy").set_index("strategy")
    assert table["ranks"].to_dict() == {"a": (1.0, 2.0), "b": (2.0, 3.0), "c": (3.0, 1.0)}
    assert table["num_dropped"].tolist() == [1, 1, 1]
    assert list(table.index) == ["a", "c", "b"]


def test_budgets_rank_for_themselves_and_two_strategies_or_whole_pools_do_not():
    trials = pd.concat(
        [
            trials_of({"a": [0.9], "b": [0.8], "c": [0.7]}, 40),
            trials_of({"a": [0.7], "b": [0.8], "c": [0.9]}, 80),
            trials_of({"a": [0.7], "b": [0.8]}, 160),
            trials_of({"x": [0.7], "y": [0.8], "z": [0.9]}, 400, "none"),
        ]
    )
    table = ranks_over_replicates(trials, "accuracy")
    assert [(row.budget, row.strategy, row.mean) for row in table.itertuples()] == [
        *((40, "a", 1.0), (40, "b", 2.0), (40, "c", 3.0)),
        *((80, "c", 1.0), (80, "b", 2.0), (80, "a", 3.0)),
    ]
    assert draw_ranks(ranks_over_replicates(trials[trials["budget"] > 80], "accuracy"), "accuracy", {}) is None


def test_a_row_is_a_strategy_its_marker_the_mean_rank_and_dots_are_seeds():
    trials = trials_of({"a": [0.9, 0.9, 0.7, 0.9], "b": [0.8, 0.8, 0.8, 0.8], "c": [0.7, 0.7, 0.9, 0.85]})
    table = ranks_over_replicates(trials, "accuracy")
    styles = strategy_styles(["a", "b", "c"])
    figure = draw_ranks(table, "accuracy", styles)
    (axes,) = figure.axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["a", "b", "c"]
    markers = {line.get_ydata()[0]: line.get_xdata()[0] for line in axes.lines if len(line.get_xdata()) == 1}
    assert markers == {0: 1.5, 1: 2.25, 2: 2.25}
    own = table.set_index("strategy").loc["a"]
    (interval,) = [line for line in axes.lines if list(line.get_ydata()) == [0, 0]]
    assert list(interval.get_xdata()) == [own["low"], own["high"]]
    assert 1 <= own["low"] < 1.5 < own["high"] <= 3
    dots = axes.collections[0]  # of the first row of the table
    assert dots.get_offsets().tolist() == [[1, 0], [3, 0]]
    assert dots.get_sizes()[0] == 3 * dots.get_sizes()[1]
    assert any("nothing is tested" in text.get_text() for text in figure.texts)
    assert flaws(figure) == []


def test_a_diagram_has_a_name_at_every_rank_and_bars_over_what_is_alike():
    ranks = {"random": 4.2, "el2n": 1.8, "k_center": 2.1, "perplexity": 3.4, "all": 3.5}
    figure = draw_critical_difference(ranks, difference=critical_difference(5, 9), num_data_sets=9)
    (axes,) = figure.axes
    texts = [text.get_text() for text in axes.texts]
    assert texts == [
        "el2n  1.80",
        "k_center  2.10",
        "perplexity  3.40",
        "3.50  all",
        "4.20  random",
        "critical difference 2.03",
    ]
    bars = [list(line.get_xdata()) for line in axes.lines if line.get_label() == "_group"]
    assert bars == [pytest.approx([1.76, 3.54]), pytest.approx([3.36, 4.24])]
    (ruler,) = [line for line in axes.lines if line.get_marker() == "|"]
    expected = studentized_range.ppf(0.95, 5, np.inf) / np.sqrt(2) * np.sqrt(30 / 54)
    assert list(ruler.get_xdata()) == pytest.approx([1, 1 + expected])
    assert flaws(figure) == []


def test_groups_may_come_from_another_test():
    figure = draw_critical_difference({"a": 1.2, "b": 2.0, "c": 2.8}, [("b", "c")])
    (axes,) = figure.axes
    assert [list(line.get_xdata()) for line in axes.lines if line.get_label() == "_group"] == [
        pytest.approx([1.96, 2.84])
    ]


@pytest.mark.slow
@pytest.mark.parametrize("number", [2, 3, pytest.param(30, marks=pytest.mark.long)])
def test_diagrams_are_laid_out(number):
    names = [f"confidence(measure=margin, window=[0.{i}, 0.9])" for i in range(number)]
    figure = draw_critical_difference(
        {name: 1.0 + i for i, name in enumerate(names)}, difference=critical_difference(number, 5)
    )
    assert flaws(figure) == []


@pytest.mark.long
@pytest.mark.slow
def test_ranks_of_many_strategies_are_laid_out():
    names = {f"confidence(measure=margin, window=[0.{i}, 0.9], drop_hardest=0.{i})": [i, i + 1, -i] for i in range(30)}
    trials = pd.concat([trials_of(names, budget) for budget in (10, 20, 40, 80, 160)])
    figure = draw_ranks(ranks_over_replicates(trials, "accuracy"), "accuracy", strategy_styles(list(names)))
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["budget 10", "budget 20", "budget 40", "budget 160"]
    assert any("1 budgets between" in text.get_text() for text in figure.texts)
    assert flaws(figure) == []
