"""A search whose database another program holds, or whose disk is full: one line, and it goes on as if nothing had been."""

import contextlib
import errno
import os
import pickle
import sqlite3
from types import SimpleNamespace

import pytest

from raybert.errors import SweepError
from raybert.sweeping.cluster.deaths import read_death
from raybert.sweeping.folder.trial_folder import TrialFolder
from raybert.sweeping.search import log, storage
from tests.sweeping.search.driving import config_of, drive, events, opened, run_whole
from tests.sweeping.search.test_resume import CONFIG, planted, state_of

pytestmark = pytest.mark.slow


@contextlib.contextmanager
def held(path):
    """Another program that reads and writes without a break."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("PRAGMA locking_mode=EXCLUSIVE")
        other.execute("BEGIN EXCLUSIVE")
        yield


def test_studies_that_another_program_holds_are_said_and_nothing_is_lost(tmp_path, monkeypatch):
    undisturbed = state_of(run_whole(CONFIG, tmp_path / "undisturbed", planted), tmp_path / "undisturbed")
    monkeypatch.setattr(storage, "_LOCK_SECONDS", 0.1)
    folder = tmp_path / "run"
    folder.mkdir()
    words = r"another program has held it for over 0\.1 s; end what uses it, and run the sweep again$"
    with opened(CONFIG, folder) as search:
        search.studies[next(iter(search.studies))]._storage.engine.dispose()
        with held(folder / "study.db"), pytest.raises(SweepError, match=rf"^study '.*': .*: {words}"):
            drive(search, planted)
    refused = pytest.raises(SweepError, match=rf"study\.db: cannot be opened, {words}")
    with held(folder / "study.db"), refused, opened(CONFIG, folder):
        pass
    assert state_of(run_whole(CONFIG, folder, planted), folder) == undisturbed


@pytest.mark.parametrize("at", [0, 5, 12])
def test_a_full_disk_at_the_log_of_decisions_is_said_and_nothing_is_lost(at, tmp_path, monkeypatch):
    config = config_of({"suggestions_per_strategy": 2})
    undisturbed = state_of(run_whole(config, tmp_path / "undisturbed", planted), tmp_path / "undisturbed")
    folder = tmp_path / "run"
    folder.mkdir()
    append, written = log.append_json_line, []

    def fill_up(path, row, **options):
        written.append(row)
        if len(written) > at:
            with path.open("ab") as file:
                file.write(b'{"event": "sugg')
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        append(path, row, **options)

    with monkeypatch.context() as patch, opened(config, folder) as search:
        patch.setattr(log, "append_json_line", fill_up)
        with pytest.raises(
            SweepError, match=r"decisions\.jsonl: No space left on device; make room, and run the sweep again"
        ):
            drive(search, planted)
    assert len(events(folder)) == at
    assert state_of(run_whole(config, folder, planted), folder) == undisturbed


def test_an_error_that_a_full_disk_cut_off_is_of_the_kind_disk(tmp_path, monkeypatch):
    whole = pickle.dumps(ValueError("a rather long sentence about what went wrong"))
    file = tmp_path / "error.pkl"
    file.write_bytes(whole[: len(whole) // 2])
    trial = SimpleNamespace(pickled_error_file=str(file), error_file=str(tmp_path / "error.txt"))
    assert read_death(trial, TrialFolder(tmp_path / "t")).kind == "lost"
    monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=4096))
    death = read_death(trial, TrialFolder(tmp_path / "t"))
    assert (death.kind, death.reason) == ("disk", "TrialError: the disk is full")
    file.write_bytes(whole)  # one that is whole speaks for itself
    assert read_death(trial, TrialFolder(tmp_path / "t")).kind == "lost"
