"""Where the Optuna studies of a search are kept: a SQLite file, a journal, or a database of the user's."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import optuna
import sqlalchemy
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend

from raybert.config import RaybertConfig, TuneConfig
from raybert.errors import SweepError
from raybert.files import NOT_WRITABLE
from raybert.passwords import whole
from raybert.sweeping.folder.failure_kinds import is_disk_full

KEY = "sweep.tune.storage"
STUDY_FILE, JOURNAL_FILE = "study.db", "study.journal"
_LOCK_SECONDS = 60
"""How long a write waits for readers of the SQLite file, such as a dashboard that polls."""


@contextmanager
def open_storage(tune: TuneConfig, folder: Path) -> Iterator[BaseStorage]:
    """Open what holds the studies of a results folder, for the length of a `with` block.

    Raises:
        SweepError: the file is no database, or no database answers at the URL.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        storage = _make_storage(tune, folder)
    except (sqlalchemy.exc.SQLAlchemyError, sqlite3.Error, OSError, RuntimeError, ImportError, ValueError) as error:
        files = {"sqlite": folder / STUDY_FILE, "journal": folder / JOURNAL_FILE}
        where = files.get(tune.storage, tune.storage)
        remedy = "delete it: it is then written anew from decisions.jsonl" if where != tune.storage else "is it up?"
        reason = why_not_stored(error)
        if reason is not None:
            raise SweepError(f"{where}: cannot be opened, {reason}") from error
        raise SweepError(
            f"{where}: cannot be opened as a database of studies ({type(error).__name__}); {remedy}"
        ) from error
    try:
        yield storage
    finally:
        if isinstance(storage, RDBStorage):
            storage.engine.dispose()


def why_not_stored(error: BaseException) -> str | None:
    """Return why nothing could be written, and what to do, where the file is not at fault; None: it may be.

    Args:
        error: of Optuna, SQLAlchemy, sqlite3 or the operating system.
    """
    words = f"{error} {error.__cause__ or ''}".lower()
    if "is locked" in words:
        return f"another program has held it for over {_LOCK_SECONDS} s; end what uses it, and run the sweep again"
    if any(is_disk_full(one) for one in (error, error.__cause__) if one is not None):
        return "the disk is full; make room, and run the sweep again"
    if "readonly" in words or (isinstance(error, OSError) and error.errno in NOT_WRITABLE):
        return "it may only be read; give `output` another folder"
    return None


def _make_storage(tune: TuneConfig, folder: Path) -> BaseStorage:
    if tune.storage == "journal":
        _cut_torn_line(folder / JOURNAL_FILE)
        return JournalStorage(JournalFileBackend(str(folder / JOURNAL_FILE)))  # reads all of it
    storage = RDBStorage(whole(tune.storage, KEY)) if tune.in_database else _open_sqlite(folder / STUDY_FILE)
    storage.get_all_studies()  # a damaged file shows here
    return storage


def _cut_torn_line(path: Path) -> None:
    """Cut off what a power cut has left of a last line: the log of decisions has it, and Optuna could not read on."""
    content = path.read_bytes() if path.exists() else b""
    whole, newline, torn = content.rpartition(b"\n")
    if torn:
        with path.open("r+b") as file:
            file.truncate(len(whole) + len(newline))


def _open_sqlite(path: Path) -> RDBStorage:
    """Open the file of the studies with a write-ahead log: readers never wait, and a commit costs no sync.

    A power cut may take the last commits away, but the log of decisions has them (measured: 0.3 ms a commit in place
    of 17 ms).
    """
    if not path.exists():  # what belongs to a file that was deleted would spoil a new one
        for leftover in ("-wal", "-shm"):
            path.with_name(path.name + leftover).unlink(missing_ok=True)
    with closing(sqlite3.connect(path, timeout=_LOCK_SECONDS)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
    url = sqlalchemy.URL.create("sqlite", database=str(path)).render_as_string(hide_password=False)
    storage = RDBStorage(url, engine_kwargs={"connect_args": {"timeout": _LOCK_SECONDS}})
    sqlalchemy.event.listen(storage.engine, "connect", lambda found, _: found.execute("PRAGMA synchronous=NORMAL"))
    storage.engine.dispose()
    return storage


def study_name(config: RaybertConfig, arm_name: str) -> str:
    """Return the name of an arm's study."""
    assert config.sweep.tune is not None
    return config.sweep.tune.name_of_study(arm_name, config.name)
