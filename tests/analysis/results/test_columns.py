"""Every frame of a `Sweep` has the columns that are declared of its table, in their order and of their types."""

import re

import pytest

from raybert import tables
from raybert.analysis import load_sweep
from tests.analysis.folders import make_spec, write_error, write_plan, write_sample_sweep

FRAMES = {
    "TRIALS": lambda sweep: sweep.trials,
    "EVALUATIONS": lambda sweep: sweep.evaluations,
    "SUMMARY": lambda sweep: sweep.summary(),
    "COMPARISONS": lambda sweep: sweep.compare(),
    "AS_GOOD_AS_ALL": lambda sweep: sweep.as_good_as_all(),
    "OVERLAP": lambda sweep: sweep.overlap(),
    "AGREEMENT": lambda sweep: sweep.agreement,
    "PARETO": lambda sweep: sweep.pareto(),
    "COST_TO_REACH": lambda sweep: sweep.cost_to_reach,
    "BUDGET_CURVE": lambda sweep: sweep.budget_curve(),
    "EQUAL_COST": lambda sweep: sweep.equal_cost,
    "PER_PASS": lambda sweep: sweep.per_pass,
    "METRICS_PER_TRIAL": lambda sweep: sweep.metrics_per_trial,
    "METRIC_MEANS": lambda sweep: sweep.metrics,
    "SELECTED_CLASSES": lambda sweep: sweep.class_shares,
}


STATES = [pytest.param("finished", marks=pytest.mark.long), "interrupted", "nothing yet"]


@pytest.fixture(scope="module", params=STATES)
def sweep(request, tmp_path_factory):
    """Budgets are varied; of the interrupted one a run has failed, a strategy is missing, and a line is torn."""
    place = tmp_path_factory.mktemp("columns") / "run"
    specs = [make_spec(name, seed) for name in ("random", "el2n") for seed in range(2)]
    if request.param == "nothing yet":
        return load_sweep(write_plan(place, specs))
    write_sample_sweep(place, ("random", "el2n", "k_center"), (40, 80), 2)
    if request.param == "interrupted":
        for trial in place.glob("trials/el2n-*"):
            (trial / "result.json").unlink()
            with (trial / "evaluations.jsonl").open("a") as file:
                file.write('{"evaluation": ')
        (failed,) = place.glob("trials/k_center-40-1-*")
        (failed / "result.json").unlink()
        write_error(place, {"trial_id": failed.name})
    return load_sweep(place)


@pytest.mark.parametrize("name", FRAMES)
def test_a_frame_has_the_columns_that_the_reference_lists(sweep, name):
    table, frame, grid = getattr(tables, name), FRAMES[name](sweep), sweep.grid_columns
    optional = {column.name for column in table if column.optional} | {column.name for column in table.further}
    declared = [column for column in table.order(grid) if column not in optional or column in frame]
    assert [column for column in frame if column not in optional] == [c for c in declared if c not in optional]
    assert {c: str(frame[c].dtype) for c in frame if c in table} == {c: table[c].dtype for c in frame if c in table}


@pytest.mark.long
def test_a_metric_that_is_asked_for_has_the_columns_that_every_metric_has(sweep):
    if not (sweep.trials["status"] == "complete").any():
        pytest.skip("no trial has one")
    own, asked = sweep.summary(), sweep.summary("weighted_f1")
    assert [*own] == [*asked]
    assert [*sweep.compare()] == [*sweep.compare("random", "loss")]


def test_a_key_that_is_no_column_of_a_table_is_said():
    (entry,) = [e for e in tables.describe_columns(tables.OVERLAP) if e.name == "<dotted key>"]
    assert re.search("not `selection.budget`$", entry.description)
    assert "selection.budget" not in tables.OVERLAP.order(["selection.budget", "train.learning_rate"])
    assert "selection.budget" in tables.PARETO.order(["selection.budget"])
