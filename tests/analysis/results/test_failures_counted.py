"""What stands on one number a configuration counts failed runs: as the majority class, which has 60 % on test here."""

import numpy as np
import pytest
from scipy import stats

from raybert.analysis import load_sweep
from raybert.analysis.results.cost_words import cost_lines
from raybert.analysis.results.failed_runs import failures_counted, scored_summary
from raybert.analysis.results.left_out import uncounted_failures, uncounted_on_test
from raybert.analysis.statistics.configurations import KEY
from raybert.analysis.statistics.ranks import ranks_over_replicates
from tests.analysis.folders import write_outcomes, write_resolved

MAJORITY = 0.6
RUNS = {
    "all": [0.900, 0.912, 0.905, 0.908, 0.897],
    "random": [0.700, 0.712, 0.704, 0.706, 0.699],
    "el2n": [0.899, "failed", 0.904, 0.909, "failed"],
    "d2": ["failed"] * 5,
}


@pytest.fixture(scope="module")
def sweep(tmp_path_factory):
    return load_sweep(write_outcomes(tmp_path_factory.mktemp("failed"), RUNS, total_examples=1000))


def counted(name):
    return np.array([MAJORITY if value == "failed" else value for value in RUNS[name]])


def test_letters_are_of_all_pairs_with_failed_runs_scored(sweep):
    table = sweep.letters().set_index(KEY)
    for name in RUNS:
        assert table.loc[name, "mean"] == pytest.approx(counted(name).mean())
        assert table.loc[name, "num_replicates"] == 5
    names = list(RUNS)
    pairs = [(one, other) for i, one in enumerate(names) for other in names[i + 1 :]]
    raw = [stats.ttest_rel(counted(one), counted(other)).pvalue for one, other in pairs]
    order, most, holm = np.argsort(raw), 0.0, {}
    for place, number in enumerate(order):
        most = max(most, (len(raw) - place) * raw[number])
        holm[pairs[number]] = min(1.0, most)
    for (one, other), p in holm.items():
        share = set(table.loc[one, "letters"]) & set(table.loc[other, "letters"])
        assert bool(share) is bool(p >= 0.05), (one, other, p)
    assert holm["random", "d2"] < 0.05 < holm["all", "el2n"]


def test_letters_stand_behind_the_second_row_of_who_has_failed_runs(sweep):
    table = sweep.comparison()
    place = table.columns.index("letters")
    shown = {row.cells[0]: row.cells[place] for row in table.rows if len(row.cells) > place}
    letters = sweep.letters().set_index(KEY)["letters"]
    assert shown["el2n"] == ""
    assert shown["el2n with failed"] == letters["el2n"]
    assert shown["d2 with failed"] == letters["d2"]
    assert shown["all"] == letters["all"]
    (line,) = sweep.letters_lines()
    assert line.endswith("with Holm's correction; failed runs count as the majority class).")


def test_the_front_is_that_of_scored_runs_and_says_so(sweep):
    table = sweep.pareto()
    means = table[table["front"] == "all budgets"].drop_duplicates(KEY).set_index(KEY)["mean"]
    assert means["el2n"] == pytest.approx(counted("el2n").mean())
    assert means["all"] == pytest.approx(counted("all").mean())
    assert "Failed runs count as the majority class." in cost_lines(sweep)[0]


def test_pictures_have_the_same_means_as_the_front(sweep):
    rows = scored_summary(sweep.summary()).set_index(KEY)
    for name in RUNS:
        assert rows.loc[name, "test_accuracy_mean"] == pytest.approx(counted(name).mean())
        assert rows.loc[name, "num_replicates"] == 5
    assert sweep.summary().set_index(KEY).loc["el2n", "num_replicates"] == 3  # tables have both rows


def test_ranks_have_all_seeds(sweep):
    ranks = ranks_over_replicates(sweep.compared.counted, "accuracy").set_index("strategy")
    assert ranks.loc["el2n", "ranks"] == (1.0, 2.5, 1.0, 1.0, 2.5)  # beside d2, which is the majority class, too
    assert (ranks["num_dropped"] == 0).all()


def test_words_above_a_picture_name_who_has_failed_runs(sweep):
    assert uncounted_on_test(sweep) == [
        "failed runs count as the majority class: el2n (2 of 5)",
        "left out, since no run is complete: d2",
    ]
    assert uncounted_on_test(sweep, shows_lost=True) == [
        "failed runs count as the majority class: el2n (2 of 5); d2 (5 of 5)"
    ]
    assert uncounted_failures(sweep) == [
        "failed runs are left out, which flatters who has them: el2n (2 of 5)",
        "left out, since no run is complete: d2",
    ]


def test_what_is_not_known_of_failed_runs_is_left_out_and_that_is_said(tmp_path):
    write_outcomes(tmp_path, RUNS)
    (tmp_path / "manifest.json").write_text("{}")
    sweep = load_sweep(tmp_path)
    assert failures_counted(sweep.summary())[0] == (
        "failed runs are left out, which flatters who has them: el2n (2 of 5)"
    )
    (line,) = sweep.letters_lines()
    assert line.endswith("failed runs are left out, which flatters who has them).")


def test_runs_in_which_the_metric_is_undefined_are_named(tmp_path):
    runs = {"random": [0.7, 0.71, 0.72], "el2n": [0.7, 0.72, 0.71], "k_center": [0.7, 0.7, 0.7]}
    write_outcomes(tmp_path, runs)
    write_resolved(tmp_path, train={"best_metric": "auc_pr"})
    for name, seeds in (("el2n", (1,)), ("k_center", (0, 1, 2))):
        for seed in seeds:
            path = tmp_path / "trials" / f"{name}-40-{seed}-0" / "result.json"
            path.write_text(path.read_text().replace(f'"test_auc_pr": {runs[name][seed]}', '"test_auc_pr": null'))
    sweep = load_sweep(tmp_path)
    assert sweep.metric == "auc_pr"
    assert uncounted_on_test(sweep) == [
        "left out, since test PR-AUC is undefined: el2n (1 of 3 runs); k_center (all 3 runs)"
    ]


def test_a_margin_is_of_the_metric_that_it_was_given_for(tmp_path):
    write_outcomes(tmp_path, {"random": [0.7, 0.71, 0.72], "el2n": [0.7, 0.72, 0.71]})
    write_resolved(tmp_path, sweep={"strategies": ["random", "el2n"], "margin": 0.02})
    sweep = load_sweep(tmp_path)
    assert [sweep.margin(name) for name in (None, "accuracy", "macro_f1", "loss")] == [0.02, 0.02, 0.02, 0.005]
    assert sweep.compare(None, "macro_f1")["margin"].tolist() == [0.02]
    assert sweep.compare(None, "loss")["margin"].tolist() == [0.005]
    assert sweep.comparison_lines("loss")[-1] == (
        "sweep.margin is in units of accuracy: of cross entropy the margin is the default, 0.005."
    )
    assert not any("in units of" in line for line in sweep.comparison_lines("macro_f1"))
