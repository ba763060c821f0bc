import numpy as np
import pandas as pd
import pytest

from raybert.analysis.plots.forest import MOST_ROWS, draw_forest
from raybert.analysis.plots.style import strategy_styles
from raybert.analysis.statistics.comparisons import compare
from raybert.analysis.statistics.pair_differences import pair_differences
from tests.analysis.plots.layout import flaws

WORTH = {"random": 0.70, "el2n": 0.80, "k_center": 0.705, "perplexity": 0.60}
NOISE = np.array([0.0, 0.01, -0.01, 0.02])


def trials_of(worth, seeds=4, folds=1, budgets=(40,), metric="accuracy"):
    """Complete trials: what a strategy is worth, what its seed adds, and a little of its own."""
    rows = [
        {
            "strategy": name,
            "role": "trial",
            "budget_kind": "distinct",
            "budget": budget,
            "status": "complete",
            "seed": seed,
            "fold": fold,
            "configuration": f"{name} {budget}",
            f"test_{metric}": value + NOISE[seed] + 0.1 * fold + 0.001 * (seed * len(name) % 3),
            "train_seconds": 1.0,
        }
        for name, value in worth.items()
        for budget in budgets
        for fold in range(folds)
        for seed in range(seeds)
    ]
    return pd.DataFrame(rows)


def drawn(trials, metric="accuracy", replicates="seeds"):
    table = compare(trials, (), metric)
    figure = draw_forest(
        table, pair_differences(trials, table), strategy_styles(list(dict.fromkeys(trials["strategy"]))), replicates
    )
    return table, figure


def columns_of(axes):
    """The texts to the right of the rows: (row, text)."""
    return [(text.get_position()[1], text.get_text()) for text in axes.texts]


def test_every_comparison_is_a_row_the_best_on_top():
    table, figure = drawn(trials_of(WORTH))
    (axes,) = figure.axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["el2n 40", "k_center 40", "perplexity 40"]
    assert axes.get_ylim() == (2.5, -0.5)
    means = table.set_index("strategy")["difference"]
    styles = strategy_styles(list(WORTH))
    for y, name in enumerate(["el2n", "k_center", "perplexity"]):
        (marker,) = [
            line for line in axes.lines if line.get_marker() == styles[name].marker and len(line.get_xdata()) == 1
        ]
        assert (marker.get_xdata()[0], marker.get_ydata()[0]) == (pytest.approx(means[name]), y)
        assert marker.get_color() == styles[name].colour


def test_lines_are_the_intervals_and_dots_the_seeds():
    trials = trials_of(WORTH)
    table, figure = drawn(trials)
    (axes,) = figure.axes
    row = table.set_index("strategy").loc["el2n"]
    (interval,) = [line for line in axes.lines if list(line.get_ydata()) == [0, 0]]
    assert list(interval.get_xdata()) == [row["difference_low"], row["difference_high"]]
    own, beside = (trials[trials["strategy"] == name]["test_accuracy"].to_numpy() for name in ("el2n", "random"))
    (dots,) = [line for line in axes.lines if len(line.get_xdata()) == 4 and 0 < line.get_ydata()[0] < 0.5]
    assert list(dots.get_xdata()) == pytest.approx(list(own - beside))


def test_full_markers_are_what_is_left_by_holm():
    trials = trials_of(WORTH)
    trials.loc[trials["strategy"] == "k_center", "test_accuracy"] += [0.05, -0.05, 0.03, -0.04]
    table, figure = drawn(trials)
    (axes,) = figure.axes
    verdicts = dict(zip(table["strategy"], table["verdict"], strict=True))
    assert verdicts == {"el2n": "better", "k_center": "no difference shown", "perplexity": "worse"}
    fills = {line.get_ydata()[0]: line.get_markerfacecolor() for line in axes.lines if len(line.get_xdata()) == 1}
    styles = strategy_styles(list(WORTH))
    assert fills == {0: styles["el2n"].colour, 1: "#ffffff", 2: styles["perplexity"].colour}
    texts = columns_of(axes)
    assert [text for y, text in texts if y == -1] == ["difference [95 %]", "Holm p"]
    assert (0, "+ better") in texts
    assert (1, "no difference shown") in texts
    assert (2, "- worse") in texts
    assert (0, "<.001") in texts


@pytest.mark.parametrize(("seeds", "words"), [(1, "one seed: no interval, no verdict"), (2, "both seeds (dots)")])
def test_few_seeds_have_no_interval_and_no_verdict(seeds, words):
    _, figure = drawn(trials_of(WORTH, seeds))
    (axes,) = figure.axes
    assert any(words in text.get_text() for text in figure.texts)
    assert len(axes.lines) == 1 + 3 * seeds  # zero; a marker per row, and of two seeds their dots
    texts = [text for _, text in columns_of(axes)]
    assert "Holm p" not in texts
    assert len(texts) == 1 + 3
    assert flaws(figure) == []


def test_replicates_of_folds_are_means_of_their_seeds():
    trials = trials_of({"random": 0.7, "el2n": 0.8}, seeds=2, folds=3)
    trials["folds"] = 3
    table, figure = drawn(trials, replicates="folds")
    found = pair_differences(trials, table)
    assert list(found["replicate"]) == [0, 1, 2]
    differences = trials.pivot_table(index=["fold", "seed"], columns="strategy", values="test_accuracy")
    expected = (differences["el2n"] - differences["random"]).groupby("fold").mean()
    assert found["difference"].tolist() == pytest.approx(expected.tolist())
    assert found["difference"].mean() == pytest.approx(table["difference"].iloc[0])
    assert any("dots: single folds" in text.get_text() for text in figure.texts)


def test_a_panel_is_a_baseline_and_all_have_one_scale():
    trials = pd.concat(
        [trials_of(WORTH), trials_of({"all": 0.9, "infobatch": 0.85}).assign(budget_kind="none", budget=400)]
    )
    _, figure = drawn(trials)
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert titles == ["compared with random", "compared with all"]
    assert len({axes.get_xlim() for axes in figure.axes}) == 1
    assert figure.axes[0].get_xlabel() == ""
    assert figure.axes[1].get_xlabel() == "paired difference to the baseline, points (right of 0: better)"


def test_of_a_loss_the_lowest_is_on_top_and_left_of_0_is_better():
    _, figure = drawn(trials_of(WORTH, metric="loss"), "loss")
    (axes,) = figure.axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["perplexity 40", "k_center 40", "el2n 40"]
    assert axes.get_xlabel().endswith("(left of 0: better)")


@pytest.mark.long
@pytest.mark.slow
def test_of_many_comparisons_those_with_the_largest_differences_are_drawn():
    names = {f"confidence(measure=margin, window=[0.{i}, 0.9], drop_hardest=0.1)": 0.7 + 0.002 * i for i in range(31)}
    _, figure = drawn(trials_of({"random": 0.7} | names, seeds=3, budgets=(40, 80, 160)))
    (axes,) = figure.axes
    assert len(axes.get_yticklabels()) == MOST_ROWS
    assert any(f"{MOST_ROWS} of 93 comparisons" in text.get_text() for text in figure.texts)
    assert flaws(figure) == []


def test_nothing_compared_is_nothing_drawn():
    trials = trials_of({"el2n": 0.7})
    assert drawn(trials)[1] is None
