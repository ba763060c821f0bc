"""Several sweeps as one: `load_sweeps`, and a table with a row per strategy and a column per sweep."""

import json

import numpy as np
import pandas as pd
import pytest

import raybert
from raybert.analysis import load_sweep, load_sweeps
from raybert.analysis.publish_compared import publish_compared
from raybert.analysis.results.beside import compare_sweeps
from raybert.errors import SweepError
from raybert.terminal.compared import print_compared
from tests.analysis.folders import make_spec, write_plan, write_resolved, write_result
from tests.e2e.commands import run

pytestmark = [pytest.mark.slow, pytest.mark.long]
SEEDS = np.array([-0.01, 0.0, 0.01])
REACHED = {"all": 0.9, "random": 0.6, "el2n": 0.7, "k_center": 0.65}


def write_sweep(folder, name="x", shift=0.0, budgets=(40,), reached=REACHED, source="sst2"):
    """A sweep whose strategies reach their value, shifted, at every budget; all of them in the same order."""
    specs = [
        make_spec(strategy, seed, budget, trial_id=f"{strategy}-{budget}-{seed}", grid={"selection.budget": budget})
        if strategy != "all"
        else make_spec(strategy, seed, 400)
        for strategy in reached
        for budget in (budgets if strategy != "all" else (400,))
        for seed in range(3)
    ]
    write_plan(folder, specs)
    spread = {strategy: (1 + number) / 5 for number, strategy in enumerate(reached)}
    for spec in specs:
        noise = float(SEEDS[spec["seed"]]) * spread[spec["strategy"]]
        write_result(folder, spec, reached[spec["strategy"]] + shift + noise)
    plan = json.loads((folder / "plan.json").read_text())
    (folder / "plan.json").write_text(json.dumps(plan | {"name": name}))
    entry = {"source": source, "encoder": f"/models/{name}-base", "fingerprint": f"of {source}", "label_names": []}
    (folder / "manifest.json").write_text(json.dumps({"data": {"k": entry}}))
    return folder


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    place = tmp_path_factory.mktemp("pair")
    others = {"random": 0.5, "el2n": 0.55, "d2": 0.6}
    folders = [write_sweep(place / "one", "one"), write_sweep(place / "two", "two", reached=others, source="agnews")]
    return [load_sweep(folder) for folder in folders]


def test_tables_are_those_of_each_sweep_with_its_label_data_and_encoder_in_front(pair):
    both, alone = load_sweeps(pair), list(load_sweeps(pair).sweeps.values())
    assert list(both.trials.columns[:3]) == ["sweep", "data", "encoder"]
    assert both.trials.groupby("sweep").size().to_dict() == {"one": 12, "two": 9}
    assert both.summary()[["sweep", "data", "encoder"]].drop_duplicates().to_numpy().tolist() == [
        ["one", "sst2", "one-base"],
        ["two", "agnews", "two-base"],
    ]
    own = both.summary()
    for name, sweep in zip(("one", "two"), alone, strict=True):
        mine = own.loc[own["sweep"] == name, "test_accuracy_mean"].tolist()
        assert mine == sweep.summary()["test_accuracy_mean"].tolist()
    assert both.compare("random")["strategy"].tolist() == [
        *alone[0].compare("random")["strategy"],
        *alone[1].compare("random")["strategy"],
    ]
    assert set(both.summary("loss")["metric"]) == {"loss"}
    assert both.evaluations.empty


def test_labels_are_names_or_else_what_tells_folders_apart(pair, tmp_path):
    again = write_sweep(tmp_path / "three", "one", reached={"all": 0.5})
    assert list(load_sweeps([pair[0], again]).sweeps) == ["one", "three"]
    with pytest.raises(SweepError, match="folders: must be different, got .*one twice"):
        load_sweeps([pair[0], pair[0]])
    with pytest.raises(SweepError, match="folders: must be a list of results folders, got 'runs'"):
        load_sweeps("runs")


def test_the_table_has_a_row_per_strategy_and_a_column_per_sweep(pair):
    found = compare_sweeps(load_sweeps(pair))
    shown = {row.cells[0]: row.cells[1:] for row in found.table.rows}
    assert found.table.columns == ("strategy", "one", "two")
    assert list(shown) == ["all", "random", "el2n", "k_center", "d2"]
    assert shown["el2n"][0].startswith("70.0 [")
    assert shown["el2n"][0].endswith("] +")
    assert (shown["d2"][0], shown["k_center"][1]) == ("", "")
    rows = found.rows.set_index(["sweep", "row"])
    assert rows.loc[("two", "d2"), "difference"] == pytest.approx(0.1)
    assert rows.loc[("two", "d2"), "baseline"] == "random"
    assert found.ranks.empty  # two strategies are in both


def test_metrics_that_differ_are_refused_unless_one_is_given(tmp_path):
    folders = [write_sweep(tmp_path / name, name) for name in ("one", "two")]
    write_resolved(folders[1], train={"best_metric": "macro_f1"})
    with pytest.raises(SweepError) as refused:
        compare_sweeps(load_sweeps(folders))
    assert str(refused.value) == (
        "metric: must be given, since the sweeps are about different ones (one by accuracy, two by macro_f1)"
    )
    assert compare_sweeps(load_sweeps(folders), "loss").metric == "loss"


def test_budgets_are_matched_by_number_or_else_by_their_share_of_the_pool(tmp_path):
    budgets = {"one": (40, 80), "two": (40, 80), "three": (20, 40)}
    one, two, three = (load_sweep(write_sweep(tmp_path / name, name, budgets=some)) for name, some in budgets.items())
    assert set(compare_sweeps(load_sweeps([one, two])).rows["at"]) == {"", "40", "80"}
    found = compare_sweeps(load_sweeps([one, three]))
    assert [row.cells[:2] for row in found.table.rows][:4] == [
        ("all", ""),
        ("random", "5 %"),
        ("el2n", "5 %"),
        ("k_center", "5 %"),
    ]
    assert {row.cells[1] for row in found.table.rows} == {"", "5 %", "10 %", "20 %"}


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    """Seven sweeps of six data sets, on all of which the strategies stand in the same order."""
    place = tmp_path_factory.mktemp("many")
    names = [*"abcdef", "f2"]
    folders = [write_sweep(place / name, name, -0.02 * at, source=name[0]) for at, name in enumerate(names)]
    return [load_sweep(folder) for folder in folders]


def test_ranks_over_data_sets_are_tested_from_five_on(many):
    found = compare_sweeps(load_sweeps(many))
    ranks = found.ranks.set_index("row")
    assert ranks["mean_rank"].to_dict() == {"el2n": 1.0, "k_center": 2.0, "random": 3.0}  # `all` has no budget
    assert set(ranks["num_data_sets"]) == {6}
    assert ranks["friedman_p"].iloc[0] == pytest.approx(np.exp(-6))  # chi-square of 12 with two degrees of freedom
    assert ranks["critical_difference"].iloc[0] == pytest.approx(2.3437 * np.sqrt(3 * 4 / (6 * 6)), abs=1e-3)
    assert ranks["verdict"].to_dict() == {"el2n": "better", "k_center": "no difference shown", "random": "not compared"}
    assert found.lines[-2:] == [
        "Mean ranks over 6 data sets differ (Friedman, p = 0.0025); two of them by the test of Nemenyi if they are 1.35 or "
        "more apart.",
        "Ranks better than random (Holm): el2n.",
    ]
    assert found.notes == ("7 sweeps of 6 data sets: sweeps of one are averaged in the ranks",)
    assert found.table.columns[-1] == "mean rank"
    few = compare_sweeps(load_sweeps(many[:4]))
    assert few.lines[-1] == "Mean ranks over 4 data sets; nothing is tested with fewer than 5."
    assert few.ranks["friedman_p"].isna().all()


def test_tables_and_a_diagram_are_written_into_a_folder_of_its_own(many, tmp_path):
    found = raybert.compare(many, output=tmp_path / "out")
    assert found.plots == (tmp_path / "out" / "critical_difference.png",)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "compared.csv",
        "compared.md",
        "compared.tex",
        "critical_difference.png",
        "critical_difference.svg",
        "mean_ranks.csv",
    ]
    assert pd.read_csv(tmp_path / "out" / "mean_ranks.csv")["mean_rank"].tolist() == [1.0, 2.0, 3.0]
    publish_compared(compare_sweeps(load_sweeps(many[:3])), tmp_path / "out")
    assert not list((tmp_path / "out").glob("critical*"))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").touch()
    with pytest.raises(SweepError, match="must be an empty folder or a folder of `raybert compare`"):
        raybert.compare(many, output=tmp_path / "mine")


def test_many_sweeps_stand_without_intervals_on_a_narrow_terminal_and_no_column_is_lost(many, capsys, monkeypatch):
    sweeps = load_sweeps(many)
    compared = compare_sweeps(sweeps)
    for columns, is_wide in (("200", True), ("80", False)):
        monkeypatch.setenv("COLUMNS", columns)
        print_compared(compared, None)
        said = capsys.readouterr().out
        head, first = said.splitlines()[:2]
        assert head.split() == ["strategy", *sweeps.sweeps, "mean", "rank"]
        assert ("[" in first) == is_wide
        assert ("note: intervals are left out for want of room" in said) != is_wide


def test_the_command_prints_the_same_in_every_form(pair):
    folders = [sweep.folder for sweep in pair]
    found = json.loads(run("compare", *folders, "--json").out)
    assert [sweep["label"] for sweep in found["sweeps"]] == ["one", "two"]
    assert {(row["sweep"], row["row"]): row["mean"] for row in found["rows"]}["one", "el2n"] == pytest.approx(0.7)
    done = run("compare", *folders)
    assert done.out.splitlines()[0].split() == ["strategy", "one", "two"]
    compared = compare_sweeps(load_sweeps(pair))
    assert "    strategy & one & two \\\\" in compared.to_latex().splitlines()
    assert "$^{+}$} & " in compared.to_latex()
    assert compared.to_markdown().startswith("| strategy | one | two |\n")
    assert compared.to_csv().splitlines()[0].startswith("sweep,data,encoder,row,at,strategy")
    refused = run("compare", folders[0])
    assert (refused.code, refused.out, refused.err) == (
        2,
        "",
        "error: folders: must be two results folders at least, got 1\n",
    )
