import errno
import json

import pytest

from raybert.analysis import watch
from raybert.analysis.watch import ReportWatch, watch_results
from raybert.errors import SweepError
from tests.analysis.folders import make_spec, write_plan, write_result

SPECS = [make_spec("random", seed) for seed in range(3)]


class Steps:
    """What happens in a folder while somebody watches: one step whenever the watch sleeps."""

    def __init__(self, *steps):
        self.now = 0.0
        self.steps, self.published, self.is_over = list(steps), [], False

    def sleep(self, seconds):
        assert seconds == 7
        self.now += seconds
        self.steps.pop(0)()

    def end(self):
        self.is_over = True

    def publish(self, folder):
        sweep = watch.load_sweep(folder)
        self.published.append(int((sweep.trials["status"] == "complete").sum()))
        return sweep

    def watch(self, folder, note=lambda _: None):
        return ReportWatch(folder, lambda: self.is_over, note, 7, self.publish, self.sleep, lambda: self.now).results()


def finish(folder, number):
    return lambda: write_result(folder, SPECS[number], 0.8)


def nothing():
    pass


def test_results_are_written_whenever_runs_have_ended_and_not_between(tmp_path):
    folder = write_plan(tmp_path, SPECS)
    steps = Steps(finish(folder, 0), nothing, finish(folder, 1), nothing)
    steps.steps.append(steps.end)
    assert len(list(steps.watch(folder))) == 4
    assert steps.published == [0, 1, 2]  # the last time who ran the sweep writes them


def test_writing_takes_no_more_than_a_quarter_of_the_time(tmp_path):
    folder = write_plan(tmp_path, SPECS)
    steps = Steps(finish(folder, 0), finish(folder, 1), finish(folder, 2), nothing, nothing)
    steps.steps.append(steps.end)
    publish = steps.publish

    def slow(path):
        steps.now += 6  # so that it rests for 18: until the third look after that, at 7 each
        return publish(path)

    steps.publish = slow
    assert len(list(steps.watch(folder))) == 3
    assert steps.published == [0, 3]


def test_what_a_killed_sweep_leaves_is_written_at_the_end(tmp_path):
    folder = write_plan(tmp_path, SPECS)
    (folder / "owner.json").write_text(
        json.dumps({"host": "h", "pid": 1, "since": "now", "attempt": 1, "process": None})
    )
    steps = Steps(finish(folder, 0))
    watched = steps.watch(folder)
    next(watched)
    steps.end()
    assert len(list(watched)) == 1
    assert steps.published == [0, 1]


def test_before_there_is_a_plan_nothing_is_written(tmp_path):
    steps = Steps(lambda: write_plan(tmp_path, SPECS))
    steps.steps.append(steps.end)
    list(steps.watch(tmp_path))
    assert steps.published == [0]


def test_a_file_server_that_is_away_is_outlived_and_noted_once(tmp_path, monkeypatch):
    folder, notes = write_plan(tmp_path, SPECS), []
    steps = Steps(nothing, nothing)
    steps.steps.append(steps.end)
    publish, errors = steps.publish, [OSError(errno.ESTALE, "Stale file handle")] * 2

    def stale(path):
        if errors:
            raise errors.pop()
        return publish(path)

    monkeypatch.setattr(steps, "publish", stale)
    list(steps.watch(folder, notes.append))
    assert steps.published == [0]
    assert notes == ["note: watching: [Errno 116] Stale file handle; it is tried again"]


def test_where_nobody_runs_the_sweep_the_results_are_written_once(tmp_path, monkeypatch):
    folder, steps = write_plan(tmp_path, SPECS), Steps()
    monkeypatch.setattr(watch, "publish_results", steps.publish)
    assert len(list(watch_results(folder, 7, print))) == 1
    assert steps.published == [0]
    with pytest.raises(SweepError, match="must be the results folder of a sweep"):
        watch_results(tmp_path / "trials", 7, print)
