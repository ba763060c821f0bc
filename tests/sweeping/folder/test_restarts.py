import pytest

from raybert.files import write_json
from raybert.sweeping.folder.layout import SweepFolder
from raybert.sweeping.folder.restarts import note_restart, read_restarts


@pytest.fixture
def trial(tmp_path):
    trial = SweepFolder(tmp_path).trial("t")
    trial.path.mkdir(parents=True)
    return trial


def leave(trial, **beat):
    write_json(trial.path / "heartbeat.json", {"pid": 7, "host": "node-a", "step": 40, **beat})


def whys(trial):
    return [line["why"] for line in read_restarts(trial.path)]


def test_the_first_start_is_no_restart(trial):
    note_restart(trial.path, 1)
    assert read_restarts(trial.path) == []


def test_a_run_that_saved_and_left_was_asked_to(trial):
    leave(trial, ended=True)
    note_restart(trial.path, 2)
    (line,) = read_restarts(trial.path)
    assert (line["why"], line["owner"], line["step"]) == ("it had been asked to save and stop", 2, 40)


def test_a_run_that_left_without_a_word_says_who_was_at_it(trial):
    leave(trial)
    note_restart(trial.path, 2)
    assert whys(trial) == [
        "its process (pid 7 on node-a) had ended without leaving a reason: the sweep was killed or cancelled, or the machine was lost"
    ]


def test_a_failed_attempt_is_the_reason_once(trial):
    leave(trial)
    trial.add_attempt("lost", "TrialError: the trial's process died\n\nlong")
    note_restart(trial.path, 1)
    leave(trial, ended=True)
    note_restart(trial.path, 1)
    trial.fail("ValueError: no\n\ntraceback", "error")
    trial.forget_failure()
    note_restart(trial.path, 2)
    assert whys(trial) == [
        "attempt 1 failed (lost): TrialError: the trial's process died",
        "it had been asked to save and stop",
        "attempt 2 failed (error): ValueError: no",
    ]


def test_a_result_that_is_not_good_any_more_leaves_its_reason(trial):
    leave(trial, ended=True)
    trial.finish({})
    trial.forget_result("result.json damaged, set aside as *.damaged")
    note_restart(trial.path, 3)  # its time counts anew: there is no other trace
    assert whys(trial) == ["result.json damaged, set aside as *.damaged"]
