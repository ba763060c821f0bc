"""What a terminal shows: whole names on a narrow one, nothing left of a live view, and no live view where none can be."""

import io
import re
import threading
from collections import Counter

import pytest
from rich.console import Console

from raybert.config import validate_config
from raybert.sweeping.driver.progress import SearchCounts, clock
from raybert.sweeping.driver.state_file import RecordedProgress
from raybert.sweeping.folder.last_evaluation import LastEvaluation
from raybert.sweeping.plan.specs import PoolFacts
from raybert.terminal import console as consoles
from raybert.terminal import status as status_screen
from raybert.terminal.console import live_or_plain
from raybert.terminal.run_progress import RunBar
from raybert.terminal.sweep_progress import LiveProgress, search_counts_table
from raybert.tracking.follow import TrackedProgress
from tests.sweeping.driver.test_status import folder  # noqa: F401 - a fixture
from tests.sweeping.planning import plan_of

NAMES = ["random", "random_stratified", "entropy_diversity", "aflite_readability", "lexical_diversity", "el2n"]


@pytest.fixture(scope="module")
def trials():
    config = validate_config({"sweep": {"strategies": NAMES, "seeds": 2}})
    return plan_of(config, PoolFacts("data", "encoder", 400, 2)).trials


def lines_of(renderable: object, width: int) -> list[str]:
    console = Console(file=io.StringIO(), width=width)
    console.print(renderable)
    return [line.rstrip() for line in console.file.getvalue().splitlines()]


@pytest.mark.parametrize("width", [40, 60, 80])
def test_the_live_view_has_whole_names_and_numbers_on_a_narrow_terminal(width, trials, tmp_path):
    view = LiveProgress(Console(file=io.StringIO(), width=width))
    recorded = RecordedProgress(view, tmp_path / "state.json")
    recorded.begin(trials, {})
    recorded.phase("compare: proxies and unscored strategies")
    lines = lines_of(view._render(), width)
    assert all(len(line) <= width for line in lines)
    assert "…" not in "".join(lines)
    rows = {line.split()[0]: line.split()[1:] for line in lines if line.startswith(" ")}
    assert {name: rows[name] for name in NAMES} == {name: ["0", "2"] for name in NAMES}
    assert ("best validation accuracy" in lines[-len(rows)]) == (width == 80)


def test_the_bar_of_one_run_shows_the_estimate_of_status(trials, tmp_path):
    console = Console(file=io.StringIO(), force_terminal=True, width=100)
    with RunBar(console) as bar:
        recorded = RecordedProgress(bar, tmp_path / "state.json")
        now = [0.0]
        recorded.tally.left.now = lambda: now[0]
        recorded.tally.left._since = 0.0
        (spec, *_) = [spec for spec in trials if spec.label == "random"]
        recorded.begin([spec], {})
        recorded.started(spec)
        now[0] = 30.0
        recorded.stepped(spec, spec.total_steps // 2)
        bar._bar.refresh()
    odd = spec.total_steps % 2  # so many steps are left more than were done
    seconds = 30 * (spec.total_steps // 2 + odd) / (spec.total_steps // 2)
    assert recorded.tally.remaining_seconds() == pytest.approx(seconds)
    assert clock(seconds) in console.file.getvalue()


def test_no_header_is_drawn_before_any_trial_is_known():
    view = LiveProgress(Console(file=io.StringIO(), width=80))
    view.phase("prepare: load, split, tokenize")
    assert lines_of(view._render(), 80) == ["prepare: load, split, tokenize  0:00"]


def test_the_live_view_says_how_the_trials_at_work_are_doing(trials, tmp_path):
    view = LiveProgress(Console(file=io.StringIO(), width=100))
    recorded = RecordedProgress(view, tmp_path / "state.json")
    recorded.begin(trials, {})
    recorded.phase("compare")
    spec, other = [spec for spec in trials if spec.label == "el2n"]
    numbers = {"pass": 1.0, "step": 10, "train_loss": 0.25, "learning_rate": 3e-5, "validation_accuracy": 0.75}
    for run in (spec, other):
        recorded.started(run)
        recorded.evaluated(run, {"evaluation": 1, "examples_seen": 160, "seconds": 2.0, **numbers})
    recorded.evaluated(spec, {"evaluation": 2, "examples_seen": 320, "seconds": 4.5, **numbers, "train_loss": 0.125})
    recorded.ended(other, "complete")
    assert lines_of(view._render(), 100)[-1] == (
        "el2n seed 0: loss 0.125, validation accuracy 0.750, rate 3e-05, 64 examples/s"
    )
    assert lines_of(view._render(), 40)[-1] == "el2n seed 0: loss 0.125, validation acc…"
    recorded.ended(spec, "complete")
    assert "loss" not in "".join(lines_of(view._render(), 100))


def test_the_live_view_of_a_search_names_its_metric_and_its_newest_evaluation():
    last = LastEvaluation("f1", 0.5, 0.25, 3e-5, 640.0)
    view = LiveProgress(Console(file=io.StringIO(), width=100))
    view.searching({"el2n": SearchCounts(10, Counter(complete=3, running=1), 0.7, metric="f1", last=last)})
    head, row, news = lines_of(view._render(), 100)[1:]
    assert head.split() == ["search", "done", "pruned", "failed", "running", "of", "best", "validation", "f1"]
    assert row.split() == ["el2n", "3", "1", "10", "0.700"]
    assert news == "el2n: loss 0.250, validation f1 0.500, rate 3e-05, 640 examples/s"


def test_the_counts_of_a_search_have_whole_names_on_a_narrow_terminal():
    counts = SearchCounts(10, Counter(complete=3, running=2), 0.7)
    table = search_counts_table({"aflite_readability": counts, "el2n": counts})
    assert [line.split() for line in lines_of(table, 40)] == [
        ["search", "done", "pruned", "of"],
        ["aflite_readability", "3", "10"],
        ["el2n", "3", "10"],
    ]


def test_status_has_whole_names_on_a_narrow_terminal(folder, monkeypatch):  # noqa: F811
    from raybert.sweeping.driver.status import read_status

    shown = Console(file=io.StringIO(), width=30)
    monkeypatch.setattr(status_screen, "Console", lambda: shown)
    status_screen.print_status(read_status(folder.path))
    lines = shown.file.getvalue().splitlines()
    assert [" ".join(line.split()) for line in lines if line.startswith(" ")] == [
        "strategy complete failed",
        "random 1 1",
        "el2n 1 1",
    ]


class Screen:
    """A terminal that knows the few commands of a live view; what has left it at the top is out of reach."""

    def __init__(self, height: int) -> None:
        self.height, self.lines, self.row, self.column = height, [""], 0, 0

    def show(self, output: str) -> list[str]:
        for command, number, letter, text in re.findall(r"(\x1b\[\??(\d*)[\d;]*([A-Za-z]))|([^\x1b])", output):
            if letter == "A":
                self.row = max(self.row - int(number or 1), len(self.lines) - self.height, 0)
            elif letter == "K":
                self.lines[self.row] = ""
            elif text == "\n":
                self.row += 1
                self.lines += [""] * (self.row - len(self.lines) + 1)
            elif text == "\r":
                self.column = 0
            elif text and not command:
                self.lines[self.row] = self.lines[self.row][: self.column] + text
            self.column = 0 if text in ("\n", "\r") else self.column + bool(text)
        return self.lines


@pytest.mark.parametrize("height", [5, 8, 50])
def test_nothing_stays_of_a_live_view_however_low_the_terminal_is(height, trials, tmp_path):
    console = Console(file=io.StringIO(), force_terminal=True, width=60, height=height, color_system=None)
    with LiveProgress(console) as view:
        recorded = RecordedProgress(view, tmp_path / "state.json")
        recorded.begin(trials, {})
        recorded.phase("compare")
        view._live.refresh()
        recorded.note("a line that stays")
        view._live.refresh()
    assert [line.strip() for line in Screen(height).show(console.file.getvalue()) if line.strip()] == [
        "a line that stays"
    ]


@pytest.mark.parametrize("view", [LiveProgress, RunBar])
def test_a_view_that_is_left_from_a_thread_gives_the_terminal_back(view, tmp_path):
    console = Console(file=io.StringIO(), force_terminal=True, width=60)
    with view(console) as shown:
        assert "\x1b[?25l" in console.file.getvalue()
        recorded = RecordedProgress(TrackedProgress(shown, list), tmp_path / "state.json")
        thread = threading.Thread(target=recorded.leave)
        thread.start()
        thread.join()
        said = console.file.getvalue()
        assert said.rfind("\x1b[?25h") > said.rfind("\x1b[?25l")


class Terminal(io.StringIO):
    """A file that says that it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("file", "environment", "is_live"),
    [
        (Terminal(), {"TERM": "xterm"}, True),
        (Terminal(), {"TERM": "dumb"}, False),
        (io.StringIO(), {"TERM": "xterm", "FORCE_COLOR": "1"}, False),
        (io.StringIO(), {"TERM": "xterm"}, False),
    ],
)
def test_a_live_view_is_drawn_only_where_a_terminal_can_draw_it(file, environment, is_live, monkeypatch):
    for name in ("FORCE_COLOR", "NO_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(consoles.sys, "stdout", file)
    with live_or_plain(LiveProgress, lambda console: None) as view:
        assert (view is not None) == is_live


def test_no_color_takes_the_colours_away(monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    console = Console(file=Terminal(), force_terminal=True)
    consoles.say(console, "error: x", "red")
    assert "\x1b[31m" not in console.file.getvalue()
