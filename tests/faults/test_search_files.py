"""The two files of a search, torn, emptied or gone: each is written anew from the other, or named with the remedy."""

import errno
import os
import shutil
import sqlite3

import pytest
import sqlalchemy

from raybert.errors import SweepError
from raybert.sweeping.search import log
from raybert.sweeping.search.study import ArmStudy
from tests.faults.search_state import assert_consistent, decisions, studies
from tests.faults.sweeps import Finished, assert_same_end, run

pytestmark = [pytest.mark.long, pytest.mark.slow, pytest.mark.ray]

PER_ARM = 3


def halve(path):
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def spoil(path):
    content = path.read_bytes()
    middle = len(content) // 2
    path.write_bytes(content[:middle] + b"\x00" * 64 + content[middle + 64 :])


def empty(path):
    path.write_bytes(b"")


def delete(path):
    path.unlink()


@pytest.fixture(scope="module")
def search(ground, tmp_path_factory):
    """A sweep file with a search."""
    tune = {
        "suggestions_per_strategy": PER_ARM,
        "space": {"train.learning_rate": {"low": 1e-5, "high": 1e-2, "log": True}},
    }
    path = tmp_path_factory.mktemp("search") / "sweep.yaml"
    return ground.write(path, sweep__strategies=["random", "random_epoch"], sweep__seeds=1, sweep__tune=tune)


@pytest.fixture(scope="module")
def searched(search, ray_cluster, tmp_path_factory):
    folder = tmp_path_factory.mktemp("searched") / "run"
    ended = run(search, folder)
    assert ended.outcome.exit_code == 0, ended.said
    assert_consistent(folder, PER_ARM)
    return folder


@pytest.mark.fault("decisions.jsonl, study.db torn, empty, deleted")
@pytest.mark.parametrize("name", ["decisions.jsonl", "study.db"])
@pytest.mark.parametrize("damage", [halve, spoil, empty, delete])
def test_a_damaged_file_of_a_search_costs_nothing_that_was_finished(search, searched, tmp_path, fault, name, damage):
    folder = tmp_path / "run"
    shutil.copytree(searched, folder)
    finished = Finished.of(folder)
    with fault.once():
        damage(folder / name)
        ended = run_as_told(search, folder, name)
        assert ended.outcome.exit_code == 0, ended.said
        fault.lost += finished.num_lost()
        assert fault.lost == 0
        assert_same_end(folder, searched)
        assert params(folder) == params(searched)
        assert {event["event"] for event in decisions(folder)} >= {"suggest", "report", "end"}


def full_log(patch):
    """Let the disk be full at the fifth event of the log."""
    append, written = log.append_json_line, []

    def fill_up(path, row, **options):
        written.append(row)
        if len(written) == 5:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        append(path, row, **options)

    patch.setattr(log, "append_json_line", fill_up)


def unwritable_study(words):
    """Let the study refuse the first value, in these words."""

    def refuse(study, number, examples_seen, value):
        with study._using(f"suggestion {number} could not be written"):
            raise sqlalchemy.exc.OperationalError("INSERT", {}, sqlite3.OperationalError(words))

    return lambda patch: patch.setattr(ArmStudy, "report", refuse)


@pytest.mark.parametrize(
    ("lay", "words"),
    [
        pytest.param(
            full_log,
            r"decisions\.jsonl: No space left on device; make room, and run the sweep again",
            marks=pytest.mark.fault("disk full at the log of a search"),
        ),
        pytest.param(
            unwritable_study("database or disk is full"),
            "the disk is full; make room, and run the sweep again",
            marks=pytest.mark.fault("disk full at the study"),
        ),
        pytest.param(
            unwritable_study("database is locked"),
            "another program has held it for over 60 s; end what uses it",
            marks=pytest.mark.fault("study.db held for over 60 s"),
        ),
    ],
)
def test_what_keeps_a_search_from_writing_is_one_line_and_no_failed_suggestion(
    search, searched, tmp_path, monkeypatch, fault, lay, words
):
    folder = tmp_path / "run"
    with fault.once():
        with monkeypatch.context() as patch:
            lay(patch)
            with pytest.raises(SweepError, match=words):
                run(search, folder)
        finished = Finished.of(folder)
        ended = run(search, folder)
        assert ended.outcome.exit_code == 0, ended.said
        fault.lost += finished.num_lost()
        assert fault.lost == 0
        assert_same_end(folder, searched)
        assert params(folder) == params(searched)
        assert {event["status"] for event in decisions(folder) if event["event"] == "end"} <= {"complete", "pruned"}


def run_as_told(file, folder, name):
    """Run a sweep; where it is refused for a damaged file, follow the advice."""
    try:
        return run(file, folder)
    except SweepError as error:
        advice = str(error)
    assert name in advice
    assert "delete" in advice
    for path in folder.glob(f"{name}*"):
        path.unlink()
    return run(file, folder)


def params(folder):
    """Return what was suggested, how it ended, and its value."""
    return {
        name: [(trial["number"], trial["state"], trial["value"], trial["params"]) for trial in trials]
        for name, trials in studies(folder).items()
    }
