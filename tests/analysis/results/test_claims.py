"""What the tables claim of few seeds, of runs that failed to learn, and of costs."""

import numpy as np
import pandas as pd
import pytest

from raybert.analysis import load_sweep, plots, publish_results, verdict_sentences
from raybert.analysis.results.comparison import count_words
from raybert.analysis.results.held_out import never_predicted
from raybert.training.measures.chance import is_weak
from tests.analysis.folders import (
    make_spec,
    write_evaluations,
    write_grid_sweep,
    write_plan,
    write_predictions,
    write_result,
    write_signal_runs,
)
from tests.analysis.plots.test_plots import drawn, legend_of
from tests.analysis.results.test_grids import SPREAD, table_rows


def sweep_of(folder, accuracies):
    """A sweep of strategies whose seeds reached these accuracies."""
    return load_sweep(write_grid_sweep(folder, list(accuracies), [{}], lambda name, _: accuracies[name]))


def test_one_seed_has_numbers_only_and_no_strategy_speaks_for_all(tmp_path):
    sweep = sweep_of(tmp_path, {"random": [0.5], "el2n": [0.52], "k_center": [0.47]})
    assert {row["strategy"]: (row["accuracy"], row["vs random"]) for row in table_rows(sweep)} == {
        "el2n": ("52.0", "+2.0"),
        "random": ("50.0", ""),
        "k_center": ("47.0", "-3.0"),
    }
    lines = str(sweep).splitlines()[5:]
    assert lines[0] == "best on validation (accuracy 51.0), and in best/: el2n."
    assert "note: one seed: no intervals and no verdicts; give `sweep.seeds` at least 3" in lines
    assert not any("random" in line and "points" in line for line in lines)


def test_two_seeds_print_both_values_and_no_interval(tmp_path):
    sweep = sweep_of(tmp_path, {"random": [0.50, 0.60], "el2n": [0.93, 0.58]})
    rows = {row["strategy"]: row for row in table_rows(sweep)}
    assert rows["el2n"]["accuracy"] == "58.0, 93.0"
    assert rows["el2n"]["vs random"] == "-2.0, +43.0"
    summary = sweep.summary().set_index("strategy")
    ends = [f"test_accuracy{part}_{end}" for part in ("", "_vs_random") for end in ("low", "high")]
    assert summary.loc["el2n", [*ends, "test_accuracy_vs_random_p", "holm_p"]].isna().all()
    assert summary.loc["el2n", "verdict"] == "not compared"
    assert summary.loc["el2n", "note"] == "two seeds: both values, no interval and no test"
    assert verdict_sentences(sweep.comparisons) == ["el2n: no verdict against random (-2.0 and +43.0 points, 2 seeds)"]
    note = "two seeds: both values are shown, no intervals and no verdicts; give `sweep.seeds` at least 3"
    assert note in sweep.notes
    axes = drawn(plots.draw_accuracy(sweep)).axes[0]
    assert axes.get_xlabel() == "test accuracy\n(both seeds)"
    assert axes.get_position().height > 0.4  # the legend leaves room
    assert min(axes.get_xlim()) >= 0
    assert max(axes.get_xlim()) <= 1


@pytest.mark.slow
def test_three_seeds_at_99_percent_stay_below_100(tmp_path):
    sweep = sweep_of(tmp_path, {"random": [0.985, 0.99, 0.999], "el2n": [0.99, 1.0, 0.995]})
    for name in ("accuracy", "macro_f1", "weighted_f1", "auc_roc", "auc_pr"):
        rows = sweep.summary().dropna(subset=[f"test_{name}_high"])
        assert (rows[f"test_{name}_high"] <= 1).all()
        assert (rows[f"test_{name}_low"] >= 0).all()
    assert table_rows(sweep)[0]["accuracy"] == "99.5 [94.2, 100.0]"
    for figure, get in ((plots.draw_accuracy(sweep), "get_xlim"), (plots.draw_cost(sweep), "get_ylim")):
        low, high = getattr(drawn(figure).axes[0], get)()
        assert 0 <= low < high <= 1


@pytest.mark.slow
def test_equal_values_have_no_interval_and_a_line_says_why(tmp_path):
    sweep = sweep_of(tmp_path, {"random": [0.7] * 3, "el2n": [0.72] * 3, "k_center": [0.6, 0.7, 0.75]})
    rows = {row["strategy"]: row for row in table_rows(sweep)}
    assert (rows["el2n"]["accuracy"], rows["el2n"]["vs random [95 %]"]) == ("72.0", "+2.0")
    assert "A value without an interval is the same in every replicate, which is no certainty." in str(sweep)
    notes = sweep.summary().set_index("strategy")["note"]
    assert (
        notes["el2n"]
        == "the same accuracy in every seed: no interval; the same difference to random in every seed: no verdict"
    )
    assert np.isnan(sweep.summary().set_index("strategy").loc["el2n", "test_accuracy_vs_random_low"])
    sentence = verdict_sentences(sweep.comparisons)[0]
    assert sentence == "el2n: no verdict against random (+2.0 points, 3 seeds)"


@pytest.mark.slow
def test_more_folds_than_seeds_are_counted_as_folds(tmp_path):
    specs = [
        make_spec(name, seed, fold=fold, trial_id=f"{name}{seed}{fold}")
        for name in ("random", "el2n")
        for fold in range(5)
        for seed in range(3)
    ]
    folder = write_plan(tmp_path, specs)
    generator = np.random.default_rng(0)
    for spec in specs:
        write_result(folder, spec, 0.6 + 0.05 * (spec["strategy"] == "el2n") + float(generator.normal(0, 0.01)))
    summary = load_sweep(folder).summary().set_index("strategy")
    assert summary.loc["el2n", ["num_pairs_random", "num_replicates_random", "num_replicates"]].tolist() == [15, 5, 5]
    assert "5 folds, each the mean of its seeds)" in verdict_sentences(load_sweep(folder).comparisons)[0]


@pytest.mark.parametrize(
    ("passes", "words"), [((1.0, 1.0), "once"), ((3.0, 3.0), "3 times"), ((0.5, 0.5), "0.5 times")]
)
def test_how_often_a_proxy_saw_the_pool_is_counted(tmp_path, passes, words):
    specs = [make_spec("proxy", seed, 400) for seed in range(2)] + [make_spec("random", 0)]
    folder = write_plan(tmp_path, specs)
    for spec, number in zip(specs, (*passes, 3), strict=True):
        write_result(folder, spec, 0.7, examples_seen=int(number * spec["budget"]))
    line = f"proxy: the model that scored the pool, had one stopped there; it saw the whole pool {words}."
    assert line in str(load_sweep(folder)).splitlines()


def collapsed_sweep(folder):
    """Two of three seeds of el2n, and the proxy, say one class of everything."""
    specs = [make_spec(name, seed) for name in ("random", "el2n") for seed in range(3)]
    specs += [make_spec("proxy", 0, 400)]
    write_plan(folder, specs, ("no", "yes"))
    for spec in specs:
        right = spec["strategy"] == "random" or (spec["strategy"] == "el2n" and spec["seed"] == 1)
        write_result(
            folder, spec, 0.8 + 0.01 * spec["seed"] if right else 0.5, validation_accuracy=0.8 if right else 0.5
        )
        write_evaluations(folder, spec, (0.5, 0.6))
        write_predictions(folder, spec, [0, 1] * 20, [0, 1] * 20 if right else [0] * 40)
    return folder


@pytest.mark.slow
def test_collapse_is_a_note_a_column_and_a_mark(tmp_path):
    sweep = publish_results(collapsed_sweep(tmp_path / "run"))
    trials = sweep.trials.set_index("trial_id")
    assert trials["num_never_predicted"].tolist() == [0, 0, 0, 1, 0, 1, 1]
    summary = sweep.summary().set_index("strategy")
    assert summary["num_collapsed"].to_dict() == {"random": 0, "el2n": 2, "proxy": 1}
    assert "collapse: el2n: 2 of 3 trials never predict 1 class (seed 0 and 2)" in sweep.notes
    marks = {row["strategy"]: row["accuracy"].endswith("!") for row in table_rows(sweep)}
    assert marks == {"random": False, "el2n": True, "proxy": True}
    assert "!: a trial that never predicts a class, or a weak proxy; see the notes." in str(sweep)
    assert "2 of 3 trials never predict a class" in summary.loc["el2n", "note"]
    assert "a trial that never predicts a class" in legend_of(plots.draw_accuracy(sweep))
    stored = pd.read_parquet(sweep.folder / "results" / "trials.parquet")
    assert stored["num_never_predicted"].tolist() == [0, 0, 0, 1, 0, 1, 1]


@pytest.mark.slow
def test_a_weak_proxy_is_a_note_a_column_and_a_mark(tmp_path):
    sweep = load_sweep(collapsed_sweep(tmp_path))
    trials = sweep.trials.set_index("trial_id")
    assert trials.loc["proxy-400-0", ["majority_share", "is_weak"]].tolist() == [0.5, 1]
    (note,) = [note for note in sweep.notes if note.startswith("weak proxy")]
    assert note.startswith("weak proxy: proxy: 1 of 1 runs are hardly better on validation than always saying the")
    assert "(50.0 % and 50.0 %)" in note
    assert sweep.summary().set_index("strategy").loc["proxy", "num_weak"] == 1


@pytest.mark.parametrize(
    ("labels", "predicted", "number"),
    [
        ([0] * 10 + [1] * 10, [0] * 20, 1),
        ([0] * 10 + [1] * 3, [0] * 13, 1),  # nothing but one class
        ([0] * 10 + [1] * 10 + [2] * 3, [0] * 10 + [1] * 13, 0),  # too few of it to say
        ([0] * 10 + [1] * 10 + [2] * 5, [0] * 10 + [1] * 15, 1),
        ([0] * 10, [0] * 10, 0),  # there is no other class
        ([0, 1, 2] * 5, [2] * 15, 2),
    ],
)
def test_classes_that_are_never_predicted_are_counted(labels, predicted, number):
    assert never_predicted(np.array(labels), np.array(predicted)) == number


@pytest.mark.parametrize(
    ("hits", "number", "majority", "weak"),
    [
        (250, 500, 0.5, True),
        (295, 500, 0.5, True),  # 59 %: above chance, but hardly
        (305, 500, 0.5, False),
        (16, 26, 0.5, True),  # 62 % of so few may be chance
        (440, 500, 0.9, True),
        (455, 500, 0.9, True),
        (475, 500, 0.9, False),  # half of what the largest class leaves open
        (130, 500, 0.17, True),
        (140, 500, 0.17, False),
        (50, 50, 1.0, False),  # one class: there is nothing to know
    ],
)
def test_a_run_is_weak_if_it_is_hardly_above_the_most_frequent_class(hits, number, majority, weak):
    assert is_weak(hits, number, majority) is weak


def test_damaged_predictions_leave_the_tables_whole_and_are_a_note(tmp_path):
    folder = collapsed_sweep(tmp_path)
    path = folder / "trials" / "el2n-40-0" / "predictions.parquet"
    path.write_bytes(path.read_bytes()[:100])
    sweep = load_sweep(folder)
    assert sweep.trials["num_never_predicted"].isna().sum() == 1
    assert any(note.startswith("predictions.parquet of el2n-40-0 cannot be read") for note in sweep.notes)


@pytest.mark.slow
def test_cost_counts_examples_with_those_behind_signals(tmp_path):
    proxy, random, el2n = make_spec("proxy", 0, 400), make_spec("random"), make_spec("el2n")
    folder = write_plan(tmp_path, [proxy, random, el2n])
    write_result(folder, proxy, 0.7, examples_seen=400, examples_scored=0)
    write_result(folder, random, 0.7, examples_seen=1280, examples_scored=0)
    write_result(folder, el2n, 0.7, examples_seen=1280, examples_scored=400, signal_seconds=4.0)
    write_signal_runs(folder, el2n, proxy["trial_id"])
    sweep = load_sweep(folder)
    trials = sweep.trials.set_index("strategy")
    assert trials["signal_examples_seen"].to_dict() == {"proxy": 0, "random": 0, "el2n": 400}
    assert trials["total_examples"].to_dict() == {"proxy": 1200, "random": 3840, "el2n": 3 * 1680 + 400}
    rows = {row["strategy"]: (row["trained"], row["scored"]) for row in table_rows(sweep)}
    assert rows == {"proxy": ("400", "0"), "random": ("1.28k", "0"), "el2n": ("1.68k", "400")}
    first = plots.draw_cost(sweep).axes[0]
    assert first.get_xlabel() == "forward passes of examples (training counts 3), signals included"


@pytest.mark.slow
def test_a_cost_that_is_not_known_is_left_empty(tmp_path):
    spec = make_spec("el2n")
    folder = write_plan(tmp_path, [spec])
    write_result(folder, spec, 0.7, signal_seconds=4.0)  # of a raybert that wrote no specification
    sweep = load_sweep(folder)
    assert sweep.trials["total_examples"].isna().all()
    assert table_rows(sweep)[0]["trained"] == ""
    assert [axes.get_xlabel()[:7] for axes in plots.draw_cost(sweep).axes] == ["seconds"]


@pytest.mark.parametrize(
    ("count", "words"),
    [(0, "0"), (640, "640"), (1280, "1.28k"), (12_800, "12.8k"), (400_000, "400k"), (1.3e6, "1.30M")],
)
def test_counts_are_short(count, words):
    assert count_words(count) == words


@pytest.mark.slow
def test_the_method_is_said_of_what_was_tested_only(tmp_path):
    sweep = sweep_of(tmp_path, {"random": 0.5 + SPREAD, "el2n": 0.6 + 2 * SPREAD, "k_center": [0.5]})
    assert verdict_sentences(sweep.comparisons)[-1].startswith(
        "Test accuracy, paired over seeds; t-tests at 95 % with Holm's"
    )
    assert "over 1 comparison. The" in verdict_sentences(sweep.comparisons)[-1]
    lonely = sweep_of(tmp_path / "lonely", {"k_center": 0.5 + SPREAD})
    assert verdict_sentences(lonely.comparisons) == []
