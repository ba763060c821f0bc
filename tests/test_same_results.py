"""The comparison of results sees what differs, and no clocks."""

import pandas as pd
import pytest

from tests.same_results import assert_same_results, assert_same_tables

TRIALS = {"trial_id": ["a", "b"], "status": "complete", "test_accuracy": ["0.5", "0.25"], "train_seconds": ["1", "2"]}


def tables(**changed):
    return {"trials": pd.DataFrame(TRIALS | changed), "pareto": pd.DataFrame({"cost": ["examples"], "spent": ["1"]})}


def write(folder, frames):
    (folder / "results").mkdir(parents=True)
    for name, frame in (frames | {"evaluations": pd.DataFrame({"a": []}), "summary": pd.DataFrame({"a": []})}).items():
        frame.to_csv(folder / "results" / f"{name}.csv", index=False)
    return folder


def test_seconds_do_not_count_as_columns_nor_as_rows():
    others = tables(train_seconds=["3", "4"])
    others["pareto"] = pd.concat([pd.DataFrame({"cost": ["seconds"], "spent": ["7"]}), others["pareto"]])
    assert_same_tables(tables(), others)


@pytest.mark.parametrize("changed", [{"test_accuracy": ["0.5", "0.2500001"]}, {"trial_id": ["a", "c"]}, {"more": "x"}])
def test_a_last_digit_a_row_or_a_column_counts(changed):
    with pytest.raises(AssertionError, match="trials"):
        assert_same_tables(tables(), tables(**changed))


def test_a_table_that_is_missing_counts():
    with pytest.raises(AssertionError, match="only one has .'pareto'."):
        assert_same_tables(tables(), {"trials": tables()["trials"]})


def test_folders_are_compared_by_what_they_publish(tmp_path):
    one, other = write(tmp_path / "one", tables()), write(tmp_path / "other", tables(train_seconds=["3", "4"]))
    assert_same_results(one, other)
    failed = write(tmp_path / "failed", tables(status=["complete", "failed"]))
    with pytest.raises(AssertionError):
        assert_same_results(failed, failed)
