"""A trial's log: whole lines, harmless ones, of the trial that runs, whatever process it runs in."""

import logging
import os
import warnings

import pytest

from raybert.plain import remember_secret
from raybert.sweeping.folder.trial_folder import TrialFolder
from raybert.sweeping.folder.trial_log import append_to_log, opened_log, trial_log


def words(folder):
    """The lines of a log, without their times."""
    lines = (folder / "log.txt").read_text().splitlines()
    return [line if line.startswith(" ") else line.split(" ", 2)[2] for line in lines]


def test_what_others_wrote_is_shown_and_does_not_act(tmp_path):
    remember_secret("hunter2hunter2")
    with opened_log(tmp_path) as log:
        log.info("label \x1b[2Jel2n\n2026-11-30 03:00:00,000 INFO complete: hunter2hunter2")
    assert words(tmp_path) == ["INFO label \\x1b[2Jel2n", "    2026-11-30 03:00:00,000 INFO complete: ***"]


def test_a_traceback_belongs_to_its_line(tmp_path):
    with opened_log(tmp_path) as log:
        try:
            raise ValueError("a\rb")
        except ValueError:
            log.exception("failed")
    first, second, *_, last = words(tmp_path)
    assert (first, second) == ("ERROR failed", "    Traceback (most recent call last):")
    assert last == "    ValueError: a\\rb"


def test_a_line_is_one_write_and_a_torn_one_is_ended_first(tmp_path, monkeypatch):
    (tmp_path / "log.txt").write_bytes(b"2026-11-30 03:00:00,000 INFO evalu")
    with opened_log(tmp_path) as log:
        log.info("goes on")
        log.info("and on")
    assert words(tmp_path) == ["INFO evalu", "INFO goes on", "INFO and on"]


@pytest.mark.fault("disk full")
def test_a_full_disk_takes_lines_away_and_fails_nothing(tmp_path):
    with opened_log(tmp_path) as log:
        (handler,) = log.handlers
        whole = handler._file
        with open("/dev/full", "ab", buffering=0) as handler._file:
            log.info("finds no room")
        handler._file = whole
        log.info("finds room")
    assert words(tmp_path) == ["INFO finds room"]


def test_training_and_warnings_are_heard_while_a_trial_runs_and_not_afterwards(tmp_path, recwarn):
    training = logging.getLogger("raybert.training.loop")
    level, shown = logging.getLogger("raybert.training").level, warnings.showwarning
    with opened_log(tmp_path):
        training.info("checkpoint/last is of step 3")
        warnings.showwarning(UserWarning("odd"), UserWarning, "file.py", 7)
    training.info("of another run")
    assert words(tmp_path) == ["INFO checkpoint/last is of step 3", "WARNING UserWarning: odd (file.py:7)"]
    assert trial_log(tmp_path).handlers == logging.getLogger("raybert.training").handlers == []
    assert (logging.getLogger("raybert.training").level, warnings.showwarning) == (level, shown)


def test_the_driver_says_what_a_process_that_is_gone_cannot_say(tmp_path):
    append_to_log(tmp_path, "the trial's process died")
    assert os.listdir(tmp_path) == [], "a run that never began has no log"
    with opened_log(tmp_path):
        pass
    append_to_log(tmp_path, "the trial's process died")
    TrialFolder(tmp_path).prune("worse than half of the others")
    assert words(tmp_path) == ["ERROR the trial's process died", "INFO not finished: worse than half of the others"]
