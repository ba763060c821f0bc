"""`Sweep.summary`, `compare` and `overlap`: the statistics by any metric and baseline."""

import pandas as pd
import pytest

from raybert.analysis import load_sweep
from raybert.analysis.statistics.intervals import holm
from raybert.errors import RenamedWarning, SweepError
from tests.analysis.folders import make_spec, write_grid_sweep, write_plan, write_result

VALUES = {
    "random": (0.60, 0.62, 0.61),
    "el2n": (0.70, 0.71, 0.73),
    "k_center": (0.61, 0.60, 0.64),
    "all": (0.80, 0.82, 0.81),
}
POINTS = {"train.learning_rate": 1e-5}


@pytest.fixture(scope="module")
def sweep(tmp_path_factory):
    folder = tmp_path_factory.mktemp("compared") / "run"
    write_grid_sweep(folder, list(VALUES), [POINTS], lambda name, _: VALUES[name])
    return load_sweep(folder)


def test_compare_has_the_rows_of_one_baseline_with_the_family_of_the_sweep(sweep):
    rows = sweep.compare()
    assert rows["strategy"].tolist() == ["el2n", "k_center"]
    assert set(rows["baseline"]) == {"random"}
    assert rows["difference"].tolist() == pytest.approx([0.31 / 3, 0.02 / 3])
    assert rows["holm_p"].to_numpy() == pytest.approx(holm(rows["p"].to_numpy()))
    pd.testing.assert_frame_equal(sweep.compare(None), sweep.comparisons)


def test_a_baseline_that_the_sweep_does_not_use_is_compared_with_all_others(sweep):
    rows = sweep.compare("k_center").set_index("strategy")
    assert sorted(rows.index) == ["all", "el2n", "random"]
    assert rows.loc["random", "difference"] == pytest.approx(-0.02 / 3)
    assert rows.loc["all", "difference"] == pytest.approx(0.58 / 3)
    assert rows["holm_p"].to_numpy() == pytest.approx(holm(rows["p"].to_numpy()))


def test_another_metric_turns_signs_and_is_made_once(sweep):
    losses = sweep.compare(metric="loss").set_index("strategy")
    assert losses.loc["el2n", "difference"] == pytest.approx(-0.31 / 3)
    assert losses.loc["el2n", "verdict"] == sweep.compare().set_index("strategy").loc["el2n", "verdict"]
    assert set(sweep.summary("loss")["metric"]) == {"loss"}
    assert sweep._by("loss") is sweep._by("loss")


def test_what_a_caller_does_to_a_table_stays_there(sweep):
    for table in (sweep.summary(), sweep.compare(None)):
        table["strategy"] = "other"
    assert set(sweep.summary()["strategy"]) == set(VALUES)
    assert "other" not in set(sweep.comparisons["strategy"])


def test_an_unknown_baseline_is_refused_in_one_line(sweep, tmp_path):
    with pytest.raises(SweepError, match=r"baseline: must be one of random, el2n, k_center, all, got 'randum'"):
        sweep.compare("randum")
    spec = make_spec("el2n")
    write_result(write_plan(tmp_path, [spec]), spec, 0.7)
    with pytest.raises(SweepError, match=r"baseline: must be one of el2n, got 'random'"):
        load_sweep(tmp_path).compare()
    assert load_sweep(tmp_path).compare("el2n").empty


def test_a_running_sweep_has_the_tables_of_what_is_there(tmp_path):
    specs = [make_spec(name, seed) for name in ("random", "el2n") for seed in (0, 1, 2)]
    folder = write_plan(tmp_path, specs)
    for spec in specs[:4]:
        write_result(folder, spec, 0.7)
    sweep = load_sweep(folder)
    summary = sweep.summary().set_index("strategy")
    assert summary["num_complete"].to_dict() == {"random": 3, "el2n": 1}
    assert summary["num_pending"].to_dict() == {"random": 0, "el2n": 2}
    assert sweep.compare()["num_pairs"].tolist() == [1]
    assert list(sweep.overlap().columns[:3]) == ["budget", "strategy_a", "strategy_b"]


def test_old_names_of_the_tables_work_with_a_note(sweep):
    with pytest.warns(RenamedWarning, match=r"Sweep.summary_of is called Sweep.summary now"):
        assert set(sweep.summary_of("loss")["metric"]) == {"loss"}
    with pytest.warns(RenamedWarning, match=r"Sweep.comparisons_of\(metric\) is called Sweep.compare\(None, metric\)"):
        pd.testing.assert_frame_equal(sweep.comparisons_of("loss"), sweep.compare(None, "loss"))
