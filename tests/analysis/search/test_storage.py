"""Reading the studies while another process writes them, or after it was killed."""

import os
import re
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from raybert.analysis.search.studies import open_studies, read_arms
from raybert.config import TuneConfig
from raybert.errors import SweepError
from raybert.sweeping.search.storage import open_storage
from tests.analysis.studies import RATE, suggestion, write_arm
from tests.processes import forked

optuna.logging.set_verbosity(optuna.logging.WARNING)
TRIALS = [suggestion({RATE: 10.0**-exponent}, [0.1 * exponent]) for exponent in (2, 3, 4)]


def values_in(folder, storage="sqlite"):
    (arm,) = read_arms(open_studies(folder, storage))
    return [trial.value for trial in arm.trials]


@pytest.mark.slow
def test_sqlite_and_journal_hold_the_same(tmp_path):
    write_arm(tmp_path, "a", TRIALS)
    journal = JournalStorage(JournalFileBackend(str(tmp_path / "study.journal")))
    write_arm(tmp_path, "a", TRIALS, storage=journal)
    assert values_in(tmp_path) == values_in(tmp_path, "journal") == pytest.approx([0.2, 0.3, 0.4])
    assert values_in(tmp_path, f"sqlite:///{tmp_path}/study.db") == pytest.approx([0.2, 0.3, 0.4])


def use_log(folder, mode):
    with closing(sqlite3.connect(folder / "study.db")) as connection:
        connection.execute(f"PRAGMA journal_mode={mode}")


@pytest.mark.parametrize("mode", ["DELETE", "WAL"])
def test_reading_leaves_no_file_and_changes_none(tmp_path, mode):
    write_arm(tmp_path, "a", TRIALS)
    use_log(tmp_path, mode)
    before = (tmp_path / "study.db").read_bytes()
    values_in(tmp_path)
    assert os.listdir(tmp_path) == ["study.db"]
    assert (tmp_path / "study.db").read_bytes() == before


def test_what_is_only_in_the_write_ahead_log_is_read(tmp_path):
    study = write_arm(tmp_path, "a", TRIALS[:1])
    study.add_trial(TRIALS[1])
    assert (tmp_path / "study.db-wal").stat().st_size
    assert values_in(tmp_path) == pytest.approx([0.2, 0.3])


def test_in_a_database_of_several_sweeps_only_this_ones_arms_are_read(tmp_path):
    for name in ("mine: a", "mine: b", "yours: a", "a"):
        study = optuna.create_study(study_name=name, storage=f"sqlite:///{tmp_path}/study.db", direction="maximize")
        for key, value in {"strategy": name[-1], "arm": name[-1], "order": "ab".index(name[-1])}.items():
            study.set_user_attr(key, value)
    storage = open_studies(tmp_path)
    assert [arm.name for arm in read_arms(storage, "mine: {}".format)] == ["a", "b"]
    assert [arm.name for arm in read_arms(storage)] == ["a"]


def test_a_torn_last_line_of_the_journal_is_not_read(tmp_path):
    journal = JournalStorage(JournalFileBackend(str(tmp_path / "study.journal")))
    write_arm(tmp_path, "a", TRIALS, storage=journal)
    with (tmp_path / "study.journal").open("ab") as file:
        file.write(b'{"op_code": 4, "worker')
    assert values_in(tmp_path, "journal") == pytest.approx([0.2, 0.3, 0.4])


def test_a_database_without_tables_yet_is_no_search(tmp_path):
    sqlite3.connect(tmp_path / "study.db").close()
    assert open_studies(tmp_path) is None


def test_a_damaged_database_is_named(tmp_path):
    (tmp_path / "study.db").write_bytes(b"no database" * 1000)
    with pytest.raises(
        SweepError, match=rf"{re.escape(str(tmp_path))}/study.db: must be an Optuna storage .* not a database"
    ):
        open_studies(tmp_path)


def test_a_database_that_cannot_be_reached_is_named(tmp_path):
    with pytest.raises(SweepError, match="/nowhere/study.db: must be an Optuna storage that can be read, got .*unable"):
        open_studies(tmp_path, "sqlite:////nowhere/study.db")


KILLED = """
import os, signal, sqlite3, sys
connection = sqlite3.connect(sys.argv[1])
connection.execute("PRAGMA cache_size=1")  # so that the file is written before the commit
connection.execute("BEGIN IMMEDIATE")
connection.execute("UPDATE trial_values SET value = 99")
connection.execute("CREATE TABLE filler(text)")
connection.executemany("INSERT INTO filler VALUES(?)", [("x" * 3000,)] * 300)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.slow
@pytest.mark.parametrize(("mode", "log"), [("DELETE", "study.db-journal"), ("WAL", "study.db-wal")])
def test_what_a_killed_writer_had_not_committed_is_not_read(tmp_path, mode, log):
    write_arm(tmp_path, "a", TRIALS)
    use_log(tmp_path, mode)
    subprocess.run([sys.executable, "-c", KILLED, str(tmp_path / "study.db")], check=False)
    left = (tmp_path / "study.db").read_bytes()
    assert (tmp_path / log).stat().st_size
    assert (b"filler" in left) == (mode == "DELETE")
    assert values_in(tmp_path) == pytest.approx([0.2, 0.3, 0.4])
    assert (tmp_path / "study.db").read_bytes() == left  # its owner rolls back


def poll(folder: Path, last: int) -> None:
    """Read the studies again and again, as optuna-dashboard does and as a report does, and say what was new."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    seen: list[int] = []
    while not seen or seen[-1] < last:
        study = optuna.load_study(study_name="a", storage=f"sqlite:///{folder}/study.db")
        dashboard = len(study.get_trials(states=[optuna.trial.TrialState.COMPLETE]))
        ((arm),) = read_arms(open_studies(folder))
        own = sum(trial.state.is_finished() for trial in arm.trials)
        assert own >= dashboard, (own, dashboard)
        if not seen or own > seen[-1]:
            seen.append(own)
            print(own, flush=True)


@pytest.mark.slow
def test_a_reader_that_polls_neither_blocks_the_writer_nor_misses_what_it_tells(tmp_path):
    """As optuna-dashboard does, and `raybert report`, while suggestions come and go."""
    num_trials = 12
    with open_storage(
        TuneConfig(suggestions_per_strategy=1, space={RATE: {"low": 1e-5, "high": 1e-2}}), tmp_path
    ) as storage:
        _check_polling(tmp_path, write_arm(tmp_path, "a", [], storage=storage), num_trials)
    assert os.listdir(tmp_path) == ["study.db"]


def _check_polling(folder, study, num_trials):
    with forked(poll, folder, num_trials) as reader:
        reader.read_until("0")
        for number in range(num_trials):
            trial = study.ask()
            trial.suggest_float(RATE, 1e-5, 1e-2, log=True)
            trial.report(0.5, step=number)
            trial.set_user_attr("values", [0.5])
            study.tell(trial, 0.5)
        code, said = reader.end()
    assert code == 0, said
    seen = [int(line) for line in said.split()]
    assert len(seen) > 1
    assert seen == sorted(set(seen))
    assert seen[-1] == num_trials
