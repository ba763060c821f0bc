"""`raybert track`: a folder sent later, and only where its reader wants it to go."""

import json

import pytest

import raybert
from raybert.errors import ConfigError, ExitCode, SweepError
from tests.tracking.folders import FakeTracker, complete, evaluate, write_folder


@pytest.fixture
def tracker(monkeypatch):
    fake = FakeTracker()
    monkeypatch.setattr("raybert.tracking.makers.RemoteTracker", lambda name, config, folder: fake)
    monkeypatch.setattr("raybert.config.packages.find_spec", lambda name: object())
    return fake


def folder_with(tmp_path, **track):
    return write_folder(tmp_path, track=track, limits={})


def test_what_has_ended_is_sent_and_a_second_call_sends_no_trial_again(tmp_path, tracker):
    folder = folder_with(tmp_path)
    evaluate(folder, "a", 1)
    complete(folder, "a")
    first = raybert.track(tmp_path, "mlflow")
    assert (first.sent, first.exit_code) == ({"mlflow": 1}, ExitCode.DONE)
    assert [call[0] for call in tracker.calls] == ["open", "begin", "log", "end", "finish", "close"]
    tracker.calls.clear()
    assert str(raybert.track(tmp_path, "mlflow")) == f"mlflow: 1 trials of {tmp_path} are there"
    assert [call[0] for call in tracker.calls] == ["open", "finish", "close"]


def test_the_trackers_of_the_folders_own_file_are_taken_where_none_is_named(tmp_path, tracker):
    complete(folder_with(tmp_path, wandb={"project": "mine"}, tensorboard=None), "a")
    assert raybert.track(tmp_path).sent == {"wandb": 1}


def test_a_tracker_that_fails_is_told_by_the_exit_code(tmp_path, tracker, monkeypatch):
    complete(folder_with(tmp_path), "a")
    tracker.errors = [OSError("down")] * 4
    notes = []
    found = raybert.track(tmp_path, "mlflow", note=notes.append)
    assert (found.sent, found.failed, found.exit_code) == ({"mlflow": 0}, ("mlflow",), ExitCode.FAILED)
    assert notes[-1] == "track.mlflow: OSError: down; given up, the runs go on without"


def test_servers_that_the_file_of_a_folder_names_are_not_sent_to_unless_it_is_trusted(tmp_path, tracker):
    folder = folder_with(tmp_path, mlflow={"uri": "https://theirs/"}, tensorboard={"folder": "/etc"})
    complete(folder, "a")
    with pytest.raises(SweepError, match=r"says where to send \(track.mlflow.uri, track.tensorboard.folder\)"):
        raybert.track(tmp_path)
    with pytest.raises(SweepError, match=r"\(track.mlflow.uri\)"):
        raybert.track(tmp_path, "mlflow", overrides={"track.mlflow.experiment": "x"})
    assert tracker.calls == []
    assert raybert.track(tmp_path, "mlflow", overrides={"track.mlflow.uri": "https://mine/"}).sent == {"mlflow": 1}
    assert json.loads((tmp_path / "tracking" / "mlflow.json").read_text())["place"] == "https://mine/ raybert"
    assert raybert.track(tmp_path, trust=True).sent == {"mlflow": 1, "tensorboard": 1}


@pytest.mark.parametrize(
    ("to", "overrides", "message"),
    [
        ("neptune", (), "to: must be of mlflow, wandb, trackio, clearml, tensorboard, got 'neptune'"),
        ((), (), "to: must name a tracker"),
        ("mlflow", ["train.learning_rate=1"], "overrides: must be keys of `track`, got train"),
        ("mlflow", ["track.mlflow.url=x"], "track.mlflow.url"),
    ],
)
def test_what_cannot_be_sent_is_refused(tmp_path, tracker, to, overrides, message):
    folder_with(tmp_path)
    with pytest.raises(ConfigError, match=message):
        raybert.track(tmp_path, to, overrides=overrides)
