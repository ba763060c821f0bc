"""The process of a tracker: calls are answered, errors are words, and it stands back for trials."""

import io
import os
import pickle
import subprocess
import sys

import pytest

from raybert.config.track import TensorboardConfig
from raybert.tracking import child
from raybert.tracking.remote import RemoteEnd, RemoteTracker
from raybert.tracking.tracker import BeginAgain
from tests.tracking.folders import FakeTracker


def answers_to(tracker, monkeypatch, *calls):
    monkeypatch.setattr(child, "make_tracker", lambda *_: tracker)
    asked, answered = io.BytesIO(b"".join(pickle.dumps(call) for call in (("make",), *calls))), io.BytesIO()
    child.serve(asked, answered)
    answered.seek(0)
    return [pickle.load(answered) for _ in range(len(calls) + 1)]


def test_a_value_an_error_and_an_end_are_told_apart(monkeypatch, capsys):
    tracker = FakeTracker()
    tracker.errors = [None, OSError("down"), BeginAgain("CommError: no route")]
    end = ("end_trial", "run", "complete", {})
    assert answers_to(tracker, monkeypatch, end, end, end) == [
        ("value", True),
        ("value", None),
        ("error", "OSError: down"),
        ("end", "CommError: no route"),
    ]
    assert "OSError: down" in capsys.readouterr().err  # with its traceback, which goes to the log


def test_a_process_that_cannot_go_on_is_ended_and_said(tmp_path, monkeypatch):
    pytest.importorskip("tensorboard", reason="needs raybert[tensorboard]")
    tracker = RemoteTracker("tensorboard", TensorboardConfig(), tmp_path)
    monkeypatch.setattr("raybert.tracking.remote.pickle.load", lambda _: ("end", "CommError: no route"))
    with pytest.raises(RemoteEnd, match="^CommError: no route$"):
        tracker.close()
    assert tracker._process.poll() is not None


def test_it_yields_the_processor_to_trials():
    script = (
        "import os, sys, raybert.tracking.child as c; c.serve = lambda *_: os.write(1, b'%d' % os.nice(0)); c.main()"
    )
    found = subprocess.run([sys.executable, "-c", script], stdin=subprocess.DEVNULL, capture_output=True, check=True)
    assert int(found.stderr) == min(19, os.nice(0) + 19)
