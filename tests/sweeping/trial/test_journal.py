"""What a trial says of itself in its log, line by line."""

import logging
import os
import re

import pytest

from raybert.sweeping.folder.last_evaluation import last_evaluation
from raybert.sweeping.folder.layout import SweepFolder
from raybert.sweeping.trial.journal import SECONDS_BETWEEN_SIGNS, Journal
from raybert.sweeping.trial.run import run_trial
from tests.sweeping.folder.test_trial_log import words
from tests.sweeping.trial.test_surroundings import spec_of


def row(number, step, f1, seconds, **others):
    numbers = {"step": step, "examples_seen": 16 * step, "train_loss": 0.5, "validation_f1": f1, "seconds": seconds}
    return {"evaluation": number, "pass": step / 10, "learning_rate": 2.1e-5, **numbers, **others}


def no_rows():
    raise AssertionError("the file is read where a process goes on with a run, and nowhere else")


@pytest.fixture
def log(caplog):
    caplog.set_level(logging.INFO)
    return logging.getLogger("raybert.trial.x")


def test_an_evaluation_has_place_loss_the_metric_by_its_name_rate_and_pace(log, caplog):
    journal = Journal("f1", 120)
    journal.evaluated(log, row(1, 12, 0.5, 2.0), no_rows)
    journal.evaluated(log, row(2, 24, 0.4, 4.0, train_loss=float("nan")), no_rows)
    journal.evaluated(log, row(3, 36, 0.6, 4.5), no_rows)
    rest = "validation f1 0.500, rate 2.1e-05, 96 examples/s; the best so far"
    assert caplog.messages == [
        f"evaluation 1 at step 12/120, 192 examples seen: loss 0.500, {rest}",
        "evaluation 2 at step 24/120, 384 examples seen: loss not a number, validation f1 0.400, rate 2.1e-05, "
        "96 examples/s",
        "evaluation 3 at step 36/120, 576 examples seen: loss 0.500, validation f1 0.600, rate 2.1e-05, "
        "384 examples/s; the best so far",
    ]


def test_a_process_that_goes_on_knows_the_best_and_the_pace_of_before(log, caplog):
    earlier = [row(1, 12, 0.9, 2.0), row(2, 24, 0.4, 4.0), row(3, 36, 0.95, 9.0)]  # the third was lost, and comes again
    Journal("f1", 120, passes=4.0).anew().evaluated(log, row(3, 36, 0.6, 8.0), lambda: earlier)
    (line,) = caplog.messages
    assert line.startswith("evaluation 3 at pass 3.6/4, 576 examples seen: ")
    assert line.endswith(", 48 examples/s")  # 192 examples in 4 s; and not the best


def test_lower_is_better_where_the_metric_says_so(log, caplog):
    journal = Journal("loss", 120)
    for number, value in enumerate((0.7, 0.8, 0.6), 1):
        journal.evaluated(log, row(number, number, 0.0, number, validation_loss=value), no_rows)
    assert [line.endswith("the best so far") for line in caplog.messages] == [True, False, True]


def test_between_evaluations_a_line_comes_every_half_minute(log, caplog):
    now = [0.0]
    journal = Journal("f1", 1200)
    journal.signs.now = lambda: now[0]
    for seconds in range(int(2.5 * SECONDS_BETWEEN_SIGNS)):
        now[0] = float(seconds)
        journal.stepped(log, 10 * seconds)
    assert caplog.messages == ["step 300 of 1,200, 10 steps/s", "step 600 of 1,200, 10 steps/s"]


def test_a_pace_is_that_between_two_evaluations_that_follow_each_other():
    assert last_evaluation([row(4, 40, 0.5, 8.0)], "f1").examples_per_second is None
    assert last_evaluation([row(2, 20, 0.5, 4.0), row(4, 40, 0.5, 8.0)], "f1").examples_per_second is None
    assert last_evaluation([row(3, 30, 0.5, 8.0), row(4, 40, 0.5, 8.0)], "f1").examples_per_second is None
    assert last_evaluation([row(3, 30, 0.5, 4.0), row(4, 40, 0.5, 8.0)], "f1").examples_per_second == 40.0
    assert last_evaluation([], "f1") is None


def test_a_trial_tells_its_life_and_a_second_attempt_goes_on_below(prepared, tmp_path):
    spec = spec_of(prepared, steps=4)
    sweep = SweepFolder(tmp_path)
    sweep.stop_request.touch()  # it saves after its first step
    assert run_trial(spec, prepared.data, prepared.encoder, (), sweep, report=lambda row: None) == "stopped"
    folder = sweep.trial(spec.trial_id).path
    begins = f"INFO ==== random, seed 0: trial {spec.trial_id}, process {os.getpid()} on {os.uname().nodename}"
    assert words(folder)[:2] == [
        begins,
        "INFO trains on 30 of 300 examples, 4 steps, learning rate 5e-05, batches of 16",
    ]
    assert re.fullmatch(r"INFO selected 30 of 300 examples in 0\.\d\d s", words(folder)[2])
    assert words(folder)[3].startswith("INFO runs on the CPU in ")
    step = int(re.fullmatch(r"INFO stopped at step (\d), resumable", words(folder)[-1])[1])
    assert f"INFO checkpoint/last is of step {step}" in words(folder)
    sweep.stop_request.unlink()
    before = len(words(folder))
    assert run_trial(spec, prepared.data, prepared.encoder, (), sweep, report=lambda row: None) == "complete"
    again = words(folder)[before:]
    assert again[:2] == [begins, "WARNING begun again: it had been asked to save and stop"]
    assert f"INFO goes on from checkpoint/last, at step {step}" in again
    row = sweep.trial(spec.trial_id).rows()[-1]
    (evaluation,) = (line for line in again if f"evaluation {row['evaluation']} " in line)
    assert f" at step 4/4, 60 examples seen: loss {row['train_loss']:.3f}, validation accuracy " in evaluation
    assert again[-1].startswith("INFO complete: validation accuracy ")
