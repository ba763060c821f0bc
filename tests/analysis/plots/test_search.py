from types import SimpleNamespace

import optuna
import pandas as pd
import pytest
from matplotlib.colors import to_hex
from optuna.distributions import FloatDistribution

from raybert.analysis import plots
from raybert.analysis.plots.search import STATE_COLOURS
from raybert.analysis.plots.strategy_styles import strategy_styles
from raybert.analysis.plots.style import short_name
from raybert.analysis.search.search import make_search
from raybert.analysis.search.studies import read_arms
from tests.analysis.plots.test_plots import drawn, legend_of, names_at
from tests.analysis.studies import RATE, suggestion, write_arm, write_sample_search

pytestmark = pytest.mark.slow

optuna.logging.set_verbosity(optuna.logging.WARNING)
NO_TRIALS = pd.DataFrame({"status": [], "role": []})
LONG = ["confidence(measure=margin, quota=0.5, direction=hard)", "confidence(measure=entropy, quota=0.5)"]
DRAW = {
    "history": plots.draw_search_history,
    "cost": plots.draw_search_cost,
    "slices": plots.draw_search_slices,
    "parallel": plots.draw_search_parallel,
    "importances": plots.draw_importances,
    "best_values": plots.draw_best_values,
}


def sample(folder, strategies, **more):
    storage = optuna.storages.InMemoryStorage()
    write_sample_search(folder, strategies, storage=storage, **more)
    return make_search(read_arms(storage), NO_TRIALS)


def search_of(folder, trials):
    storage = optuna.storages.InMemoryStorage()
    write_arm(folder, "a", trials, storage=storage)
    return make_search(read_arms(storage), NO_TRIALS)


@pytest.fixture(scope="module")
def three(tmp_path_factory):
    return sample(tmp_path_factory.mktemp("three"), ["all", "random", "el2n"], num_parameters=4)


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    names = [*LONG, *(f"strategy_{i}" for i in range(10))]
    return sample(tmp_path_factory.mktemp("many"), names, num_parameters=7, num_suggestions=14)


def visible(figure):
    return [axes for axes in figure.axes if axes.get_visible()]


PANELS = {"history": 12, "cost": 2, "slices": 8, "parallel": 2, "importances": 2, "best_values": 6}
"""Of twelve strategies and eight parameters, two of them choices or of one strategy; a scale of colours is one."""


@pytest.mark.parametrize("name", DRAW)
def test_every_plot_of_many_long_names_can_be_laid_out(many, name):
    figure = drawn(DRAW[name](many))
    assert len(visible(figure)) == PANELS[name]


@pytest.mark.parametrize("name", DRAW)
def test_one_strategy_and_one_parameter_are_drawn(tmp_path, name):
    search = sample(tmp_path, ["random"], num_parameters=1, seeds=1, conditional=False)
    figure = drawn(DRAW[name](search))
    assert len(visible(figure)) == (2 if PANELS[name] == 2 else 1)


@pytest.mark.parametrize("name", ["slices", "parallel", "importances", "best_values"])
def test_nothing_complete_is_not_drawn(tmp_path, name):
    search = search_of(tmp_path, [suggestion({RATE: 1e-3}, [0.5], "pruned")])
    assert DRAW[name](search) is None


@pytest.mark.parametrize("name", ["history", "cost"])
def test_a_search_without_anything_complete_shows_what_became_of_it(tmp_path, name):
    search = search_of(tmp_path, [suggestion({RATE: 1e-3}, [0.5], "pruned")])
    axes = drawn(DRAW[name](search)).axes[0]
    pruned = STATE_COLOURS["pruned"]
    ticks = [line.get_xdata().tolist() for line in axes.lines if line.get_color() == pruned]
    bars = [bar.get_width() for bar in axes.patches if to_hex(bar.get_facecolor()) == to_hex(pruned)]
    assert (ticks, bars) == (([[0]], []) if name == "history" else ([], [1]))


def test_history_has_a_panel_per_arm_with_its_best_so_far(three):
    figure = drawn(plots.draw_search_history(three))
    panels = {axes.get_title(loc="left"): axes for axes in visible(figure)}
    assert list(panels) == ["all", "random", "el2n"]
    for name, axes in panels.items():
        history = three.history[three.history["arm"] == name]
        (best,) = [line for line in axes.lines if line.get_color() == "#000000" and line.get_linewidth() == 1.6]
        assert list(best.get_xdata()) == history["number"].tolist()
        pd.testing.assert_series_equal(
            pd.Series(best.get_ydata()), history["best_value"].reset_index(drop=True), check_names=False
        )
    assert legend_of(figure) == [
        "best so far (in the colour of the strategy)",
        "other strategies",
        "complete (triangle: off the axis)",
        "pruned",
        "failed",
    ]


def test_what_diverged_is_a_triangle_at_the_edge(tmp_path):
    values = [0.8, 0.81, 0.82, 0.83, 0.84, 0.85, 0.86, 0.87, 0.88, 0.89, 0.05]
    search = search_of(tmp_path, [suggestion({RATE: 1e-3}, [value]) for value in values])
    (axes,) = drawn(plots.draw_search_history(search)).axes
    assert axes.get_ylim()[0] > 0.7
    (mark,) = [line for line in axes.lines if line.get_marker() == "v"]
    assert (mark.get_xdata()[0], mark.get_ydata()[0]) == (10, axes.get_ylim()[0])


def test_cost_bars_are_the_counts_and_examples_of_the_table(three):
    left, right = drawn(plots.draw_search_cost(three)).axes
    assert names_at(left.yaxis) == ["all", "random", "el2n"]
    totals = [sum(bar.get_width() for bar in left.patches if round(bar.get_y() + 0.35) == y) for y in range(3)]
    assert totals == [20, 20, 20]
    spent = [sum(bar.get_width() for bar in right.patches if round(bar.get_y() + 0.35) == y) for y in range(3)]
    assert spent == three.pruning["examples_seen"].tolist()
    words = [f"{100 * share:.0f} %" for share in three.pruning["full_cost_fraction"]]
    assert [text.get_text().strip() for text in right.texts] == words


def test_slices_have_the_scale_of_the_space_and_all_complete_values(three):
    figure = drawn(plots.draw_search_slices(three))
    panels = {axes.get_xlabel(): axes for axes in visible(figure)}
    assert list(panels)[:4] == ["learning_rate", "weight_decay", "schedule", "batch_size"]
    assert "temperature (random)" in panels
    assert [panels[name].get_xscale() for name in ("learning_rate", "weight_decay")] == ["log", "linear"]
    assert names_at(panels["schedule"].xaxis) == ["linear", "cosine", "constant"]
    low, high = panels["learning_rate"].get_xlim()
    assert low < 1e-5 < 1e-2 < high
    points = [line for line in panels["learning_rate"].lines if line.get_markersize() == 3]
    assert sum(len(line.get_xdata()) for line in points) == (three.suggestions["state"] == "complete").sum()
    assert legend_of(figure) == ["all", "random", "el2n"]


def test_slices_are_in_the_colours_that_strategies_have_everywhere(three):
    styles = strategy_styles(["k_center", "el2n", "random", "all"])
    figure = drawn(plots.draw_search_slices(three, styles))
    entries = figure.legends[0].get_lines()
    assert {line.get_label(): line.get_color() for line in entries if line.get_label() in styles} == {
        name: styles[name].colour for name in ("all", "random", "el2n")
    }


def test_of_many_arms_the_best_are_in_colour(many):
    figure = drawn(plots.draw_search_slices(many))
    best = many.best.sort_values("value", ascending=False)["strategy"].head(7)
    assert sorted(legend_of(figure)) == sorted([*map(short_name, best), "5 others"])


def test_a_line_runs_through_every_shared_parameter_to_the_value(three):
    figure = drawn(plots.draw_search_parallel(three))
    axes = figure.axes[0]
    names = [label.get_text().replace("\n", "") for label in axes.get_xticklabels()]
    assert names == ["learning_rate", "weight_decay", "schedule", "batch_size", "final_fraction", "accuracy"]
    (lines,) = [collection for collection in axes.collections if len(collection.get_segments()) > 30]
    segments = lines.get_segments()
    complete = three.suggestions[three.suggestions["state"] == "complete"]
    assert len(segments) == len(complete)
    missing = sum(segment[4][1] < 0 for segment in segments)
    assert missing == complete["train.final_fraction"].isna().sum()
    assert "not set" in [text.get_text() for text in axes.texts]


def test_importances_of_all_strategies_alone_fill_the_figure_and_are_grey_where_not_predicted(three):
    table = three.importances
    alone = table[table["strategy"] == "(overall)"]
    for p, colour in ((0.01, plots.style.INK), (0.5, plots.search.LIGHT)):
        figure = drawn(plots.draw_importances(SimpleNamespace(importances=alone.assign(p=p))))
        (bars,) = figure.axes
        assert {to_hex(bar.get_facecolor()) for bar in bars.patches} == {colour.lower()}
        assert sum(bar.get_width() for bar in bars.patches) == pytest.approx(alone["importance"].sum())


def test_importances_are_written_into_cells_grey_where_not_predicted(three):
    bars, cells = drawn(plots.draw_importances(three)).axes
    table = three.importances.dropna(subset="importance")
    overall = table[table["strategy"] == "(overall)"]
    assert names_at(bars.yaxis)[0] == overall["parameter"].iloc[0].rpartition(".")[2]
    assert [bar.get_width() for bar in bars.patches][: len(overall)] == overall["importance"].tolist()
    assert names_at(cells.xaxis) == ["all", "random", "el2n"]
    for text in cells.texts:
        strategy, name = (
            ["all", "random", "el2n"][int(text.get_position()[0])],
            names_at(bars.yaxis)[int(text.get_position()[1])],
        )
        rows = table[(table["strategy"] == strategy) & table["parameter"].str.endswith(name.split(" ")[0])]
        assert text.get_text() in {f"{100 * share:.0f}" for share in rows["importance"]}
        assert (text.get_color() == "#8a8a8a") == (rows["p"].min() > 0.05)


def test_best_values_stand_in_their_ranges(three):
    figure = drawn(plots.draw_best_values(three))
    panels = {axes.get_xlabel(): axes for axes in visible(figure)}
    assert list(panels)[:3] == ["learning_rate", "weight_decay", "batch_size"]
    near = three.near_best[three.near_best["parameter"] == RATE]
    thin, thick, dots = (
        [line.get_xdata() for line in panels["learning_rate"].lines if test(line)]
        for test in (
            lambda line: line.get_linewidth() == 1 and len(line.get_xdata()) == 2,
            lambda line: line.get_linewidth() == 3.5,
            lambda line: line.get_marker() == "o",
        )
    )
    assert [tuple(ends) for ends in thick] == list(zip(near["low"], near["high"], strict=True))
    assert [tuple(ends) for ends in thin] == list(zip(near["tried_below"], near["tried_above"], strict=True))
    assert [dot[0] for dot in dots] == near["best"].tolist()
    assert names_at(panels["learning_rate"].yaxis) == ["all", "random", "el2n"]


def test_the_same_parameter_name_in_two_sections_is_written_out(tmp_path):
    space = {key: FloatDistribution(0, 1) for key in ("train.dropout", "model.dropout", "train.x")}
    trials = [suggestion(dict.fromkeys(space, x), [x], space=space) for x in (0.1, 0.5)]
    search = search_of(tmp_path, trials)
    figure = drawn(plots.draw_search_slices(search))
    assert [axes.get_xlabel() for axes in visible(figure)] == ["train.dropout", "model.dropout", "x"]
