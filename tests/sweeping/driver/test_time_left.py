"""One estimate of the time that is left: it begins as the plan's, follows the pace, waits with the sweep, and every view has it."""

import dataclasses
import io
import json
import os

import pytest
from rich.console import Console

from raybert.config import validate_config
from raybert.files import write_json
from raybert.sweeping.driver.progress import left_words
from raybert.sweeping.driver.state_file import RecordedProgress
from raybert.sweeping.driver.status import read_status
from raybert.sweeping.driver.time_left import Forecast, TimeLeft
from raybert.sweeping.folder.ownership import own
from raybert.sweeping.plan.specs import PoolFacts
from raybert.terminal.sweep_progress import LiveProgress, PlainProgress
from tests.sweeping.planning import plan_of

FACTS = PoolFacts("data", "encoder", 400, 2)


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.time = 1000.0

    def __call__(self) -> float:
        return self.time


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(scope="module")
def specs():
    """Two trials of 100 steps that read nothing, one that reads a proxy, and the proxy."""
    config = validate_config(
        {"sweep": {"strategies": ["random", "el2n"], "seeds": 1}, "train": {"length": {"steps": 100}}}
    )
    found = plan_of(config, FACTS).trials
    assert sorted(spec.label.split()[0] for spec in found) == ["el2n", "proxy", "random"]
    return found


def forecast_of(specs, *, seconds=20.0, slots=1, **phases) -> Forecast:
    by_phase = {"unscored": {}, "scored": {}}
    for spec in specs:
        by_phase["scored" if spec.label == "el2n" else "unscored"][spec.trial_id] = seconds
    steps = sum(spec.total_steps for spec in specs)
    return Forecast(by_phase, {"start": 4.0, "score": 6.0, **phases}, begin_seconds=5.0, steps=steps, slots=slots)


def begun(specs, clock, **options) -> TimeLeft:
    left = TimeLeft(clock)
    left.expect(forecast_of(specs, **options))
    left.begin(specs, {})
    return left


def the(specs, label):
    return next(spec.trial_id for spec in specs if spec.label.startswith(label))


def test_it_begins_as_the_estimate_of_the_plan(specs, clock):
    # 4 s until Ray is there; 5 + 2 x 20 for proxy and random, 6 of scoring, 5 + 20 for el2n
    assert begun(specs, clock).seconds() == pytest.approx(4 + 45 + 6 + 25)
    assert begun(specs, clock, slots=2).seconds() == pytest.approx(4 + 25 + 6 + 25)
    assert begun(specs, clock, refit=30.0).seconds() == pytest.approx(4 + 45 + 6 + 25 + 30)


def test_as_fast_as_expected_it_counts_down_second_by_second(specs, clock):
    left = begun(specs, clock)
    clock.time += 3
    assert left.seconds() == pytest.approx(77)
    clock.time += 1
    left.started(the(specs, "random"))
    clock.time += 5
    assert left.seconds() == pytest.approx(71)
    clock.time += 10
    left.stepped(the(specs, "random"), round(left._runs[the(specs, "random")].steps / 2))
    assert left.seconds() == pytest.approx(61, abs=0.5)


def test_at_half_the_pace_it_comes_to_say_twice_as_much(specs, clock):
    left = begun(specs, clock, seconds=1000.0)
    left.started(the(specs, "random"))
    steps = left._runs[the(specs, "random")].steps
    clock.time += 300  # until its process is there, which says nothing of the pace
    left.stepped(the(specs, "random"), steps // 20)
    assert left.seconds() == pytest.approx(2961, abs=2)
    clock.time += 900
    left.stepped(the(specs, "random"), steps // 2)
    # 2,500 of 3,000 s of training are left as they were expected, and 500 took 950 s
    assert left.seconds() == pytest.approx(11 + 2500 * (950 + 300) / (500 + 300), abs=25)
    clock.time += 1000
    left.ended(the(specs, "random"), "complete")
    assert left.seconds() == pytest.approx(11 + 2000 * (1950 + 300) / (1000 + 300), abs=25)


def test_no_time_passes_in_a_pause(specs, clock):
    left = begun(specs, clock)
    left.started(the(specs, "random"))
    clock.time += 10
    before = left.seconds()
    left.pause()
    clock.time += 3600
    assert left.seconds() == pytest.approx(before)
    left.go_on()
    left.begin(specs, {})  # what is pending is run again
    assert left.seconds() == pytest.approx(before, abs=6)  # its processes start anew
    assert left.paused_seconds == 3600


def test_without_an_estimate_it_is_unknown_until_steps_were_done(specs, clock):
    left = TimeLeft(clock)
    (spec,) = [spec for spec in specs if spec.label == "random"]
    left.begin([spec], {})
    left.started(spec.trial_id)
    clock.time += 10
    assert left.seconds() is None
    left.stepped(spec.trial_id, spec.total_steps // 4)
    assert left.seconds() == pytest.approx(30, rel=0.05)


def test_a_run_that_goes_on_has_only_its_other_steps_left(specs, clock):
    left = TimeLeft(clock)
    (spec,) = [spec for spec in specs if spec.label == "random"]
    left.begin([spec], {})
    left.goes_on_from(spec.trial_id, 60)
    left.started(spec.trial_id)
    clock.time += 10
    left.stepped(spec.trial_id, 80)
    assert left.seconds() == pytest.approx(10)


def test_after_a_search_the_trials_that_it_has_found_replace_those_of_the_plan(specs, clock):
    left = TimeLeft(clock)
    left.expect(forecast_of(specs, tune=100.0))
    proxies = [spec for spec in specs if spec.label.startswith("proxy")]
    left.begin(proxies, {})
    assert left.seconds() == pytest.approx(80 + 100)
    left.started(proxies[0].trial_id)
    left.ended(proxies[0].trial_id, "complete")
    left.searched(40)
    left.searched(10)
    remaining = left._work_left()
    assert remaining == pytest.approx(20 + 6 + 20 + 25)
    found = [dataclasses.replace(spec, trial_id=f"tuned-{spec.trial_id}") for spec in specs if spec not in proxies]
    left.begin([*proxies, *found], {proxies[0].trial_id: "complete"})
    mean = 60.0 / sum(spec.total_steps for spec in specs)
    longest = sum(spec.total_steps for spec in found) * mean
    assert left._work_left() == pytest.approx(6 + longest)


def test_scoring_counts_by_its_rows(specs, clock):
    left = begun(specs, clock)
    before = left._work_left()
    left.advanced("score", 0.5)
    assert before - left._work_left() == pytest.approx(3)


def test_what_starts_processes_after_scoring_is_no_pace(specs, clock):
    left = begun(specs, clock)
    left.started(the(specs, "random"))
    for label in ("random", "proxy"):
        clock.time += 20
        left.ended(the(specs, label), "complete")
    clock.time += 30  # until the processes that score are there
    left.advanced("score", 0.5)
    clock.time += 3
    left.advanced("score", 0.0)
    assert left.seconds() == pytest.approx(25)
    clock.time += 60
    assert left.seconds() == pytest.approx(25)
    left.started(the(specs, "el2n"))
    clock.time += 60
    assert left.seconds() == pytest.approx(20)


@pytest.fixture
def views(specs, clock, tmp_path):
    """The driver's record with a live view, on a clock that is set by hand."""
    live = LiveProgress(Console(file=io.StringIO(), force_terminal=True, width=80))
    recorded = RecordedProgress(live, tmp_path / "state.json", attempt=1)
    recorded.tally.left.now = clock
    recorded.expect(forecast_of(specs))
    recorded.begin(specs, {})
    return recorded, live


def shown(view) -> str:
    console = Console(file=io.StringIO(), width=80)
    console.print(view._render())
    return console.file.getvalue()


def test_the_live_view_and_status_say_the_same_at_the_same_second(views, specs, clock, tmp_path):
    recorded, live = views
    (spec,) = [spec for spec in specs if spec.label == "random"]
    recorded.started(spec)
    write_json(tmp_path / "plan.json", {"trials": [spec.summary()]})
    for step in (10, 30, 50):
        clock.time += 40
        write_json(tmp_path / "trials" / spec.trial_id / "heartbeat.json", {"step": step, "attempt": 1})
        recorded.is_behind = True
        recorded.writes.last = 0.0
        recorded.catch_up()
        with own(tmp_path, print):
            remaining = read_status(tmp_path).remaining_seconds
        assert remaining == pytest.approx(recorded.tally.remaining_seconds(), abs=1.0)
        assert left_words(recorded.tally) in shown(live)
    assert remaining > 80  # it is slower than was expected


def test_while_the_sweep_waits_both_stand_still(views, specs, clock, tmp_path):
    recorded, live = views
    recorded.started(specs[0])
    clock.time += 10
    write_json(tmp_path / "plan.json", {"trials": [specs[0].summary()]})
    with recorded.paused("paused; continue with:  raybert resume x"):
        state = json.loads((tmp_path / "state.json").read_text())
        assert state["is_paused"]
        clock.time += 3600
        os.utime(tmp_path / "state.json", (0, 0))
        with own(tmp_path, print):
            assert read_status(tmp_path).remaining_seconds == pytest.approx(recorded.tally.remaining_seconds())
        assert left_words(recorded.tally) in shown(live)
    assert not recorded.tally.left.is_paused


def test_what_is_written_too_late_is_written_by_the_next_look(views, specs, tmp_path):
    recorded, _ = views
    recorded.writes.now, recorded.writes.last = (lambda: 0.5), 0.0
    recorded.started(specs[0])
    assert json.loads((tmp_path / "state.json").read_text())["running"] == []
    recorded.writes.now = lambda: 1.0
    recorded.catch_up()
    assert json.loads((tmp_path / "state.json").read_text())["running"] == [specs[0].trial_id]


def test_plain_lines_have_the_same_estimate(specs, clock, tmp_path):
    said = io.StringIO()
    recorded = RecordedProgress(PlainProgress(Console(file=said, width=200)), tmp_path / "state.json")
    recorded.tally.left.now = clock
    recorded.expect(forecast_of(specs))
    recorded.begin(specs, {})
    recorded.started(specs[0])
    clock.time += 20
    for tell in (lambda: recorded.scoring(50, 100, 10.0), lambda: recorded.ended(specs[0], "complete")):
        tell()
        assert left_words(recorded.tally).startswith(", about ")
        assert said.getvalue().splitlines()[-1].endswith(left_words(recorded.tally))
