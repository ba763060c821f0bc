"""Trackers hear what the driver hears; commands without them are as they were."""

import threading

import pytest

from raybert.config.track import TrackConfig
from raybert.sweeping.driver.progress import Progress
from raybert.tracking import makers
from raybert.tracking.follow import tracking
from tests.tracking.folders import FakeTracker, complete, evaluate, write_folder


class Notes(Progress):
    def __init__(self):
        self.events = []

    def begin(self, trials, done):
        self.events.append("begin")

    def evaluated(self, spec, row):
        self.events.append("evaluated")

    def note(self, text):
        self.events.append(text)


class Spec:
    def __init__(self, trial_id):
        self.trial_id = trial_id


@pytest.fixture
def tracker(monkeypatch):
    fake = FakeTracker()
    monkeypatch.setattr(makers, "RemoteTracker", lambda name, config, folder: fake)
    return fake


def test_events_reach_the_view_and_the_tracker_and_earlier_trials_are_sent_at_the_end(tmp_path, tracker):
    folder, view = write_folder(tmp_path), Notes()
    complete(folder, "b")  # before there was a tracker
    with tracking(TrackConfig(mlflow={}), tmp_path, view) as trackers:
        trackers.progress.begin([Spec("a"), Spec("b")], {"b": "complete"})
        evaluate(folder, "a", 1)
        trackers.progress.evaluated(Spec("a"), {})
        complete(folder, "a")
        trackers.progress.ended(Spec("a"), "complete")
        assert trackers.publish(lambda: "published") == "published"
    ends = [call for call in tracker.calls if call[0] in ("end", "finish", "close")]
    assert ends == [("end", "run-a", "complete"), ("end", "run-b", "complete"), ("finish", None), ("close",)]
    assert view.events == ["begin", "evaluated"]


def test_without_trackers_the_view_is_told_itself_and_nothing_is_published(tmp_path):
    view = Notes()
    with tracking(TrackConfig(), tmp_path, view) as trackers:
        assert trackers.progress is view
        assert trackers.publish(lambda: 1 / 0) is None


def test_what_was_not_sent_is_said_at_the_end_with_the_command_that_sends_it(tmp_path, tracker, monkeypatch):
    folder, view = write_folder(tmp_path), Notes()
    monkeypatch.setattr("raybert.tracking.courier._SECONDS_BETWEEN_ATTEMPTS", ())
    tracker.errors = [OSError("down")] * 4
    complete(folder, "a")
    with tracking(TrackConfig(mlflow={}), tmp_path, view) as trackers:
        trackers.publish(lambda: None)
    (said,) = [event for event in view.events if "not sent" in event]
    assert said == (
        f"note: track.mlflow: not sent: 1 trial, tables and plots;  raybert track {tmp_path}  sends what is missing"
    )


def test_a_wait_for_trackers_is_said_unless_it_is_short(tmp_path, tracker, monkeypatch):
    monkeypatch.setattr("raybert.tracking.follow._SECONDS_IN_SILENCE", 0.0)
    folder, view, goes_on = write_folder(tmp_path), Notes(), threading.Event()
    tracker.at_log = lambda run: goes_on.wait()
    view.note = lambda text: (view.events.append(text), goes_on.set())
    evaluate(folder, "a", 1)
    complete(folder, "a")
    with tracking(TrackConfig(mlflow={}), tmp_path, view) as trackers:
        trackers.publish(lambda: None)
    assert view.events == ["note: track.mlflow: what is left is sent, for up to 60 s (track.wait_seconds)"]


def test_an_error_of_the_command_is_raised_and_open_runs_are_stopped(tmp_path, tracker):
    folder = write_folder(tmp_path)

    def fail():
        with tracking(TrackConfig(mlflow={}), tmp_path, Notes()) as trackers:
            trackers.progress.begin([Spec("a")], {})
            evaluate(folder, "a", 1)
            trackers.progress.evaluated(Spec("a"), {})
            raise ValueError("mine")

    with pytest.raises(ValueError, match="mine"):
        fail()
    assert ("end", "run-a", "stopped") in tracker.calls
