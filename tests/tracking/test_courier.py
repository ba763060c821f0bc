"""A tracker that fails or is slow: said once, tried again, dropped; nobody waits for it."""

import threading

import pytest

from raybert.plain import remember_secret
from raybert.tracking.courier import Courier
from tests.tracking.folders import FakeTracker, complete, delivery, evaluate, write_folder

NEVER = 3600.0


@pytest.fixture
def folder(tmp_path):
    return write_folder(tmp_path)


def courier(folder, tracker, waits=(0.0, 0.0)):
    notes = []
    found = Courier(delivery(folder, tracker), notes.append, waits)
    return found, notes


def test_what_is_heard_before_and_after_the_start_is_sent_in_order_and_the_end_waits_for_all(folder):
    tracker = FakeTracker()
    sender, notes = courier(folder, tracker)
    evaluate(folder, "b", 1)
    sender.hear("b")
    sender.start()
    complete(folder, "a")
    sender.hear("a")
    sender.finish(has_results=True)
    assert sender.is_done(NEVER)
    ended = [call for call in tracker.calls if call[0] in ("end", "finish", "close")]
    assert ended == [("end", "run-a", "complete"), ("end", "run-b", "stopped"), ("finish", None), ("close",)]
    assert notes == []


def test_an_error_is_said_once_and_what_failed_is_sent_again(folder):
    tracker = FakeTracker()
    tracker.errors = [None, None, OSError("no\nroute"), OSError("no\nroute")]
    sender, notes = courier(folder, tracker, waits=(0.0, 0.0, 0.0))
    evaluate(folder, "a", 1)
    sender.hear("a")
    sender.start()
    sender.finish(has_results=False)
    assert sender.is_done(NEVER)
    assert [call for call in tracker.calls if call[0] == "log"] == [("log", "run-a", [10])]
    assert notes == ["note: track.mlflow: OSError: no route; tried again"]


def test_a_tracker_that_goes_on_failing_is_dropped_and_hears_nothing_more(folder):
    tracker = FakeTracker()
    tracker.errors = [OSError("down")] * 3
    sender, notes = courier(folder, tracker)
    complete(folder, "a")
    sender.hear("a")
    sender.start()
    assert not sender.is_done(NEVER)
    sender.hear("b")
    sender.finish(has_results=True)
    assert not sender.is_done(NEVER)
    assert tracker.calls == []
    assert notes == [
        "note: track.mlflow: OSError: down; tried again",
        "note: track.mlflow: OSError: down; given up, the runs go on without",
    ]
    assert list(sender.delivery.pending(["a", "b"])) == ["a"]


def test_errors_are_said_without_the_secrets_that_libraries_put_into_them(folder):
    remember_secret("k3y-of-a-tracker")
    tracker = FakeTracker()
    tracker.errors = [OSError("https://me:pass@host/ said no to k3y-of-a-tracker")]
    sender, notes = courier(folder, tracker, waits=())
    complete(folder, "a")
    sender.hear("a")
    sender.start()
    sender.is_done(NEVER)
    assert notes == [
        "note: track.mlflow: OSError: https://me:***@host/ said no to ***; given up, the runs go on without"
    ]


def test_nobody_waits_for_a_tracker_that_hangs_and_the_end_gives_it_up(folder):
    hangs, at_work = threading.Event(), threading.Event()

    def hang(run):
        at_work.set()
        hangs.wait()

    tracker = FakeTracker()
    tracker.at_log = hang
    sender, notes = courier(folder, tracker)
    evaluate(folder, "a", 1)
    sender.hear("a")
    sender.start()
    at_work.wait()
    for number in range(2, 5):
        evaluate(folder, "a", number)
        sender.hear("a")  # returns at once, and takes the place of those that wait
    assert list(sender._news) == ["a"]
    sender.finish(has_results=True)
    assert not sender.is_done(0.0)
    hangs.set()
    sender._thread.join()
    assert tracker.calls[-1] == ("close",)
    assert [call for call in tracker.calls if call[0] == "log"] == [("log", "run-a", [10])]
    assert notes == []


def test_an_owner_that_was_replaced_sends_nothing_more(folder):
    from raybert.sweeping.folder.layout import SweepFolder

    (folder.path / "attempt").write_text("2")
    tracker = FakeTracker()
    complete(folder, "a")
    sender, notes = courier(SweepFolder(folder.path, 1), tracker)
    sender.hear("a")
    sender.start()
    assert not sender.is_done(NEVER)
    assert tracker.calls == []
    assert notes == []
