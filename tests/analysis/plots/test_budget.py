"""Quality against budget as a picture: points where the means are, whiskers where their intervals are, the key's numbers."""

import numpy as np
import pytest

from raybert.analysis import load_sweep, plots
from raybert.analysis.plots.strategy_styles import styles_of
from raybert.analysis.statistics.pareto import front_of
from raybert.analysis.statistics.scales import Scale
from tests.analysis.folders import make_spec, write_plan, write_result
from tests.analysis.plots.layout import flaws

pytestmark = pytest.mark.slow
BUDGETS = (20, 40, 160)
NAMES = ("random", "all", "el2n", "k_center")


def write_budgets(folder, names=NAMES, points=({},), seeds=3, budgets=BUDGETS):
    """A sweep over budgets: every seed one point better, every budget two, every strategy three."""
    runs = []
    for rank, name in enumerate(names):
        for place, point in enumerate(points):
            for number, budget in enumerate((400,) if name == "all" else budgets):
                for seed in range(seeds):
                    value = 0.5 + 0.03 * rank + 0.02 * number + 0.01 * seed * (1 + (rank + number) % 2) + 0.001 * place
                    grid = dict(point) if name == "all" else {"selection.budget": budget, **point}
                    runs.append((make_spec(name, seed, budget, grid=grid), value))
    write_plan(folder, [spec for spec, _ in runs])
    for spec, value in runs:
        write_result(folder, spec, value, examples_seen=1000 * (1 + names.index(spec["strategy"])) + spec["budget"])
    return load_sweep(folder)


def points_of(axes):
    """What is drawn in one piece with a marker: colour -> (places, heights)."""
    return {
        line.get_markeredgecolor(): (np.exp(line.get_xdata()), line.get_ydata())
        for line in axes.lines
        if line.get_marker() not in ("None", None)
    }


@pytest.fixture(scope="module")
def sweep(tmp_path_factory):
    return write_budgets(tmp_path_factory.mktemp("budgets") / "sweep")


def test_means_stand_near_their_budget_and_intervals_around_them(sweep):
    figure = plots.draw_budget(sweep)
    panel, _ = figure.axes
    rows, found, styles = sweep.summary(), points_of(panel), styles_of(sweep)
    whiskers = {tuple(line.get_ydata()) for line in panel.lines if len(line.get_xdata()) == 2}
    for name in NAMES:
        own = rows[rows["strategy"] == name].sort_values("budget")
        x, y = found[styles[name].colour]
        np.testing.assert_allclose(y, own["test_accuracy_mean"])
        assert [min((*BUDGETS, 400), key=lambda budget: abs(np.log(budget / place))) for place in x] == [*own["budget"]]
        assert set(zip(own["test_accuracy_low"], own["test_accuracy_high"], strict=True)) <= whiskers
    labels = [label.get_text() for label in panel.get_xticklabels()]
    assert labels == ["20", "40", "160", "400\nwhole pool"]
    assert flaws(figure) == []


def test_the_key_has_the_heights_of_the_table_the_best_first(sweep):
    _, key = plots.draw_budget(sweep).axes
    texts = [text.get_text() for text in key.texts]
    names = [text for text in texts if text in NAMES]
    areas = sweep.budget_curve().set_index("strategy")
    whole = sweep.summary().set_index("strategy").loc["all", "test_accuracy_mean"]
    height = {**areas["area"].to_dict(), "all": whole}
    assert names == sorted(NAMES, key=lambda name: -height[name])
    scale = Scale("accuracy")
    row = areas.loc["el2n"]
    assert f"{scale.value(row['area'])} [{scale.value(row['area_low'])}, {scale.value(row['area_high'])}]" in texts
    assert any(text.startswith(scale.difference(row["difference"])) for text in texts)
    assert {"mean height [95 %]", "to random [95 %]"} <= set(texts)


def test_two_seeds_have_no_interval_in_the_key(tmp_path):
    figure = plots.draw_budget(write_budgets(tmp_path / "sweep", seeds=2))
    assert {"mean height", "to random"} <= {text.get_text() for text in figure.axes[-1].texts}
    assert flaws(figure) == []


def test_the_cost_plot_has_the_front_of_the_table_and_rings_around_what_is_sure(sweep):
    front = front_of(sweep.pareto())
    axes = plots.draw_cost(sweep).axes[0]
    steps = [line for line in axes.lines if line.get_drawstyle() == "steps-post"]
    assert [(list(line.get_xdata()), list(line.get_ydata())) for line in steps] == [
        (list(front["spent"]), list(front["mean"]))
    ]
    sure = front[front["place"] == "front"]
    assert 0 < len(sure) < len(front)
    np.testing.assert_allclose(axes.collections[0].get_offsets(), sure[["spent", "mean"]])


def test_one_budget_is_no_picture(tmp_path):
    assert plots.draw_budget(write_budgets(tmp_path / "sweep", budgets=(40,))) is None


def test_before_any_strategy_with_a_budget_has_finished_there_is_no_picture(tmp_path):
    assert plots.draw_budget(write_budgets(tmp_path, names=("all",))) is None


def test_a_grid_has_a_panel_a_point_and_crowds_and_long_names_fit(tmp_path):
    long = [f"confidence(measure=margin, direction=hard, window=[0.{i}, 0.9])" for i in range(10)]
    points = [{"train.learning_rate": 10.0**-i} for i in range(1, 3)]
    names = ("random", "all", *long)
    figure = plots.draw_budget(write_budgets(tmp_path / "sweep", names, points, seeds=1, budgets=(20, 40)))
    assert [axes.get_title(loc="left") for axes in figure.axes[:-1]] == [
        "learning_rate 0.1",
        "learning_rate 0.01",
    ]
    assert "2 others" in [text.get_text() for text in figure.axes[-1].texts]
    assert flaws(figure) == []
