"""Where accuracy and recall disagree, `train.best_metric` decides everywhere: no place publishes what another denies."""

import pandas as pd
import pytest

from raybert.analysis import load_sweep, plots, publish_results
from raybert.analysis.statistics.equal_cost import equal_cost_table
from raybert.config import validate_config
from raybert.sweeping.folder.best import best_trials
from raybert.sweeping.folder.layout import SweepFolder
from raybert.sweeping.folder.predictions import validation_value
from raybert.sweeping.phases.model_keeper import ModelKeeper
from tests.analysis.folders import (
    make_spec,
    write_evaluations,
    write_plan,
    write_predictions,
    write_resolved,
    write_result,
)
from tests.analysis.plots.test_plots import drawn

LABELS = [0] * 8 + [1] * 2
BLIND = [0] * 10
"""Accuracy .8, recall 0."""
KEEN = [1] * 4 + [0] * 4 + [1] * 2
"""Accuracy .6, recall 1."""
RATES = {0.001: BLIND, 0.003: KEEN}


def planted(folder, measures=lambda rate: True):
    """A grid of two rates, one blind to the class that matters; runs measure recall where `measures` says so."""
    specs = [
        make_spec(name, seed, grid={"train.learning_rate": rate}, trial_id=f"{name}-{rate}-{seed}")
        for rate in RATES
        for name in ("random", "el2n")
        for seed in (0, 1)
    ]
    write_plan(folder, specs, ("no", "yes"))
    for spec in specs:
        rate = spec["grid"]["train.learning_rate"]
        is_keen = RATES[rate] is KEEN
        own = {"validation_recall": float(is_keen)} if measures(rate) else {}
        write_result(folder, spec, 0.6 if is_keen else 0.8, validation_accuracy=0.6 if is_keen else 0.8, **own)
        write_evaluations(folder, spec, (0.4, 0.5))
        write_predictions(folder, spec, LABELS, RATES[rate])
        model = folder / "trials" / spec["trial_id"] / "checkpoint" / "best"
        model.mkdir(parents=True)
        (model / "COMPLETE").touch()
    write_resolved(folder, train={"best_metric": "recall"})
    return folder, specs


@pytest.mark.slow
def test_recall_chooses_in_table_plot_folder_and_sentence(tmp_path):
    folder, _ = planted(tmp_path / "run")
    sweep = publish_results(folder)
    best = "random-0.003-0"
    assert (folder / "best" / "trial_id").read_text().strip() == best
    assert sweep.best()["configuration"] == "random, learning_rate 0.003"
    shown = sweep.comparison()
    assert [row.cells[1] for row in shown.rows] == ["0.003", "0.003", "0.001", "0.001"]
    assert [row.cells[4] for row in shown.rows] == ["100.0, 100.0"] * 2 + ["0.0, 0.0 !"] * 2
    words = "best on validation (recall (sensitivity) 100.0), and in best/: random, learning_rate 0.003."
    assert words in str(sweep)
    assert sweep.summary()["metric"].tolist() == ["recall"] * 4
    axes = drawn(plots.draw_accuracy(sweep)).axes[0]
    assert axes.get_xlabel().startswith("test recall")
    assert [label.get_text().split(",")[1].strip() for label in axes.get_yticklabels()][-1].startswith(
        "learning_rate 0.003"
    )


def test_what_keeps_refits_and_ranks_reads_one_value(tmp_path):
    """Also where a grid varies `best_metric`, and only the blind runs have measured recall."""
    folder, specs = planted(tmp_path / "run", lambda rate: rate == 0.001)
    runs = SweepFolder(folder)
    values = {spec["trial_id"]: validation_value(runs.trial(spec["trial_id"]), "recall") for spec in specs}
    assert values == {spec["trial_id"]: float("0.003" in spec["trial_id"]) for spec in specs}
    assert tuple(best_trials(specs, values, "recall")) == load_sweep(folder).best_trials
    config = validate_config(
        {"sweep": {"strategies": ["random", "el2n"], "keep_best": 1}, "train": {"best_metric": "recall"}}
    )
    keeper = ModelKeeper(runs, config, [Line(spec) for spec in specs], print)
    keeper.begin()
    left = {spec["trial_id"] for spec in specs if runs.trial(spec["trial_id"]).has_model()}
    assert left == {"random-0.003-0"}


class Line:
    """A run as its line of plan.json has it: all that a keeper asks of it."""

    def __init__(self, line):
        self.line, self.trial_id, self.role = line, line["trial_id"], line["role"]

    def summary(self):
        return self.line


def test_equal_cost_says_what_chose(tmp_path):
    folder, specs = planted(tmp_path / "run")
    for spec in specs:
        path = folder / "trials" / spec["trial_id"] / "evaluations.jsonl"
        rows = pd.read_json(path, lines=True)
        rows["validation_recall"], rows["validation_accuracy"] = [0.9, 0.1], [0.3, 0.8]
        rows.to_json(path, orient="records", lines=True)
    sweep = load_sweep(folder)
    table = equal_cost_table(sweep.trials, sweep.evaluations, sweep.grid_columns, sweep.metric)
    spent = table[(table["cost"] == "examples") & (table["cost_of_random"] == 1.0)]
    assert spent["metric"].tolist() == ["recall"] * 4
    assert spent["validation_recall"].tolist() == [0.9] * 4
    assert spent["validation_accuracy"].tolist() == [0.3] * 4  # that of the evaluation that recall chose
