"""A search whose driver was killed goes on as if it had not been: at every event, with every kind of leftover."""

import json
import math
import shutil

import pytest

from raybert.errors import SweepError
from raybert.selection.strategies import Random
from raybert.sweeping.folder.layout import SweepFolder
from raybert.sweeping.search.log import DecisionLog
from tests.sweeping.search.driving import Killed, config_of, drive, events, opened, run_whole, rungs, study_rows

pytestmark = pytest.mark.slow

CONFIG = config_of({"suggestions_per_strategy": 3, "startup_suggestions": 2, "seeds_per_suggestion": 2})


def planted(spec):
    """Three evaluations; the best rate is in the middle, the second seed is a little better, low rates fail."""
    rate = spec.config.train.learning_rate
    if rate < 6e-5:
        return [0.95, math.nan]
    level = 0.9 - 0.2 * abs(math.log10(rate) + 4)
    return [level - 0.2, level, level - 0.1 + 0.01 * (spec.seed - 1000)]


class KillingLog(DecisionLog):
    """Kills the driver just before or just after it writes the event of a number."""

    def __init__(self, path, at, *, after):
        super().__init__(path)
        self.left, self.after = at, after

    def append(self, event):
        self.left -= 1
        if self.left < 0 and not self.after:
            raise Killed
        super().append(event)
        if self.left < 0:
            raise Killed


def state_of(search, folder):
    """All that must be the same: decisions, studies, rungs, best values."""
    log = [{key: value for key, value in event.items() if key != "seconds"} for event in events(folder)]
    return log, study_rows(search), rungs(search), search.best()


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed")
    search = run_whole(CONFIG, folder, planted)
    state = state_of(search, folder)
    statuses = [event["status"] for event in state[0] if event["event"] == "end"]
    assert {"complete", "pruned", "failed"} == set(statuses)
    return state


@pytest.mark.long
@pytest.mark.parametrize("after", [False, True])
def test_a_kill_at_every_event_changes_nothing(undisturbed, tmp_path, after):
    """With one slot: suggestions, decisions, studies, rungs are those of the undisturbed search, in the same order."""
    for at, event in enumerate(undisturbed[0]):
        if event["event"] == "report" and not after and at % 4:
            continue  # nothing is written before the event of a report
        folder = tmp_path / str(at)
        folder.mkdir()
        log = KillingLog(SweepFolder(folder).decisions, at, after=after)
        with pytest.raises(Killed), opened(CONFIG, folder, log) as search:
            drive(search, planted)
        with opened(CONFIG, folder) as search:
            drive(search, planted)
            assert state_of(search, folder) == undisturbed, f"killed at event {at}"


def killed_at(folder, at):
    folder.mkdir(exist_ok=True)
    with (
        pytest.raises(Killed),
        opened(CONFIG, folder, KillingLog(SweepFolder(folder).decisions, at, after=True)) as search,
    ):
        drive(search, planted)


def test_a_torn_last_line_is_cut_off_and_decided_again(undisturbed, tmp_path):
    killed_at(tmp_path, 12)
    path = SweepFolder(tmp_path).decisions
    path.write_bytes(path.read_bytes()[:-9])
    with opened(CONFIG, tmp_path) as search:
        drive(search, planted)
        assert state_of(search, tmp_path) == undisturbed


@pytest.mark.parametrize("line", ['{"event": "report", "arm"', '{"event": "guess", "arm": "random", "number": 0}', "7"])
def test_a_damaged_line_is_an_error_that_says_what_to_do(tmp_path, line):
    killed_at(tmp_path, 8)
    path = SweepFolder(tmp_path).decisions
    lines = path.read_text().splitlines()
    lines[3] = line
    path.write_text("\n".join(lines) + "\n")
    with (
        pytest.raises(SweepError, match=r"decisions\.jsonl:4: must be an event .* delete the file"),
        opened(CONFIG, tmp_path),
    ):
        pass


def test_without_the_log_nothing_finished_is_lost(undisturbed, tmp_path):
    run_whole(CONFIG, tmp_path, planted)
    (SweepFolder(tmp_path).decisions).unlink()
    with opened(CONFIG, tmp_path) as search:
        assert not search.has_more()
        assert study_rows(search) == undisturbed[1]
        assert rungs(search) == undisturbed[2]
        ends = [{**event, "why": None} for event in undisturbed[0] if event["event"] == "end"]
        written = [{**event, "why": None} for event in events(tmp_path) if event["event"] == "end"]
        assert sorted(written, key=json.dumps) == sorted(ends, key=json.dumps)


def test_without_the_studies_they_are_written_again_from_the_log(undisturbed, tmp_path):
    killed_at(tmp_path, len(undisturbed[0]) - 4)
    for path in tmp_path.glob("study.db*"):
        path.unlink()
    with opened(CONFIG, tmp_path) as search:
        drive(search, planted)
        assert state_of(search, tmp_path) == undisturbed


def test_a_truncated_database_is_an_error_that_says_what_to_do(tmp_path):
    killed_at(tmp_path, 8)
    path = tmp_path / "study.db"
    path.write_bytes(path.read_bytes()[:5000])
    for leftover in tmp_path.glob("study.db-*"):
        leftover.unlink()
    with pytest.raises(SweepError, match=r"study\.db: .* delete it: it is then written anew"), opened(CONFIG, tmp_path):
        pass


def test_a_log_without_the_suggestion_of_its_decisions_is_refused(tmp_path):
    killed_at(tmp_path, 8)
    path = SweepFolder(tmp_path).decisions
    path.write_text("\n".join(path.read_text().splitlines()[1:]) + "\n")
    with (
        pytest.raises(SweepError, match="has decisions about suggestion 0 of 'random' without"),
        opened(CONFIG, tmp_path),
    ):
        pass


def test_with_several_slots_values_and_rungs_are_those_that_were_reported(tmp_path):
    for at in (3, 11, 20):
        folder = tmp_path / str(at)
        folder.mkdir()
        log = KillingLog(SweepFolder(folder).decisions, at, after=at % 2 == 0)
        with pytest.raises(Killed), opened(CONFIG, folder, log) as search:
            drive(search, planted, slots=3)
        with opened(CONFIG, folder) as search:
            drive(search, planted, slots=3)
            check_consistency(search, folder)
            final = rungs(search)
        with opened(CONFIG, folder) as search:
            assert rungs(search) == final
            assert not search.has_more()


def check_consistency(search, folder):
    """The study holds exactly what the log says, every value is that of the objective, nothing is told twice."""
    log = events(folder)
    reports = [event for event in log if event["event"] == "report"]
    keys = [(event["arm"], event["number"], event["seed"], event["evaluation"]) for event in reports]
    assert len(set(keys)) == len(keys)
    for (arm, number), (state, value, params, steps, _) in study_rows(search).items():
        mine = [event for event in reports if (event["arm"], event["number"]) == (arm, number)]
        assert steps == {event["examples_seen"]: event["value"] for event in mine if event["seed"] == 1000}
        runs = search.suggestions[arm, number].runs
        assert params == search.suggestions[arm, number].params
        if state == "COMPLETE":
            assert value == pytest.approx(sum(max(planted(spec)) for spec in runs) / 2)


def test_a_driver_that_is_killed_while_it_starts_is_followed_by_another(undisturbed, tmp_path):
    """What reconciling writes is itself repeated after a kill."""
    killed_at(tmp_path / "a", 16)
    for path in (tmp_path / "a").glob("study.db*"):
        path.unlink()
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    with opened(CONFIG, tmp_path / "b"):
        pass  # the second driver ends right after its start
    with opened(CONFIG, tmp_path / "b") as search:
        drive(search, planted)
        assert state_of(search, tmp_path / "b") == undisturbed


def test_a_log_that_was_written_anew_from_the_studies_serves_every_later_start(tmp_path):
    """The values of all seeds are in it: the paired test of what follows reads them."""
    config = config_of({"suggestions_per_strategy": 4, "seeds_per_suggestion": 3, "asha": None})

    def rising(spec):
        return [0.5, 0.6 + spec.config.train.learning_rate]

    undisturbed = run_whole(config, tmp_path / "undisturbed", rising)
    folder = tmp_path / "disturbed"
    folder.mkdir()
    with opened(config, folder) as search:
        drive(search, rising, most=20)
    (SweepFolder(folder).decisions).unlink()
    with opened(config, folder) as search:
        drive(search, rising, most=3)
    with opened(config, folder) as search:
        drive(search, rising)
        assert search.best() == undisturbed.best()
        ended = [event for event in events(folder) if event["event"] == "end"]
        values = {(event["arm"], event["number"]): event["value"] for event in ended}
    assert values == {key: one.value for key, one in undisturbed.suggestions.items()}


def test_a_study_that_lost_the_begin_of_a_queued_point_takes_it_from_the_log(tmp_path):
    """A power cut may take the last commits of the database away, but not lines of the log."""
    points = [{"train.learning_rate": rate} for rate in (1e-4, 2e-4, 3e-4)]
    config = config_of({"points_to_evaluate": points, "suggestions_per_strategy": 4})
    undisturbed = run_whole(config, tmp_path / "undisturbed", planted)
    folder = tmp_path / "disturbed"
    folder.mkdir()
    with opened(config, folder):
        pass
    shutil.copy(folder / "study.db", tmp_path / "earlier.db")
    with opened(config, folder) as search:
        drive(search, planted, most=4)
    shutil.copy(tmp_path / "earlier.db", folder / "study.db")
    with opened(config, folder) as search:
        drive(search, planted)
        assert study_rows(search) == study_rows(undisturbed)


def test_a_torn_journal_is_cut_and_a_damaged_one_is_an_error(tmp_path):
    config = config_of({"storage": "journal"})
    undisturbed = run_whole(config, tmp_path / "undisturbed", planted)
    journal = tmp_path / "disturbed" / "study.journal"
    journal.parent.mkdir()
    with opened(config, journal.parent) as search:
        drive(search, planted, most=5)
    journal.write_bytes(journal.read_bytes()[:-40])
    with opened(config, journal.parent) as search:
        drive(search, planted)
        assert study_rows(search) == study_rows(undisturbed)
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join([*lines[:3], b"torn", *lines[4:]]))
    message = r"study\.journal: cannot be opened .*delete it: it is then written anew"
    with pytest.raises(SweepError, match=message), opened(config, journal.parent):
        pass


def test_values_of_an_earlier_version_of_a_rule_are_not_mixed_with_those_of_todays(undisturbed, tmp_path, monkeypatch):
    killed_at(tmp_path, len(undisturbed[0]) - 4)
    monkeypatch.setattr(Random, "rule_version", 2)
    with (
        pytest.raises(SweepError, match=r"'random' was searched by an earlier version of its rule.*leave it out"),
        opened(CONFIG, tmp_path),
    ):
        pass
