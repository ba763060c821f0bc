"""The text of a strategy says in words what the tables hold, and nothing that they do not."""

import json
import re

import numpy as np
import pytest
from scipy import stats

from raybert.analysis import load_sweep, publish_results
from raybert.analysis.results.strategy_texts import file_names, strategy_texts
from raybert.analysis.statistics.intervals import mean_interval
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
    assert text[-2:] == [
        "test accuracy                79.0 % [76.4, 81.4]  s 1.0",
        "training time                10.0 s  s 0.0",
    ]


def text_of_passes(folder, passes, accuracies=((0.3, 0.5, 0.6), (0.4, 0.5, 0.7), (0.5, 0.5, 0.8))):
    """What the text says of passes, of three seeds with an evaluation at each place (the pool has 40 examples)."""
    specs = [make_spec("random", seed) for seed in range(len(accuracies))]
    write_plan(folder, specs)
    for spec, values in zip(specs, accuracies, strict=True):
        write_result(folder, spec, values[-1])
        rows = []
        for number, (at, value) in enumerate(zip(passes, values, strict=True)):
            row = {"evaluation": number, "pass": at, "step": number + 1, "examples_seen": round(40 * at), "samples": 40}
            row |= {"train_loss": 1 - value, "train_accuracy": value + 0.1, "seconds": 1.0}
            rows.append(row | {"validation_accuracy": value, "validation_loss": 2 * (1 - value)})
        path = folder / "trials" / spec["trial_id"] / "evaluations.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    text = strategy_texts(load_sweep(folder))["random"]
    return text[text.index("a line is") :].splitlines()


def test_a_line_is_a_pass_with_intervals_over_seeds(tmp_path):
    said, header, *lines = text_of_passes(tmp_path, (1.0, 2.0, 3.0))
    assert said == "a line is a pass: accuracy and loss in training are those of its examples, validation is at its end"
    assert re.split("  +", header.strip()) == [
        *("pass", "train accuracy %", "validation accuracy %", "train loss", "validation loss", "samples"),
        "examples seen",
    ]
    low, high = mean_interval(0.7, 0.1, 3)
    third = re.split("  +", lines[2].strip())
    assert third[:3] == ["3", "80.0 [45.9, 95.0]", f"70.0 [{100 * low:.1f}, {100 * high:.1f}]"]
    assert third[-2:] == ["40", "120"]
    # Logit intervals by hand: .7 with s .1 has the odds 7/3; they are divided and multiplied by exp(half the width / .21).
    factor = np.exp(stats.t.ppf(0.975, 2) * 0.1 / np.sqrt(3) / 0.21)
    odds = np.array([7 / 3 / factor, 7 / 3 * factor])
    assert [low, high] == pytest.approx(odds / (1 + odds))
    assert lines[3:] == ["", "test accuracy                70.0 % [41.7, 88.4]  s 10.0", lines[5]]


def test_of_several_evaluations_a_line_is_the_last_of_its_pass(tmp_path):
    said, header, *lines = text_of_passes(tmp_path / "ends", (0.5, 1.0, 2.0))
    assert (
        said
        == "a line is the evaluation at the end of a pass; training accuracy and loss are those since the evaluation before"
    )
    assert [line.split()[0] for line in lines[:2]] == ["1", "2"]
    assert re.split("  +", lines[0].strip())[2] == "50.0"  # of the one at .5 nothing is said
    said, header, *lines = text_of_passes(tmp_path / "between", (0.4, 0.8, 3.7))
    assert said.startswith("a line is the last evaluation within a pass, not all at its end (see `at`); ")
    assert header == "2 of 4 passes have no evaluation, and no line"
    assert [line.split()[:2] for line in lines[1:3]] == [["1", "0.80"], ["4", "3.70"]]


def test_passes_that_fewer_seeds_reach_say_so(tmp_path):
    specs = [make_spec("random", seed) for seed in range(3)]
    folder = write_plan(tmp_path, specs)
    for spec, length in zip(specs, (3, 3, 2), strict=True):
        write_result(folder, spec, 0.5)
        write_evaluations(folder, spec, [0.3, 0.4, 0.5][:length], 40 * length)
    lines = strategy_texts(load_sweep(folder))["random"].splitlines()
    (at,) = (i for i, line in enumerate(lines) if line.lstrip().startswith("pass "))
    assert lines[at].endswith("over")
    assert [line.split()[-1] for line in lines[at + 1 : at + 4]] == ["3", "3", "2"]


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
    assert "  95 % of all on validation  after 3,648 forward passes\n" in texts["all"]
    assert "  95 % of all on validation  never, in 2 runs\n" in texts["random"]
    assert "  95 % of all on validation  in 1 of 2 runs\n" in texts["el2n"]
    assert "  95 % of all on validation  after 2,880 forward passes, 79 % of all's\n" in texts["aum"]
