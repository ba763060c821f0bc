import json
import warnings

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text

from raybert.analysis import load_sweep, overlap_table, plots, publish_results
from raybert.analysis.plots.labels import label_points
from raybert.analysis.plots.lines import what_bands_are
from raybert.analysis.plots.selected import order_by_agreement
from raybert.analysis.plots.strategy_styles import blend, styles_of
from raybert.analysis.plots.style import short_name
from raybert.analysis.results.embeddings import stored_embeddings
from raybert.analysis.statistics.projection import project
from raybert.analysis.statistics.subsets import class_shares, first_of_each, length_quantiles
from raybert.errors import SweepError
from raybert.selection.store import ScoreStore, SignalRef
from tests.analysis.folders import FAMILIES, STRATEGIES, make_spec, write_plan, write_result, write_sample_sweep
from tests.analysis.plots.layout import flaws

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def sweep(tmp_path_factory):
    return load_sweep(write_sample_sweep(tmp_path_factory.mktemp("sample") / "sweep", budgets=(40, 80, 160)))


def drawn(figure):
    """Render a figure: matplotlib warns where it cannot lay it out."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure.draw_without_rendering()
    return figure


def names_at(axis):
    return [label.get_text() for label in axis.get_ticklabels()]


def legend_of(figure):
    (legend,) = figure.legends
    return [text.get_text() for text in legend.get_texts()]


def markers(axes):
    """(x, y, marker) of every point that is drawn alone."""
    return {
        (round(float(line.get_xdata()[0]), 9), round(float(line.get_ydata()[0]), 9)): line.get_marker()
        for line in axes.lines
        if len(line.get_xdata()) == 1 and line.get_marker() != "|"  # the caps of an interval
    }


def overlapping(boxes):
    return [(i, j) for i, a in enumerate(boxes) for j, b in enumerate(boxes[:i]) if a.overlaps(b)]


def text_boxes(axes):
    """Where the names are, without the lines that lead to their points."""
    return [Text.get_window_extent(label) for label in axes.texts]


def test_accuracy_has_a_row_per_strategy_and_its_means_in_order(sweep):
    (axes,) = drawn(plots.draw_accuracy(sweep)).axes
    names = [name.partition("  (")[0] for name in names_at(axes.yaxis)]
    assert sorted(names) == sorted([*STRATEGIES, "all", "infobatch", "loss_threshold", "proxy"])
    best = sweep.summary().groupby("strategy")["test_accuracy_mean"].max()
    assert names == list(best.sort_values().index)
    points = markers(axes)
    for row in sweep.summary().to_dict("records"):
        at_row = [y for x, y in points if np.isclose(x, row["test_accuracy_mean"])]
        assert any(abs(y - names.index(row["strategy"])) < 0.5 for y in at_row)


def test_a_strategy_has_its_colour_and_marker_in_every_picture(sweep):
    styles = styles_of(sweep)
    (accuracy,) = drawn(plots.draw_accuracy(sweep)).axes
    names = [name.partition("  (")[0] for name in names_at(accuracy.yaxis)]
    for line in accuracy.lines:
        if len(line.get_xdata()) == 1 and line.get_alpha() is None and line.get_marker() != "|":
            style = styles[names[round(float(line.get_ydata()[0]))]]
            assert (line.get_markeredgecolor(), line.get_marker()) == (style.colour, style.marker)
    looks = {(style.colour, style.marker) for style in styles.values()}
    for axes in drawn(plots.draw_cost(sweep)).axes:
        points = {(line.get_markeredgecolor(), line.get_marker()) for line in axes.lines if len(line.get_xdata()) == 1}
        assert points == looks
    for figure in (plots.draw_learning_curves(sweep), plots.draw_per_pass(sweep), *pair_of(sweep, "random", "el2n")):
        for line in figure.legends[0].get_lines():
            if line.get_label() in styles:
                style = styles[line.get_label()]
                assert (line.get_color(), line.get_marker()) == (style.colour, style.marker)
    lengths = length_quantiles(sweep.subsets(), sweep.pool()["length"].to_numpy())
    (axes,) = drawn(plots.draw_lengths(lengths, styles)).axes
    names = names_at(axes.yaxis)
    points = {
        (names[round(float(line.get_ydata()[0]))], line.get_marker())
        for line in axes.lines
        if len(line.get_xdata()) == 1
    }
    assert points == {(name, styles[name].marker) for name in names}


def test_what_lines_show_says_where_they_end():
    table = pd.DataFrame({"configuration": ["a", "a", "b"], "num_replicates": [3, 3, 3]})
    assert what_bands_are(table, "seeds") == "lines: means over 3 seeds; bands: 95 % t intervals"
    fewer = table.assign(num_replicates=[3, 2, 3])
    assert what_bands_are(fewer, "folds").endswith("; a line ends with the first of its folds")


def pair_of(sweep, *names):
    return [plots.draw_pair(sweep, sweep.pair(*names))]


def test_accuracy_tells_budgets_by_place_and_fill(sweep):
    figure = drawn(plots.draw_accuracy(sweep))
    assert legend_of(figure) == ["budget 40", "budget 80", "budget 160", "mean of random", "mean of all"]
    (axes,) = figure.axes
    names = names_at(axes.yaxis)
    assert {"all  (whole pool)", "random_epoch  (anew in every pass)", "el2n", "proxy"} <= set(names)
    row = names.index("random_epoch  (anew in every pass)")
    points = [line for line in axes.lines if len(line.get_xdata()) == 1 and line.get_marker() == "P"]
    heights = [float(line.get_ydata()[0]) for line in points]
    assert heights == pytest.approx([row - 0.25, row, row + 0.25])
    assert [line.get_markerfacecolor() for line in points] == ["#ffffff", blend("#9c9c9c", 0.5), "#9c9c9c"]
    boxes = [label.get_window_extent() for label in axes.get_yticklabels()]
    assert overlapping(boxes) == []


def test_cost_is_training_selection_and_signals_with_one_name_per_strategy(sweep):
    examples, seconds = drawn(plots.draw_cost(sweep)).axes
    trials = sweep.trials[(sweep.trials["strategy"] == "perplexity") & (sweep.trials["budget"] == 160)]
    spent = {
        examples: 3 * (trials["examples_seen"] + 32 * 375) + trials["examples_scored"],  # a proxy takes 375 steps
        seconds: trials[["train_seconds", "selection_seconds", "signal_seconds"]].sum(axis=1),
    }
    for axes, cost in spent.items():
        labels = {text.get_text(): text.xy for text in axes.texts}
        assert set(labels) == set(sweep.summary()["strategy"])
        assert labels["perplexity"] == pytest.approx((cost.mean(), trials["test_accuracy"].mean()))
    assert (examples.get_xscale(), seconds.get_xscale()) == ("linear", "log")


def test_names_beside_points_do_not_cover_each_other(sweep):
    for axes in drawn(plots.draw_cost(sweep)).axes:
        assert overlapping(text_boxes(axes)) == []


def test_crowded_names_stay_inside_the_axes():
    figure = Figure(figsize=(6, 5))
    axes = figure.subplots()
    points = [(0.5 + 0.001 * i, 0.5 + 0.0015 * i) for i in range(20)]
    axes.plot(*zip(*points, strict=True), "o")
    axes.set(xlim=(0, 1), ylim=(0, 1))
    label_points(axes, points, [f"strategy_{i}" for i in range(20)])
    drawn(figure)
    boxes = text_boxes(axes)
    assert overlapping(boxes) == []
    frame = axes.get_window_extent()
    assert all(frame.x0 <= box.x0 and box.x1 <= frame.x1 and frame.y0 <= box.y0 <= frame.y1 for box in boxes)


def test_equal_passes_share_a_line(sweep):
    figure = drawn(plots.draw_samples_per_pass(sweep))
    (axes,) = figure.axes
    assert len(axes.lines) == 5  # three budgets, all, and the two that shrink alike
    assert legend_of(figure)[0] == "budget 40: random, random_stratified and 23 more"
    assert set(axes.lines[0].get_ydata()) == {40}
    assert legend_of(figure)[-1] == "infobatch, loss_threshold"


def test_learning_curves_name_the_controls_and_the_best_for_all_panels(sweep):
    figure = drawn(plots.draw_learning_curves(sweep))
    panels = {axes.get_title(loc="left"): axes for axes in figure.axes if axes.get_visible()}
    assert list(panels) == ["budget 40", "budget 80", "budget 160", "no budget: 400"]
    names = legend_of(figure)
    final = sweep.evaluations[sweep.evaluations["evaluation"] == 9]
    ends = final.groupby(["strategy", "budget"])["validation_accuracy"].mean().groupby("strategy").max()
    ranked = ends.drop(["random", "random_epoch", "all", "proxy", "proxy_fold"], errors="ignore").sort_values()
    assert {*names[:-1]} == {"random", "random_epoch", "all", *ranked.index[-8:]}
    assert names[-1] == f"{len(ranked) - 8} others"
    assert len(panels["budget 40"].lines) == len(STRATEGIES)


def test_learning_curves_have_bands_of_95_percent_over_seeds(sweep):
    axes = next(axes for axes in plots.draw_learning_curves(sweep).axes if axes.get_title(loc="left") == "budget 40")
    ends = sweep.trials[(sweep.trials["strategy"] == "random") & (sweep.trials["budget"] == 40)]["trial_id"]
    last = sweep.evaluations[sweep.evaluations["trial_id"].isin(ends) & (sweep.evaluations["evaluation"] == 9)]
    row = sweep.per_pass[(sweep.per_pass["strategy"] == "random") & (sweep.per_pass["budget"] == 40)].iloc[-1]
    (line,) = [line for line in axes.lines if line.get_marker() == "X"]
    assert line.get_ydata()[-1] == pytest.approx(last["validation_accuracy"].mean())
    bands = [band.get_paths()[0].vertices for band in axes.collections if band.get_facecolor()[0][:3].max() == 0]
    at_the_end = {round(float(y), 9) for x, y in bands[0] if x == row["examples_seen_mean"]}
    assert {round(row["validation_accuracy_low"], 9), round(row["validation_accuracy_high"], 9)} <= at_the_end


def test_overlap_holds_jaccard_below_and_spearman_above(sweep):
    table = overlap_table(sweep.agreement)
    figure = drawn(plots.draw_overlap(table))
    axes = figure.axes[0]
    assert axes.get_title(loc="left") == "40 of 400 examples; by chance Jaccard is 5 %"
    names = names_at(axes.yaxis)
    assert names == names_at(axes.xaxis)
    assert sorted(names) == sorted(STRATEGIES)
    texts = {tuple(map(int, text.get_position())): text.get_text() for text in axes.texts}
    for row in table[table["budget"] == 40].to_dict("records"):
        low, high = sorted((names.index(row["strategy_a"]), names.index(row["strategy_b"])))
        assert texts[low, high] == str(round(100 * row["jaccard"]))  # column left of the row: below
        assert texts.get((high, low)) == (None if np.isnan(row["spearman"]) else str(round(100 * row["spearman"])))


def test_families_stand_together(sweep):
    order = order_by_agreement(overlap_table(sweep.agreement))
    for family in ("errors", "doubt", "text"):
        places = sorted(order.index(name) for name in FAMILIES[family])
        assert places == list(range(places[0], places[0] + len(places)))


def test_overlap_without_scores_has_no_second_scale(sweep):
    table = overlap_table(sweep.agreement).assign(spearman=np.nan)
    labels = [axes.get_xlabel() for axes in drawn(plots.draw_overlap(table)).axes]
    assert [label for label in labels if label] == ["below: Jaccard of the sets, %"]


def test_class_shares_are_written_into_the_cells(sweep):
    pool = sweep.pool()
    shares = class_shares(sweep.subsets(), pool["label"].to_numpy(), sweep.label_names)
    axes = drawn(plots.draw_classes(shares)).axes[0]
    rows, columns = names_at(axes.yaxis), names_at(axes.xaxis)
    assert columns == ["class_0", "class_1", "class_2"]
    assert rows[-1] == "(pool)"
    texts = {tuple(map(int, text.get_position())): text.get_text() for text in axes.texts}
    by_hand = pool["label"].eq(0).mean()
    assert texts[0, len(rows) - 1] == f"{100 * by_hand:.0f}"
    row = shares[(shares["strategy"] == "el2n") & (shares["budget"] == 40)].iloc[0]
    assert texts[0, rows.index("el2n")] == f"{100 * row['share']:.0f}"
    (image,) = axes.images
    assert image.get_array()[rows.index("el2n"), 0] == pytest.approx(row["log2_ratio"])


def test_many_classes_are_cut_to_the_most_frequent(tmp_path):
    shares = np.arange(60, 0, -1) / np.arange(60, 0, -1).sum()
    sweep = load_sweep(
        write_sample_sweep(tmp_path / "sweep", ("random", "el2n"), (200,), pool=2000, class_shares=shares)
    )
    table = class_shares(sweep.subsets(), sweep.pool()["label"].to_numpy(), sweep.label_names)
    figure = drawn(plots.draw_classes(table))
    assert len(names_at(figure.axes[0].xaxis)) == 40
    number = sweep.pool()["label"].nunique()
    assert f"(40 most frequent of {number} classes)" in figure.get_suptitle()


def test_lengths_are_sorted_by_median_beside_the_pool(sweep):
    quantiles = length_quantiles(sweep.subsets(), sweep.pool()["length"].to_numpy())
    (axes,) = drawn(plots.draw_lengths(quantiles)).axes
    names = names_at(axes.yaxis)
    limited = quantiles[quantiles["budget"] == 160].set_index("strategy")["q50"]
    medians = [limited[name] for name in names if name in limited]
    assert medians == sorted(medians)
    assert axes.patches[1].get_x() == quantiles.loc[0, "q25"]
    assert "all" not in names


def test_lengths_that_are_all_the_same_are_drawn_and_said(sweep):
    pool = np.full(len(sweep.pool()), 64)
    (axes,) = drawn(plots.draw_lengths(length_quantiles(sweep.subsets(), pool))).axes
    low, high = axes.get_xlim()
    assert (low, high > 64) == (0, True)
    assert "64 of nearly all" in axes.get_xlabel()
    dots = [line for line in axes.lines if len(line.get_xdata()) == 1]
    assert len(dots) >= len(names_at(axes.yaxis)) > 1
    assert {float(line.get_xdata()[0]) for line in dots} == {64.0}


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.parametrize("budgets", [(40,), (40, 80)])
def test_one_seed_and_one_strategy_are_drawn_without_intervals(tmp_path, budgets):
    sweep = load_sweep(write_sample_sweep(tmp_path / "sweep", ("el2n",), budgets, seeds=1))
    for draw in (plots.draw_accuracy, plots.draw_cost, plots.draw_samples_per_pass, plots.draw_learning_curves):
        drawn(draw(sweep))
    assert "mean of random" not in legend_of(plots.draw_accuracy(sweep))


def test_equal_costs_keep_a_linear_axis(tmp_path):
    folder = write_plan(tmp_path, [make_spec("a"), make_spec("b")])
    for name in "ab":
        write_result(folder, make_spec(name), 0.8)
    examples, seconds = drawn(plots.draw_cost(load_sweep(folder))).axes
    for axes, cost in ((examples, 3 * 1280 + 400), (seconds, 11.0)):
        assert axes.get_xscale() == "linear"
        assert [text.xy for text in axes.texts] == [(cost, 0.8)] * 2


def store_embeddings(sweep, embeddings, trial_id):
    """Put embeddings into the sweep's own score store, as read by a trial."""
    key = "0123456789abcdef0123"
    store = ScoreStore(sweep.folder / "signals")
    store.begin(key, {"scorer": "embeddings", "encoder": "x", "pooling": "mean"})
    store.write_block(key, 0, np.arange(len(embeddings)), {"embeddings": embeddings})
    store.finish(key, 1, len(embeddings))
    signals = [SignalRef(store, key, 1.0, 1.0, len(embeddings)).to_json()]
    (sweep.folder / "trials" / trial_id / "spec.json").write_text(json.dumps({"signals": signals}))


@pytest.mark.long
@pytest.mark.slow
def test_every_strategy_has_a_panel_of_the_same_projection_with_what_it_chose(tmp_path):
    sweep = load_sweep(write_sample_sweep(tmp_path / "sweep", budgets=(40,)))
    assert stored_embeddings(sweep) is None
    pool, subsets = sweep.pool(), list(sweep.subsets())
    embeddings = np.random.default_rng(0).normal(size=(len(pool), 8)).astype(np.float32)
    store_embeddings(sweep, embeddings, sweep.comparable_trials()["trial_id"].iloc[0])
    np.testing.assert_array_equal(stored_embeddings(sweep), embeddings)
    shown = first_of_each(subsets)
    projection = project(embeddings)
    labels = pool["label"].to_numpy()
    figure = plots.draw_embeddings(projection, labels, sweep.label_names, shown)
    assert flaws(figure) == []
    panels = [axes for axes in figure.axes if axes.get_visible()]
    assert len(panels) == min(24, len(shown) + 1)
    for axes, subset in zip(panels[1:], shown, strict=False):
        assert axes.get_title(loc="left").startswith(short_name(subset.strategy, 26))
        drawn_points = np.concatenate([np.asarray(part.get_offsets()) for part in axes.collections[1:]])
        expected = projection.points[subset.chosen]
        assert sorted(map(tuple, drawn_points.tolist())) == sorted(map(tuple, expected.tolist()))
    publish_results(sweep.folder)
    assert (sweep.folder / "plots" / "embeddings.png").is_file()


@pytest.mark.long
@pytest.mark.slow
def test_a_projection_that_is_asked_for_needs_embeddings(tmp_path):
    folder = write_sample_sweep(tmp_path / "sweep", budgets=(40,))
    with pytest.raises(SweepError, match="has no embeddings to project by pca: no finished trial"):
        publish_results(folder, projection="pca")
