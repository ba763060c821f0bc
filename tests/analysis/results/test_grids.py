"""A grid: every configuration is a row, a curve and a name, nothing is a mean over grid points, one is best."""

import io

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from raybert.analysis import load_sweep, overlap_table, plots, publish_results, verdict_sentences
from raybert.analysis.statistics.configurations import Configurations
from raybert.errors import SweepError
from raybert.terminal.comparison import summary_table
from tests.analysis.folders import (
    make_spec,
    write_evaluations,
    write_grid_sweep,
    write_plan,
    write_resolved,
    write_result,
    write_sample_sweep,
    write_selection,
)
from tests.analysis.plots.test_plots import drawn, legend_of, names_at

RATES = [{"train.learning_rate": 1e-5}, {"train.learning_rate": 3e-3}]
LOSSES = [
    {},
    {"name": "focal"},
    {"name": "focal", "gamma": 1.0},
    {"class_weights": "inverse"},
    {"label_smoothing": 0.1},
    {"name": "bce"},
    {"name": "own_parts:squared"},
]
LOSS_NAMES = [
    "default",
    "focal",
    "focal(gamma=1)",
    "class_weights=inverse",
    "label_smoothing=0.1",
    "bce",
    "own_parts:squared",
]
SPREAD = np.array([-0.01, 0.0, 0.02])


def rates_sweep(folder, strategies=("random", "el2n")):
    """Two learning rates: el2n is 5 points above random at the small one, and 5 below at the large one."""
    means = {("random", 0): 0.10, ("el2n", 0): 0.15, ("random", 1): 0.80, ("el2n", 1): 0.75, ("all", 0): 0.3}
    means["all", 1] = 0.9
    own = {"random": SPREAD, "el2n": SPREAD + np.array([0.001, 0, -0.001]), "all": SPREAD}
    folder = write_grid_sweep(folder, strategies, RATES, lambda name, point: means[name, point] + own[name])
    return load_sweep(folder)


def table_rows(sweep):
    shown = sweep.comparison()
    return [dict(zip(shown.columns, row.cells, strict=False)) for row in shown.rows]


def printed(sweep, width):
    console = Console(file=io.StringIO(), width=width)
    console.print(summary_table(sweep))
    return console.file.getvalue()


def test_every_configuration_is_a_row_with_its_grid_value(tmp_path):
    rows = table_rows(rates_sweep(tmp_path))
    found = [
        (row["strategy"], row["learning_rate"], row["accuracy"].split()[0], row["vs random [95 %]"][:4]) for row in rows
    ]
    assert found == [
        ("random", "0.003", "80.3", ""),
        ("el2n", "0.003", "75.3", "-5.0"),
        ("el2n", "1e-05", "15.3", "+5.0"),
        ("random", "1e-05", "10.3", ""),
    ]


@pytest.mark.slow
def test_sentences_name_the_grid_value_and_holms_family_is_what_is_shown(tmp_path):
    sentences = verdict_sentences(rates_sweep(tmp_path).comparisons)
    assert [sentence.partition(" (")[0] for sentence in sentences[:2]] == [
        "el2n, learning_rate 1e-05: better than random",
        "el2n, learning_rate 0.003: worse than random",
    ]
    assert "Holm's correction over 2 comparisons" in sentences[2]


@pytest.mark.slow
def test_learning_curves_of_a_grid_are_not_averaged(tmp_path):
    sweep = rates_sweep(tmp_path)
    figure = drawn(plots.draw_learning_curves(sweep))
    panels = {axes.get_title(loc="left"): axes for axes in figure.axes if axes.get_visible()}
    assert list(panels) == ["budget 40, learning_rate 1e-05", "budget 40, learning_rate 0.003"]
    ends = {
        title: {line.get_color(): round(float(line.get_ydata()[-1]), 3) for line in axes.lines}
        for title, axes in panels.items()
    }
    colours = {name: style.colour for name, style in plots.styles_of(sweep).items()}
    drop = 0.4 * np.exp(-5)  # of the curves that the sample writes
    for title, values in zip(ends, ({"random": 0.10, "el2n": 0.15}, {"random": 0.80, "el2n": 0.75}), strict=True):
        expected = {colours[name]: round(value + SPREAD.mean() - drop, 3) for name, value in values.items()}
        assert ends[title] == pytest.approx(expected, abs=2e-3)


@pytest.mark.slow
def test_curves_of_one_strategy_are_named_by_what_varies(tmp_path):
    points = [{"train.loss": loss} for loss in LOSSES]
    sweep = load_sweep(write_grid_sweep(tmp_path, ["all"], points, lambda _, point: 0.7 + 0.02 * point + SPREAD))
    assert [(row["strategy"], row["loss"]) for row in table_rows(sweep)] == [("all", name) for name in LOSS_NAMES[::-1]]
    (legend,) = drawn(plots.draw_learning_curves(sweep)).legends
    assert [text.get_text() for text in legend.get_texts()] == [f"loss {name}" for name in LOSS_NAMES]
    (axes,) = drawn(plots.draw_accuracy(sweep)).axes
    assert [name.replace("\n", "") for name in names_at(axes.yaxis)] == [
        f"all, loss {name}  (whole pool)" for name in LOSS_NAMES
    ]
    costs = drawn(plots.draw_cost(sweep)).axes
    assert [{text.get_text() for text in panel.texts} for panel in costs] == [
        {f"all, loss {n}" for n in LOSS_NAMES}
    ] * 2
    assert legend_of(plots.draw_samples_per_pass(sweep)) == ["all"]  # every loss has the same passes


def test_passes_that_differ_between_points_are_lines_of_their_own(tmp_path):
    specs = [make_spec("el2n", seed, grid=grid, trial_id=f"{grid}{seed}") for grid in RATES for seed in (0, 1)]
    folder = write_plan(tmp_path, specs)
    for spec, passes in zip(specs, ([40] * 3, [40] * 3, [40] * 9, [40] * 9), strict=True):
        write_result(folder, spec, 0.8, samples_per_pass=passes)
    figure = drawn(plots.draw_samples_per_pass(load_sweep(folder)))
    assert legend_of(figure) == ["el2n, learning_rate 1e-05", "el2n, learning_rate 0.003"]
    assert [len(line.get_xdata()) for line in figure.axes[0].lines] == [3, 9]


@pytest.mark.long
@pytest.mark.slow
def test_equal_cost_is_a_row_per_configuration_beside_random_at_the_same_point(tmp_path):
    folder = tmp_path / "run"
    rates_sweep(folder)
    publish_results(folder)
    table = pd.read_csv(folder / "results" / "equal_cost.csv")
    last = table[(table["cost_of_random"] == 1) & (table["cost"] == "examples")].set_index("configuration")
    drop = 0.4 * np.exp(-5)
    assert last["validation_accuracy"].to_dict() == pytest.approx(
        {
            name: value + SPREAD.mean() - drop
            for name, value in {
                "random, learning_rate 1e-05": 0.10,
                "el2n, learning_rate 1e-05": 0.15,
                "random, learning_rate 0.003": 0.80,
                "el2n, learning_rate 0.003": 0.75,
            }.items()
        }
    )
    assert last["spent"].tolist() == [3 * 1280 + 400] * 4  # a training example counts three times
    assert (table.groupby(["configuration", "cost"]).size() == 5).all()


@pytest.mark.slow
def test_best_is_one_thing_in_table_card_and_folder(tmp_path):
    """By PR-AUC on validation the one with less accuracy is best; no place picks by accuracy."""
    names = {"random": (0.90, 0.40), "el2n": (0.60, 0.80)}
    specs = [make_spec(name, seed) for name in names for seed in (0, 1, 2)]
    folder = write_plan(tmp_path / "run", specs)
    for spec in specs:
        accuracy, area = names[spec["strategy"]]
        more = 0.01 * spec["seed"]
        write_result(folder, spec, accuracy + more, validation_auc_pr=area + more, test_auc_pr=area - 0.02 + 1.5 * more)
        write_evaluations(folder, spec, (0.4, accuracy))
        best = folder / "trials" / spec["trial_id"] / "checkpoint" / "best"
        best.mkdir(parents=True)
        (best / "COMPLETE").touch()
    write_resolved(folder, train={"best_metric": "auc_pr"})
    sweep = publish_results(folder)
    assert (folder / "best" / "trial_id").read_text().strip() == "el2n-40-2"
    assert sweep.best()["configuration"] == "el2n"
    assert sweep.best_trials == ("el2n-40-2", "el2n-40-1", "el2n-40-0")
    shown = sweep.comparison()
    assert shown.columns[3:6] == ("PR-AUC", "accuracy", "vs random [95 %]")
    assert [row.cells[0] for row in shown.rows] == ["el2n", "random"]
    assert shown.rows[0].cells[5].startswith("+40.0")
    assert "best on validation (PR-AUC 81.0), and in best/: el2n." in str(sweep)
    assert drawn(plots.draw_accuracy(sweep)).axes[0].get_xlabel().startswith("test PR-AUC")
    assert load_sweep(folder).summary()["metric"].tolist() == ["auc_pr"] * 2


def test_a_loss_is_best_where_it_is_least(tmp_path):
    folder = write_grid_sweep(
        tmp_path, ["random", "el2n"], [{}], lambda name, _: SPREAD + {"random": 0.6, "el2n": 0.7}[name]
    )
    write_resolved(folder, train={"best_metric": "loss"})
    sweep = load_sweep(folder)
    assert sweep.best()["strategy"] == "el2n"
    assert [row["strategy"] for row in table_rows(sweep)] == ["el2n", "random"]
    assert table_rows(sweep)[0]["cross entropy"].startswith("0.297 [")
    row = sweep.summary().set_index("strategy").loc["el2n"]
    assert row["test_loss_vs_random"] == pytest.approx(-0.1)
    assert row["verdict"] == "not compared"  # the same difference at every seed


@pytest.mark.slow
def test_differences_exist_for_every_metric_that_is_asked_for(tmp_path):
    sweep = rates_sweep(tmp_path)
    metrics = ("accuracy", "macro_f1", "weighted_f1", "auc_roc", "auc_pr", "loss")
    assert all(f"test_{name}_vs_{other}_p" in sweep.summary() for name in metrics for other in ("random", "all"))
    other = sweep.summary("mcc")  # measured from the predictions, which here are all right
    assert other["test_mcc_mean"].tolist() == [1.0] * 4
    assert other["test_mcc_vs_random"].dropna().tolist() == [0.0] * 2
    assert other["metric"].tolist() == ["mcc"] * 4
    assert sweep.comparison("macro_f1").columns[4] == "macro F1"
    losses = sweep.summary("loss").set_index("configuration")["verdict"]
    assert losses["el2n, learning_rate 1e-05"] == "better"  # less loss


@pytest.mark.slow
def test_a_strategy_without_the_key_stands_beside_random_at_every_point(tmp_path):
    points = [{"selection.embedding.pooling": word} for word in ("cls", "mean")]
    specs = [make_spec("random", seed) for seed in range(3)]
    specs += [make_spec("k_center", seed, grid=point) for point in points for seed in range(3)]
    folder = write_plan(tmp_path, specs)
    for spec in specs:
        write_result(
            folder, spec, 0.6 + 0.1 * (spec["grid"] == points[1]) + 0.01 * spec["seed"] * (1 + len(spec["grid"]))
        )
        write_evaluations(folder, spec, (0.4, 0.6))
    sweep = load_sweep(folder)
    titles = [
        axes.get_title(loc="left") for axes in drawn(plots.draw_learning_curves(sweep)).axes if axes.get_visible()
    ]
    assert titles == ["budget 40, pooling cls", "budget 40, pooling mean"]
    assert [(row["strategy"], row["pooling"]) for row in table_rows(sweep)] == [
        ("k_center", "mean"),
        ("k_center", "cls"),
        ("random", ""),
    ]


def test_a_grid_over_encoders_and_budgets_names_both(tmp_path):
    points = [
        {"model.encoder": encoder, "selection.budget": budget / 400}
        for encoder in ("hub/small-bert", "/models/large-bert")
        for budget in (20, 40)
    ]
    specs = [
        make_spec("random", seed, int(400 * point["selection.budget"]), grid=point)
        for point in points
        for seed in range(2)
    ]
    names = Configurations.of(specs)
    assert list(names.by_name) == [
        "random, budget 20, encoder small-bert",
        "random, budget 40, encoder small-bert",
        "random, budget 20, encoder large-bert",
        "random, budget 40, encoder large-bert",
    ]
    assert names["random, budget 20, encoder large-bert"].label == "random, encoder large-bert"


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ([1e-4, "auto"], ["0.0001", "auto"]),
        ([True, None], ["true", "null"]),
        ([16, 32], ["16", "32"]),
        ([0.1, 0.1 + 1e-9], ["0.1", "0.100000001"]),
        (["a/bert", "b/bert"], ["a/bert", "b/bert"]),
        ([[1, 2], []], ["1 2", "none"]),
    ],
)
def test_values_are_told_apart_in_few_words(values, words):
    specs = [make_spec("a", grid={"train.key": value}) for value in values]
    names = Configurations.of(specs)
    assert [one.cells["train.key"] for one in names.by_name.values()] == words
    assert list(names.of_runs) == [f"a, key {word}" for word in words]


def test_a_key_with_one_value_is_no_part_of_a_name(tmp_path):
    folder = write_grid_sweep(tmp_path, ["random"], RATES[:1], lambda *_: SPREAD + 0.5)
    sweep = load_sweep(folder)
    assert sweep.configurations.headers == {}
    assert sweep.summary()["configuration"].tolist() == ["random"]
    assert sweep.summary()["train.learning_rate"].tolist() == [1e-5]


@pytest.mark.slow
def test_at_any_width_rows_can_be_told_apart(tmp_path):
    grid = rates_sweep(tmp_path / "grid")
    for width in (40, 60, 80, 120):
        lines = printed(grid, width).splitlines()
        assert max(map(len, lines)) <= width
        assert len({line.split("  ")[0] + line[:36] for line in lines[1:5]}) == 4
    budgets = load_sweep(write_sample_sweep(tmp_path / "budgets", ("random", "el2n"), budgets=(20, 40), seeds=3))
    assert "budget" in printed(budgets, 40).splitlines()[0]
    assert "vs random [95 %]" in printed(grid, 80).splitlines()[0]
    assert "trained" in printed(grid, 120).splitlines()[0]


def overlap_of(folder, choices):
    """The overlap of two strategies that chose these positions at each learning rate."""
    specs = [
        make_spec(name, grid=grid, budget=2, trial_id=f"{name}{n}") for n, grid in enumerate(RATES) for name in "ab"
    ]
    write_plan(folder, specs)
    for spec, chosen in zip(specs, choices, strict=True):
        write_result(folder, spec, 0.8)
        write_selection(folder, spec, chosen)
    sweep = load_sweep(folder)
    return overlap_table(sweep.agreement), sweep.configurations.headers


@pytest.mark.slow
def test_overlap_is_not_averaged_over_points_and_equal_ones_share_a_panel(tmp_path):
    table, headers = overlap_of(tmp_path / "differ", ([0, 1], [0, 1], [2, 3], [4, 5]))
    assert table.set_index("train.learning_rate")["jaccard"].to_dict() == {1e-5: 1, 3e-3: 0}
    figure = drawn(plots.draw_overlap(table, headers))
    titles = [axes.get_title(loc="left") for axes in figure.axes if axes.get_title(loc="left")]
    assert [title.splitlines()[0] for title in titles] == [
        "2 of 400 examples, learning_rate 1e-05",
        "2 of 400 examples, learning_rate 0.003",
    ]
    table, headers = overlap_of(tmp_path / "alike", ([0, 1], [1, 2], [0, 1], [1, 2]))
    (title,) = [
        a.get_title(loc="left") for a in drawn(plots.draw_overlap(table, headers)).axes if a.get_title(loc="left")
    ]
    assert title.startswith("2 of 400 examples; by chance")


@pytest.mark.slow
def test_selected_subsets_are_described_by_configuration(tmp_path):
    folder = write_sample_sweep(tmp_path, ("random", "el2n"), budgets=(20, 40), seeds=2)
    assert {subset.strategy for subset in load_sweep(folder).subsets()} == {
        "random",
        "el2n",
        "all",
        "infobatch",
        "loss_threshold",
    }


@pytest.mark.slow
@pytest.mark.parametrize("finished", [0, 1])
@pytest.mark.parametrize("metric", ["mcc", "auc_pr", "loss"])
def test_a_sweep_about_any_metric_can_be_read_before_anything_is_measured(tmp_path, finished, metric):
    specs = [make_spec("random", seed) for seed in range(2)]
    folder = write_plan(tmp_path, specs)
    write_resolved(folder, train={"best_metric": metric})
    for spec in specs[:finished]:
        write_result(folder, spec, 0.8, **{f"test_{metric}": None, f"validation_{metric}": None})
    sweep = publish_results(folder)
    assert sweep.best() is None
    assert sweep.summary()[f"test_{metric}_mean"].isna().all()
    assert sweep.summary()["verdict"].tolist() == ["not compared"]
    with pytest.raises(SweepError, match="metric: no finished trial has brier on test"):
        sweep.summary("brier")
    with pytest.raises(SweepError, match="metric: must be one of accuracy, "):
        sweep.summary("acuracy")
