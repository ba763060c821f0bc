"""What a trial shows of itself while it runs, and when it stops: by signals of real processes where they matter."""

import contextlib
import errno
import json
import math
import os
import pickle
import subprocess
import sys
import time
from pathlib import Path

import pytest

from raybert.config import validate_config
from raybert.sweeping.folder import heartbeat
from raybert.sweeping.folder.fence import Superseded
from raybert.sweeping.folder.heartbeat import (
    STACK_SIGNAL,
    Heart,
    last_beat,
    read_beat,
    send_signal,
    stack_on_request,
)
from raybert.sweeping.folder.layout import SweepFolder
from raybert.sweeping.folder.ownership import own
from raybert.sweeping.folder.restarts import read_restarts
from raybert.sweeping.folder.signs import identity_of
from raybert.sweeping.trial.run import run_trial
from raybert.sweeping.trial.surroundings import TrialSurroundings
from raybert.training.pulse import pulse
from tests.processes import forked, wait_until
from tests.sweeping.planning import plan_of


@pytest.fixture
def surroundings(tmp_path):
    (tmp_path / "attempt").write_text("3")
    sweep = SweepFolder(tmp_path, attempt=3)
    return TrialSurroundings(sweep.trial("t"), sweep.stop_request, sweep.fence, total_steps=100)


def spec_of(prepared, steps=8, **limits):
    config = validate_config(
        {
            "train": {"length": {"steps": steps}, "batch_size": 16, "checkpoint_seconds": 0},
            "sweep": {"strategies": ["random"], "seeds": 1},
            "limits": limits,
        }
    )
    (spec,) = plan_of(config, prepared.facts).trials
    return spec


def test_a_living_trial_says_who_and_how_far_it_is(surroundings):
    with surroundings.alive():
        beat = read_beat(surroundings.folder.path)
        assert (beat["pid"], beat["host"], beat["attempt"]) == (os.getpid(), os.uname().nodename, 3)
        assert (beat["step"], beat["total_steps"]) == (0, 100)
        last = surroundings.heart.beats.last
        surroundings.heart.beats.now = lambda: last + heartbeat.SECONDS_BETWEEN_BEATS
        surroundings.stepped(17)
        assert read_beat(surroundings.folder.path)["step"] == 17
        surroundings.stepped(18)
        assert read_beat(surroundings.folder.path)["step"] == 17, "more than one beat a second"
    assert read_beat(surroundings.folder.path)["ended"]
    assert read_beat(surroundings.folder.path)["step"] == 18


def test_passes_over_examples_give_signs_of_life(surroundings):
    with surroundings.alive():
        before = surroundings.heart.beats.last
        surroundings.heart.beats.now = lambda: before + heartbeat.SECONDS_BETWEEN_BEATS
        pulse()
        assert surroundings.heart.beats.last > before
    pulse()  # nobody listens any more


def test_the_time_of_all_attempts_counts(tmp_path):
    (tmp_path / "heartbeat.json").write_text(json.dumps({"seconds": 50.0, "step": 4}))
    heart = Heart.begin(tmp_path, 1, 100)
    assert 50.0 <= heart.seconds < 51.0
    assert heart.step == 4


def test_a_signal_reaches_only_the_process_that_wrote_the_beat():
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    beat = {"pid": child.pid, "process": identity_of(child.pid)}
    assert not send_signal({**beat, "process": beat["process"] + "0"}, 9), "the number of a dead one"
    assert not send_signal({}, 9)
    assert child.poll() is None
    assert send_signal(beat, 9)
    assert child.wait(10) == -9
    assert not send_signal(beat, 9)


def test_a_process_that_hangs_says_where_on_request(tmp_path):
    with stack_on_request(tmp_path):
        os.kill(os.getpid(), STACK_SIGNAL)
        written = (tmp_path / "stack.txt").read_text()
    assert "test_a_process_that_hangs_says_where_on_request" in written
    assert "most recent call first" in written
    with stack_on_request(tmp_path):
        pass
    assert not (tmp_path / "stack.txt").exists(), "an empty file is left"


def test_a_trial_of_an_earlier_owner_stops_at_its_next_look_and_writes_nothing_more(surroundings, tmp_path):
    def train():
        with surroundings.alive():
            surroundings.report({"evaluation": 1})
            (tmp_path / "attempt").write_text("4")
            seen.update(read_beat(surroundings.folder.path))
            surroundings.looks.last = -math.inf
            surroundings.should_stop()

    seen: dict = {}
    with pytest.raises(Superseded, match="owner 3 was replaced"):
        train()
    with pytest.raises(Superseded, match="owner 3 was replaced"):
        surroundings.report({"evaluation": 2})
    assert surroundings.folder.rows() == [{"evaluation": 1}]
    assert read_beat(surroundings.folder.path) == seen


@pytest.mark.slow
def test_a_replaced_trial_ends_as_stopped_without_a_word(prepared, tmp_path):
    folder, spec = SweepFolder(tmp_path, attempt=1), spec_of(prepared)
    (tmp_path / "attempt").write_text("1")

    def replace_owner(row):
        (tmp_path / "attempt").write_text("2")

    assert run_trial(spec, prepared.data, prepared.encoder, (), folder, report=replace_owner) == "stopped"
    assert folder.trial(spec.trial_id).status() == "pending"
    again = SweepFolder(tmp_path, attempt=2)
    assert run_trial(spec, prepared.data, prepared.encoder, (), again, report=lambda row: None) == "complete"
    (restart,) = read_restarts(folder.trial(spec.trial_id).path)
    assert (restart["owner"], "ended without leaving a reason" in restart["why"]) == (2, True)
    assert run_trial(spec, prepared.data, prepared.encoder, (), again, report=lambda row: None) == "complete"
    assert len(read_restarts(folder.trial(spec.trial_id).path)) == 1


def train_slowly(prepared, spec, path: Path) -> None:
    """Run a trial under the first owner, slowly from the fifth step on, and say how it ended."""

    def wait(step: int) -> None:
        time.sleep(0.2 if step > 4 else 0.0)

    folder = SweepFolder(path, attempt=1)
    print(run_trial(spec, prepared.data, prepared.encoder, (), folder, lambda row: None, report_step=wait))


@pytest.mark.long
@pytest.mark.slow
def test_a_process_that_outlives_its_sweep_lets_go_and_the_next_one_goes_on_exactly(prepared, tmp_path):
    spec, path = spec_of(prepared, steps=120), tmp_path / "run"
    trial = SweepFolder(path).trial(spec.trial_id)
    with contextlib.ExitStack() as stack:
        with own(path, print) as attempt:
            assert attempt == 1
            survivor = stack.enter_context(forked(train_slowly, prepared, spec, path))
            wait_until(lambda: read_beat(trial.path).get("step", 0) >= 6, "the sixth step")
        with own(path, print) as attempt:
            folder = SweepFolder(path, attempt)
            assert survivor.is_alive()
            assert run_trial(spec, prepared.data, prepared.encoder, (), folder, lambda row: None) == "complete"
        assert survivor.end()[1] == "stopped\n"
    assert trial.status() == "complete"
    fresh = SweepFolder(tmp_path / "fresh")
    run_trial(spec, prepared.data, prepared.encoder, (), fresh, lambda row: None)
    assert trial.result()["test_loss"] == fresh.trial(spec.trial_id).result()["test_loss"]
    assert [row["evaluation"] for row in trial.rows()] == [
        row["evaluation"] for row in fresh.trial(spec.trial_id).rows()
    ]


@pytest.mark.fault("file server away for a moment")
@pytest.mark.parametrize("number", [errno.ESTALE, errno.EIO, errno.ETIMEDOUT])
def test_a_file_server_that_is_away_for_a_moment_fails_no_trial(surroundings, tmp_path, monkeypatch, caplog, number):
    read, failed = Path.read_text, []

    def away(path, **options):
        if path.name == "attempt" and len(failed) < 3:
            failed.append(1)
            raise OSError(number, os.strerror(number), str(path))
        return read(path, **options)

    with surroundings.alive():
        monkeypatch.setattr(Path, "read_text", away)
        for is_asked in (False, False, True):
            surroundings.looks.last = -math.inf
            assert not surroundings.should_stop()
            if is_asked:
                surroundings.stop_request.touch()
        surroundings.report({"evaluation": 1})
        surroundings.looks.last = -math.inf
        assert surroundings.should_stop()
    assert surroundings.folder.rows() == [{"evaluation": 1}]
    assert len([record for record in caplog.records if os.strerror(number) in record.message]) == 1


@pytest.mark.fault("disk full at a heartbeat")
def test_a_heartbeat_that_finds_no_room_is_seen_all_the_same(surroundings, monkeypatch):
    def full(path, value):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    path = surroundings.folder.path
    with surroundings.alive():
        os.utime(path / "heartbeat.json", (1, 1))
        before = last_beat(path)
        monkeypatch.setattr(heartbeat, "replace_json", full)
        surroundings.heart.beat(7, force=True)
        assert last_beat(path) != before


def test_surroundings_travel_without_what_belongs_to_this_process(surroundings):
    with surroundings.alive():
        away = pickle.loads(pickle.dumps(surroundings)).at_rank(0, 2)
    assert away.heart is None
    with away.working():
        assert away.heart is not None
    other = away.at_rank(1, 2)
    with other.working():
        assert other.fence.attempt == 3


@pytest.mark.slow
def test_a_trial_that_has_used_up_its_time_fails_and_a_larger_limit_continues_it(prepared, tmp_path):
    folder, spec = SweepFolder(tmp_path), spec_of(prepared, trial_seconds=0.001)
    trial = folder.trial(spec.trial_id)
    assert run_trial(spec, prepared.data, prepared.encoder, (), folder, report=lambda row: None) == "failed"
    assert trial.failure().kind == "time"
    assert "limits.trial_seconds: must end within 0.001 s, got to step 1 of 8" in trial.failure().message
    assert (trial.checkpoints / "last" / "COMPLETE").exists()
    trial.forget_failure()
    longer = spec_of(prepared, trial_seconds=600)
    assert longer.trial_id == spec.trial_id
    assert run_trial(longer, prepared.data, prepared.encoder, (), folder, report=lambda row: None) == "complete"
    fresh = SweepFolder(tmp_path / "fresh")
    run_trial(longer, prepared.data, prepared.encoder, (), fresh, report=lambda row: None)
    assert trial.result()["test_loss"] == fresh.trial(spec.trial_id).result()["test_loss"]


def test_between_two_beats_a_step_writes_nothing(surroundings):
    with surroundings.alive():
        beats, written = surroundings.heart.beats, last_beat(surroundings.folder.path)
        beats.now = lambda: beats.last + heartbeat.SECONDS_BETWEEN_BEATS / 2
        for step in range(100):
            surroundings.stepped(step)
            pulse()
        assert last_beat(surroundings.folder.path) == written
        beats.now = lambda: beats.last + heartbeat.SECONDS_BETWEEN_BEATS
        surroundings.stepped(100)
        assert last_beat(surroundings.folder.path) != written
