"""The text of a strategy says in words what the tables hold, and nothing that they do not."""

import pytest

from raybert.analysis import load_sweep, publish_results
from raybert.analysis.results.strategy_texts import file_names, strategy_texts
from tests.analysis.folders import (
    make_spec,
    write_evaluations,
    write_grid_sweep,
    write_plan,
    write_resolved,
    write_result,
)
from tests.analysis.results.test_grids import SPREAD


def sweep_of(folder, accuracies):
    return load_sweep(write_grid_sweep(folder, list(accuracies), [{}], lambda name, _: accuracies[name]))


def test_what_is_reached_spent_and_saved_is_said(tmp_path):
    values = {"all": 0.8 + SPREAD, "loss_threshold": [0.78, 0.80, 0.79]}
    text = strategy_texts(sweep_of(tmp_path, values))["loss_threshold"].splitlines()
    assert text[:4] == [
        "loss_threshold",
        "==============",
        "the whole pool; 3 of 3 trials complete (seeds 0, 1, 2)",
        "means over 3 seeds, in brackets 95 % intervals; s: standard deviation",
    ]
    assert "test accuracy                79.0 % [76.4, 81.4]  s 1.0" in text
    assert any(line.startswith("validation accuracy          78.0 %") and "train.best_metric" in line for line in text)
    (place,) = (i for i, line in enumerate(text) if line.startswith("no difference to all shown"))
    assert text[place + 1] == (
        "  98.4 % of all in accuracy, saves 0.0 % of its examples (as forward passes), "
        "saves 0.0 % of its seconds (training and scoring)"
    )
    assert "  examples trained on        3,840  s 0" in text
    header, *lines = text[-9:]
    assert header.split()[:2] == ["pass", "examples"]
    assert lines[-1].split()[1] == "3,840"


@pytest.mark.slow
def test_two_seeds_are_two_values_and_one_is_one(tmp_path):
    both = strategy_texts(sweep_of(tmp_path / "two", {"random": [0.5, 0.6], "el2n": [0.7, 0.6]}))["el2n"]
    assert "two seeds: both values of each" in both
    assert "test accuracy                60.0 %, 70.0 %\n" in both
    assert "no verdict against random (+0.0 and +20.0 points, 2 seeds)" in both
    one = strategy_texts(sweep_of(tmp_path / "one", {"random": [0.5], "el2n": [0.7]}))["el2n"]
    assert "test accuracy                70.0 %\n" in one
    assert "140.0 % of random in accuracy" in one


def test_names_of_files_are_safe_and_each_another(tmp_path):
    labels = ("own:Parts/x", "own Parts x", "../up", "OWN_PARTS_X")
    specs = [make_spec(name, trial_id=f"t{number}") for number, name in enumerate(labels)]
    folder = write_plan(tmp_path, specs)
    for spec in specs:
        write_result(folder, spec, 0.5)
    names = file_names(load_sweep(folder))
    assert list(names.values()) == ["own_Parts_x", "own_Parts_x_2", "up", "OWN_PARTS_X_3"]


@pytest.mark.slow
def test_texts_and_pair_plots_are_those_of_today(tmp_path):
    values = {"all": 0.8 + SPREAD, "random": 0.6 + SPREAD, "el2n": 0.7 - SPREAD}
    folder = write_grid_sweep(tmp_path / "run", list(values), [{}], lambda name, _: values[name])
    write_resolved(folder, sweep={"strategies": list(values), "compare": [["all", "el2n"]]})
    (folder / "plots").mkdir()
    for suffix in (".png", ".svg"):
        (folder / "plots" / f"pair_a_b{suffix}").touch()
    (folder / "results" / "summaries").mkdir(parents=True)
    (folder / "results" / "summaries" / "gone.txt").touch()
    sweep = publish_results(folder)
    assert sorted(path.name for path in (folder / "results" / "summaries").iterdir()) == [
        "all.txt",
        "el2n.txt",
        "random.txt",
    ]
    pairs = sorted(path.name for path in (folder / "plots").glob("pair_*"))
    assert pairs == ["pair_all_el2n.png", "pair_all_el2n.svg"]
    assert sweep.comparisons[["baseline", "strategy"]].to_numpy().tolist() == [["all", "el2n"]]
    shown = sweep.comparison()
    assert shown.columns[5:7] == ("vs all [95 %]", "of all")
    cells = {row.cells[0]: row.cells[5:7] for row in shown.rows}
    assert cells["all"] == ("", "")
    assert cells["random"] == ("", "75.1 %")  # mean of 59/79, 60/80, 62/82
    assert cells["el2n"][0].startswith("-10.7 [")


def test_when_full_training_is_nearly_reached_stands_below_the_cost(tmp_path):
    curves = {("all", 0): (0.4, 0.8), ("all", 1): (0.4, 0.8), ("random", 0): (0.5, 0.6), ("random", 1): (0.5, 0.6)}
    curves |= {("el2n", 0): (0.72, 0.8), ("el2n", 1): (0.5, 0.7), ("aum", 0): (0.72, 0.8), ("aum", 1): (0.72, 0.8)}
    specs = {run: make_spec(*run, budget=400 if run[0] == "all" else 40) for run in curves}
    folder = write_plan(tmp_path, list(specs.values()))
    for run, accuracies in curves.items():
        write_result(folder, specs[run], accuracies[-1], examples_scored=0)
        write_evaluations(folder, specs[run], accuracies)
    texts = strategy_texts(load_sweep(folder))
    # Of 640 and 1,280 examples, three passes each: 95 % of .8 is .76, on the way from .4 at 1,920 to .8 at 3,840.
    assert "  95 % of all on validation  after 3,648 passes\n" in texts["all"]
    assert "  95 % of all on validation  never, in 2 runs\n" in texts["random"]
    assert "  95 % of all on validation  in 1 of 2 runs\n" in texts["el2n"]
    assert "  95 % of all on validation  after 2,880 passes, 79 % of all's\n" in texts["aum"]
