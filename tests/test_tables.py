"""Columns are declared once, rows are whole, and names of raybert 0.1 are read."""

import math

import pytest

from raybert.config.metrics import EVALUATION_METRICS, METRICS, TRIAL_METRICS
from raybert.tables import (
    EVALUATIONS,
    RENAMED_COLUMNS,
    SUMMARY,
    TABLES,
    TRIALS,
    Column,
    Table,
    describe_columns,
    with_new_names,
)
from raybert.tables.evaluation import OF_COMMANDS

SMALL = Table(
    "small",
    "a row",
    (
        Column("strategy", "text", "of the plan", origin="plan"),
        Column("loss", "number", "measured", "nat"),
        Column("notes", "text", "maybe", optional=True),
        Column("total", "number", "computed later", origin="tables"),
    ),
    grid_after="strategy",
    further=(Column("mcc", "number", "on request", optional=True),),
    parameters_after="loss",
)


def test_a_whole_row_is_returned_as_it_is():
    row = {"loss": 0.5, "strategy": "random", "mcc": math.nan}
    assert SMALL.row(row) == row
    assert SMALL.row({"loss": 0.5}) == {"loss": 0.5}, "who writes the row need not know the plan"


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({}, "unknown: none; missing: loss"),
        ({"loss": 1.0, "los": 1.0}, "unknown: los; missing: none"),
        ({"loss": 1.0, "total": 1.0}, "unknown: total; missing: none"),
    ],
)
def test_a_row_with_another_name_or_without_one_is_an_error(row, said):
    with pytest.raises(ValueError, match=f"a row of `small` must have the columns .*; {said}"):
        SMALL.row(row)


def test_varied_and_tuned_hyperparameters_have_their_place():
    assert SMALL.order(["train.epochs"]) == ["strategy", "train.epochs", "loss", "notes", "total"]
    assert SMALL.order([], ["model.dropout"]) == ["strategy", "loss", "model.dropout", "notes", "total"]
    described = {entry.description: entry.name for entry in describe_columns(SMALL)}
    assert [*described.values()] == ["strategy", "<dotted key>", "loss", "<dotted key>", "notes", "total", "mcc"]
    assert described["a tuned parameter, a column for each"] == "<dotted key>"


@pytest.mark.parametrize("table", (TABLES | OF_COMMANDS).values(), ids=TABLES | OF_COMMANDS)
def test_every_column_says_what_it_holds_and_none_has_a_name_of_raybert_01(table):
    names = [column.name for column in table]
    assert len(names) == len(set(names))
    assert not RENAMED_COLUMNS.keys() & set(names)
    assert all(entry.description and entry.type for entry in describe_columns(table))


def test_every_metric_has_its_columns():
    assert {f"validation_{name}" for name in METRICS} == {c.name for c in TRIALS if c.name.startswith("validation_")}
    assert {f"validation_{name}" for name in METRICS} == {
        column.name for column in EVALUATIONS if column.name.startswith("validation_")
    }
    always = {column.name for column in EVALUATIONS.columns}
    assert {name for name in METRICS if f"validation_{name}" in always} == set(EVALUATION_METRICS)
    assert {f"test_{name}" for name in METRICS} == {c.name for c in TRIALS if c.name.startswith("test_")}
    assert {f"test_{name}" for name in TRIAL_METRICS} == {c.name for c in TRIALS.columns if c.name.startswith("test_")}
    assert {f"test_{name}_mean" for name in TRIAL_METRICS} <= {column.name for column in SUMMARY}


def test_old_names_are_read_as_todays():
    old = {"epoch": 1.5, "best_epoch": 1.0, "samples_per_epoch": [4], "pool": 8, "step": 3}
    new = {"pass": 1.5, "best_pass": 1.0, "samples_per_pass": [4], "pool_size": 8, "step": 3}
    assert with_new_names(old) == new
    assert with_new_names(new) == new


def test_no_two_tables_have_one_name():
    assert not TABLES.keys() & OF_COMMANDS.keys()
