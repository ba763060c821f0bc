"""What is new in a results folder is sent once, in order, and into the same runs when it goes on."""

import json

import pytest

from tests.tracking.folders import FakeTracker, complete, delivery, evaluate, write_folder


def test_a_trial_is_begun_with_its_first_evaluation_and_ended_with_its_result(tmp_path):
    folder, tracker = write_folder(tmp_path), FakeTracker()
    sender = delivery(folder, tracker)
    sender.send_trial("a")
    assert tracker.calls == []
    evaluate(folder, "a", 1)
    sender.send_trial("a")
    sender.send_trial("a")
    evaluate(folder, "a", 2, 3)
    complete(folder, "a")
    sender.send_trial("a")
    sender.send_trial("a")
    assert tracker.calls == [
        ("open", "demo"),
        ("begin", "a"),
        ("log", "run-a", [10]),
        ("log", "run-a", [20, 30]),
        ("end", "run-a", "complete"),
    ]
    assert tracker.rows[-1] == (
        30,
        {
            "train/mean_loss": 2.0 / 3,
            "validation/accuracy": 0.3,
            "progress/pass": 0.5,
            "progress/examples_seen": 40.0,
            "progress/seconds": 1.0,
        },
    )
    assert tracker.summary == {"test/accuracy": 0.75, "best_validation/accuracy": 0.5, "cost/train_seconds": 3.0}


def test_parameters_are_those_of_the_run_without_passwords_and_without_what_is_of_the_sweep(tmp_path):
    folder, tracker = write_folder(tmp_path), FakeTracker()
    evaluate(folder, "a", 1)
    delivery(folder, tracker).send_trial("a")
    assert tracker.parameters == {
        "trial_id": "a",
        "role": "trial",
        "seed": 0,
        "budget": 4,
        "strategy": "el2n",
        "strategies.rounds": 5,
        "train.learning_rate": 1e-3,
        "data.source": "https://me:***@host/x",
    }


def test_another_process_goes_on_with_the_same_runs_and_sends_only_what_is_new(tmp_path):
    folder = write_folder(tmp_path)
    evaluate(folder, "a", 1, 2)
    first = delivery(folder, FakeTracker())
    first.send_trial("a")
    first.stop_trials()
    assert first.tracker.calls[-1] == ("end", "run-a", "stopped")
    evaluate(folder, "a", 2, 3)  # from its checkpoint on
    complete(folder, "a")
    tracker = FakeTracker()
    delivery(folder, tracker).send_trial("a")
    assert tracker.before == {"sweep": "the-sweep", "a": "run-a"}
    assert tracker.calls[2:] == [("log", "run-a", [30]), ("end", "run-a", "complete")]


def test_a_failed_trial_that_is_run_again_goes_on_in_its_run(tmp_path):
    folder, tracker = write_folder(tmp_path), FakeTracker()
    sender = delivery(folder, tracker)
    evaluate(folder, "a", 1)
    folder.trial("a").fail("TrialError: out of memory")
    sender.send_trial("a")
    folder.trial("a").forget_failure()
    sender.send_trial("a")
    evaluate(folder, "a", 2)
    complete(folder, "a")
    sender.send_trial("a")
    assert [call for call in tracker.calls if call[0] in ("begin", "end")] == [
        ("begin", "a"),
        ("end", "run-a", "failed"),
        ("begin", "a"),
        ("end", "run-a", "complete"),
    ]
    assert tracker.before["a"] == "run-a"


@pytest.mark.parametrize(("place", "goes_on"), [("here", True), ("elsewhere", False)])
def test_runs_in_another_place_are_begun_anew(tmp_path, place, goes_on):
    folder = write_folder(tmp_path)
    complete(folder, "a")
    delivery(folder, FakeTracker()).send_trial("a")
    tracker = FakeTracker()
    sender = delivery(folder, tracker, place)
    sender.send_trial("a")
    assert (tracker.calls == []) == goes_on
    assert list(delivery(folder, tracker, "here").pending(["a"])) == ([] if goes_on else ["a"])


def test_a_run_that_was_deleted_at_the_tracker_is_sent_again_as_a_whole(tmp_path):
    folder, tracker = write_folder(tmp_path), FakeTracker()
    evaluate(folder, "a", 1)
    delivery(folder, FakeTracker()).send_trial("a")
    tracker.begin_trial = lambda trial, run: "another"
    evaluate(folder, "a", 2)
    delivery(folder, tracker).send_trial("a")
    assert tracker.calls[-1] == ("log", "another", [10, 20])


def test_a_tracker_of_one_run_at_a_time_gets_trials_once_they_have_ended(tmp_path):
    folder, tracker = write_folder(tmp_path), FakeTracker(is_live=False)
    sender = delivery(folder, tracker)
    evaluate(folder, "a", 1)
    sender.send_trial("a")
    assert tracker.calls == []
    complete(folder, "a")
    sender.send_trial("a")
    assert tracker.calls[1:] == [("begin", "a"), ("log", "run-a", [10]), ("end", "run-a", "complete"), ("close",)]
    complete(folder, "b")
    sender.send_trial("b")
    assert [call[0] for call in tracker.calls[5:]] == ["open", "begin", "end", "close"]


def test_proxies_and_runs_of_a_search_are_not_sent(tmp_path):
    folder, tracker = write_folder(tmp_path), FakeTracker()
    for trial, role in (("a", "proxy"), ("b", "tune")):
        path = folder.trial(trial).path / "spec.json"
        path.write_text(path.read_text().replace('"role": "trial"', f'"role": "{role}"'))
        complete(folder, trial)
        delivery(folder, tracker).send_trial(trial)
    assert tracker.calls == []


def test_the_best_model_is_sent_once_for_each_trial_that_has_it(tmp_path):
    folder, tracker = write_folder(tmp_path), FakeTracker()
    (tmp_path / "best").mkdir()
    (tmp_path / "best" / "trial_id").write_text("a\n")
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "summary.csv").write_text("x\n")
    delivery(folder, tracker).finish()
    delivery(folder, tracker).finish()
    (tmp_path / "best" / "trial_id").write_text("b\n")
    delivery(folder, tracker, wants_model=False).finish()
    delivery(folder, tracker).finish()
    assert [call[1] for call in tracker.calls if call[0] == "finish"] == ["a", None, None, "b"]
    assert list(tracker.artifacts.tables) == ["summary.csv"]


def test_the_run_of_the_sweep_is_stopped_while_trials_are_left_and_no_count_of_an_earlier_start_stays(tmp_path):
    folder, tracker = write_folder(tmp_path), FakeTracker()
    complete(folder, "a")
    delivery(folder, tracker).finish()
    assert tracker.artifacts.status == "stopped"
    assert tracker.artifacts.summary == {"trials/complete": 1.0, "trials/failed": 0.0, "trials/pending": 1.0}
    folder.trial("b").fail("TrialError: out of memory")
    delivery(folder, tracker).finish()
    assert tracker.artifacts.status == "complete"
    assert tracker.artifacts.summary == {"trials/complete": 1.0, "trials/failed": 1.0, "trials/pending": 0.0}


@pytest.mark.parametrize(
    "damage", ["", "[]", '{"place": "here", "token": 3}', '{"place": "here", "token": "x", "runs": 5}']
)
def test_a_damaged_book_is_begun_anew(tmp_path, damage):
    folder, tracker = write_folder(tmp_path), FakeTracker()
    complete(folder, "a")
    (tmp_path / "tracking").mkdir()
    (tmp_path / "tracking" / "mlflow.json").write_text(damage)
    delivery(folder, tracker).send_trial("a")
    assert tracker.before["a"] is None
    book = json.loads((tmp_path / "tracking" / "mlflow.json").read_text())
    assert book["runs"] == {"a": {"run": "run-a", "step": -1, "status": "complete"}}
