"""Which logs `raybert logs` shows, and how it follows them: one world that a fake `sleep` moves on."""

import os
import re

import pytest

from raybert import commands
from raybert.errors import SweepError
from raybert.files import write_json
from raybert.sweeping.driver.follow_logs import LogFollower
from raybert.sweeping.driver.trial_logs import read_logs
from raybert.sweeping.folder.layout import SweepFolder
from raybert.sweeping.folder.ownership import own
from tests.sweeping.driver.test_status import folder  # noqa: F401 - a fixture

ATTEMPT = 7


def write(folder, trial_id, *lines, at_work=False):  # noqa: F811
    path = folder.trial(trial_id).path
    path.mkdir(parents=True, exist_ok=True)
    with (path / "log.txt").open("a") as log:
        log.writelines(f"{line}\n" for line in lines)
    if at_work:
        write_json(path / "heartbeat.json", {"attempt": ATTEMPT, "step": 1})


def shown(folder, *arguments):  # noqa: F811
    found = read_logs(folder.path, *(*arguments, None, None)[:2])
    return [(log.trial_id, log.status, log.lines(found.last)) for log in found.trials]


@pytest.fixture
def begun(folder):  # noqa: F811
    """A sweep of which nothing is at work, whose trials have logs."""
    for trial_id in ("random0", "el2n0", "random1", "el2n1"):
        write(folder, trial_id, *(f"{trial_id} line {number}" for number in range(12)))
    for seconds, trial_id in enumerate(("el2n0", "el2n1", "random0", "random1")):
        os.utime(folder.trial(trial_id).path / "log.txt", (seconds, seconds))
    return folder


def test_what_failed_is_shown_where_nothing_is_at_work_the_last_one_last(begun):
    assert [log[:2] for log in shown(begun)] == [("el2n1", "failed"), ("random1", "failed")]
    assert shown(begun)[0][2] == [f"el2n1 line {number}" for number in range(2, 12)]
    assert str(read_logs(begun.path, None, 1)).splitlines() == [
        "nothing is at work; 2 runs failed",
        "==> el2n-s1 el2n1 (failed) <==",
        "el2n1 line 11",
        "==> random-s1 random1 (failed) <==",
        "random1 line 11",
    ]


def test_what_ended_last_is_shown_where_nothing_failed(begun):
    for trial_id in ("random1", "el2n1"):
        begun.trial(trial_id).forget_failure()
        (begun.trial(trial_id).path / "log.txt").unlink()
    assert [log[:2] for log in shown(begun)] == [("random0", "complete")]
    assert len(shown(begun)[0][2]) == 12


def test_a_trial_is_meant_by_id_by_its_beginning_by_strategy_and_by_seed(begun):
    assert [log[0] for log in shown(begun, "el2n0")] == ["el2n0"]
    assert [log[0] for log in shown(begun, "el2n-s0")] == ["el2n0"]
    assert [log[0] for log in shown(begun, "el2n-s0-el2n0")] == ["el2n0"]
    assert [log[0] for log in shown(begun, "el2n")] == ["el2n1"]  # of its three, the one that failed
    write(begun, "0a1b", "alone")
    spec = {"label": "k_center", "seed": 1000, "role": "tune"}
    write_json(begun.trial("0a1b").path / "spec.json", {"spec": spec})
    assert shown(begun, "0a") == shown(begun, "k_center-s1000") == [("0a1b", "pending", ["alone"])]


def test_a_trial_that_nobody_knows_is_one_line_with_the_nearest(begun):
    with pytest.raises(SweepError, match=r"got 'el2m'; did you mean 'el2n'\?$"):
        read_logs(begun.path, "el2m", None)
    with pytest.raises(SweepError, match=r"got 'random-s7'; did you mean 'random-s\d'\?$"):
        read_logs(begun.path, "random-s7", None)
    with pytest.raises(SweepError, match=r"one trial whose id begins with 'rand', got 3: random0 \(random-s0\), "):
        read_logs(begun.path, "rand", None)
    with pytest.raises(SweepError, match="must be the results folder of a sweep, but has no plan"):
        read_logs(begun.trial("el2n0").path, None, None)


def test_a_run_that_failed_before_it_began_shows_its_error(folder):  # noqa: F811
    (log,) = shown(folder, "el2n1")
    assert log[2] == ["OutOfMemoryError: one example must fit", "", "traceback"]


def test_what_is_at_work_is_shown_first(begun):
    with own(begun.path, print):
        attempt = int((begun.path / "attempt").read_text())
        write(begun, "el2n2", "at work")
        write_json(begun.trial("el2n2").path / "heartbeat.json", {"attempt": attempt, "step": 3})
        assert shown(begun) == [("el2n2", "running", ["at work"])]
        assert read_logs(begun.path, None, None).why == "1 run at work"


def follow(folder, *events, trial=None, last=None):  # noqa: F811
    """Follow logs while events happen, one at each `sleep`; after the last one the owner is gone."""
    (folder.path / "attempt").write_text(str(ATTEMPT))
    waiting = list(events)
    gone = []

    def sleep(_):
        if not waiting:
            gone.append(True)
        else:
            waiting.pop(0)()

    follower = LogFollower(folder.path, trial, last, lambda: bool(gone), pytest.fail, sleep=sleep)
    return [(line.trial.trial_id, line.text) for line in follower.lines()]


def test_following_goes_over_to_what_starts_next_and_ends_with_the_sweep(begun):
    write(begun, "random2", *(f"old {number}" for number in range(3)), at_work=True)

    def ends():
        write(begun, "random2", "complete")
        begun.trial("random2").finish({"test_accuracy": 1.0})

    def starts():
        write(begun, "el2n2", "begins", at_work=True)

    def tears():
        with (begun.trial("el2n2").path / "log.txt").open("a") as log:
            log.write("evalu")

    def goes_on():
        write(begun, "el2n2", "ation 1")

    found = follow(begun, ends, starts, tears, goes_on, last=2)
    assert found == [
        *(("random2", line) for line in ("old 1", "old 2", "complete")),
        *(("el2n2", line) for line in ("begins", "evaluation 1")),
    ]


def test_following_one_trial_ends_with_it(begun):
    write(begun, "random2", "begins", at_work=True)

    def other():
        write(begun, "el2n2", "begins", at_work=True)

    def fails():
        write(begun, "random2", "failed")
        begun.trial("random2").fail("ValueError: no")

    assert follow(begun, other, fails, trial="random-s2") == [("random2", "begins"), ("random2", "failed")]


def test_a_trial_that_is_begun_again_is_followed_from_there(begun):
    write(begun, "random2", "==== first attempt")

    def again():
        write(begun, "random2", "==== second attempt", at_work=True)

    assert follow(begun, again) == [("random2", "==== second attempt")]


@pytest.mark.fault("a file server that is away for a moment")
def test_a_file_server_that_is_away_for_a_moment_ends_no_following(begun, monkeypatch):
    write(begun, "random2", "begins", at_work=True)
    notes, away = [], []
    scandir = os.scandir

    def maybe(path):
        if away:
            raise OSError(116, "Stale file handle")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", maybe)
    events = [lambda: away.append(1), lambda: away.clear(), lambda: write(begun, "random2", "goes on"), None]

    def sleep(_):
        event = events.pop(0)
        if event is not None:
            event()

    (begun.path / "attempt").write_text(str(ATTEMPT))
    lines = LogFollower(begun.path, None, None, lambda: not events, notes.append, sleep=sleep).lines()
    assert [line.text for line in lines] == ["begins", "goes on"]
    assert len(notes) == 1
    assert "Stale file handle" in notes[0]


def test_where_no_sweep_runs_following_prints_what_is_there(begun):
    lines = list(commands.follow_logs(begun.path, "el2n0", lines=1))
    assert [(line.trial.name, line.text) for line in lines] == [("el2n-s0", "el2n0 line 11")]


def test_the_command_prints_and_ctrl_c_leaves_it_with_0(begun, monkeypatch, capsys):
    from raybert import cli

    def run(*words):
        monkeypatch.setattr("sys.argv", ["raybert", "logs", str(begun.path), *words])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        return ended.value.code, capsys.readouterr()

    code, printed = run("el2n0", "-n", "1")
    assert (code, printed.out) == (0, "==> el2n-s0 el2n0 (complete) <==\nel2n0 line 11\n")
    code, printed = run("el2m")
    assert (code, printed.out) == (2, "")
    assert re.fullmatch(r"error: .*; did you mean 'el2n'\?\n", printed.err)

    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(commands, "follow_logs", interrupted)
    assert run("--follow")[0] == 0


def test_a_folder_of_a_sweep_that_has_just_begun_has_no_logs_yet(tmp_path):
    write_json(tmp_path / "plan.json", {"name": "s", "trials": []})
    assert str(read_logs(SweepFolder(tmp_path).path, None, None)) == "none of 0 runs has begun"
