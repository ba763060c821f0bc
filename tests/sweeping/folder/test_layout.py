import json

import pytest

from raybert.errors import SweepError
from raybert.sweeping.folder.failures import Failure
from raybert.sweeping.folder.layout import SweepFolder


@pytest.fixture
def trial(tmp_path):
    trial = SweepFolder(tmp_path).trial("t")
    trial.path.mkdir(parents=True)
    return trial


def test_a_torn_line_is_skipped_and_the_next_row_is_whole(trial):
    trial.append_row({"evaluation": 1, "loss": 0.5})
    with (trial.path / "evaluations.jsonl").open("ab") as file:
        file.write(b'{"evaluation": 2, "lo')
    trial.append_row({"evaluation": 2, "loss": 0.4})
    trial.append_row({"evaluation": 2, "loss": 0.3})
    assert trial.rows() == [{"evaluation": 1, "loss": 0.5}, {"evaluation": 2, "loss": 0.3}]


def test_evaluations_of_raybert_01_are_read_and_go_on_in_a_file_of_the_new_name(trial):
    old, new = trial.path / "epochs.jsonl", trial.path / "evaluations.jsonl"
    old.write_text('{"evaluation": 1, "epoch": 0.5, "step": 3}\n')
    assert trial.rows() == [{"evaluation": 1, "pass": 0.5, "step": 3}]
    trial.take_new_names()
    assert not old.exists()
    trial.append_row({"evaluation": 2, "pass": 1.0, "step": 6})
    assert len(new.read_text().splitlines()) == 2
    assert [row["pass"] for row in trial.rows()] == [0.5, 1.0]
    trial.take_new_names()
    assert [row["pass"] for row in trial.rows()] == [0.5, 1.0]


def test_a_damaged_file_of_evaluations_is_named_as_it_is_called(trial):
    trial.finish({"optimizer_steps": 6})
    assert trial.damaged() == [trial.path / "evaluations.jsonl"]
    (trial.path / "epochs.jsonl").write_text('{"evaluation": 1, "step": 3}\n')
    assert trial.damaged() == [trial.path / "epochs.jsonl"]


def test_a_result_of_raybert_01_has_todays_names(trial):
    (trial.path / "result.json").write_text('{"best_epoch": 2.0, "samples_per_epoch": [4, 4], "pool": 40}')
    assert trial.result() == {"best_pass": 2.0, "samples_per_pass": [4, 4], "pool_size": 40}


def test_a_result_marks_completion_and_outweighs_an_error(trial):
    assert trial.status() == "pending"
    trial.fail("ValueError: no\n\ntraceback")
    assert trial.status() == "failed"
    trial.finish({"test_accuracy": 1.0})
    assert trial.status() == "complete"
    trial.fail("late")
    assert trial.status() == "complete"
    assert trial.result() == {"test_accuracy": 1.0}


def test_a_damaged_result_is_said(trial):
    (trial.path / "result.json").write_text("{")
    with pytest.raises(
        SweepError, match=r"result\.json: must be as raybert wrote it, but is damaged; the same sweep command"
    ):
        trial.result()


def test_a_failure_is_kept_with_its_kind_and_every_attempt(trial):
    trial.add_attempt("lost", "TrialError: the trial's process died\n\nlong", "node-a")
    trial.fail("OutOfMemoryError: too much\n\ntraceback", "oom", "node-b")
    assert trial.failure() == Failure("oom", "OutOfMemoryError: too much", "node-b", attempts=2)
    assert json.loads((trial.path / "failure.json").read_text())["kind"] == "oom"
    assert [attempt["kind"] for attempt in trial.attempts()] == ["lost", "oom"]
    trial.forget_failure()
    assert trial.status() == "pending"
    trial.finish({})
    assert [attempt["node"] for attempt in trial.attempts()] == ["node-a", "node-b"]


@pytest.mark.parametrize("damage", ["", "{", None])
@pytest.mark.parametrize("name", ["error.txt", "failure.json"])
def test_a_failure_whose_file_is_damaged_is_still_one_that_says_what_it_knows(trial, name, damage):
    trial.fail("ValueError: no\n\ntraceback", "nan")
    path = trial.path / name
    path.unlink() if damage is None else path.write_text(damage)
    assert trial.status() == "failed"
    failure = trial.failure()
    assert (
        failure.message
        == {"": "ValueError: no", "{": "{", None: "ValueError: no"}[damage if name == "error.txt" else ""]
    )
    assert failure.kind == ("error" if name == "failure.json" else "nan")


def test_a_pruned_run_is_neither_pending_nor_failed(trial):
    (trial.path / "pruned.json").write_text("{}")
    assert trial.status() == "pruned"
    trial.finish({})
    assert trial.status() == "complete"


def test_lost_evaluations_are_written_anew_from_what_the_run_knows(trial):
    rows = [{"evaluation": number, "loss": 1 / number} for number in (1, 2, 3)]
    trial.append_row(rows[2])
    trial.complete_rows(rows)
    assert trial.rows() == rows
