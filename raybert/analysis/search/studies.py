"""The Optuna studies of a sweep, read without disturbing the process that writes them."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from raybert.errors import SweepError
from raybert.passwords import whole
from raybert.private_folders import private_folder

if TYPE_CHECKING:
    from optuna.storages import BaseStorage
    from optuna.trial import FrozenTrial

_BUSY_SECONDS = 30.0
_WRITE_AHEAD = b"\x02"
"""Write version in the header of a database with a write-ahead log (sqlite.org/fileformat.html, 1.3)."""


@dataclass(frozen=True)
class StudiedArm:
    """An arm (one strategy at one grid point) and all that its search has tried.

    Attributes:
        name: strategy and grid point, as in `plan.json`.
        strategy: its label; None where a shared study chooses it, as the parameter `strategy`.
        grid: the grid point.
        metric: what is optimised, of the validation split.
        maximize: whether more of it is better.
        trials: its suggestions, by number.
    """

    name: str
    strategy: str | None
    grid: Mapping[str, Any]
    metric: str
    maximize: bool
    trials: tuple[FrozenTrial, ...]


def read_arms(storage: BaseStorage, name_of: Callable[[str], str] = str) -> list[StudiedArm]:
    """Return the arms of a sweep in the order of the file; studies that are not its own are left out.

    Args:
        storage: of `open_studies`.
        name_of: arm -> the name of its study.
    """
    import optuna

    arms: list[tuple[int, StudiedArm]] = []
    for name in optuna.get_all_study_names(storage):
        study = optuna.load_study(study_name=name, storage=storage)
        known = study.user_attrs
        arm_name = str(known.get("arm", name))
        if "strategy" not in known or name != name_of(arm_name):
            continue
        arm = StudiedArm(
            name=arm_name,
            strategy=known["strategy"],
            grid=known.get("grid") or {},
            metric=str(known.get("metric", "value")),
            maximize=study.direction == optuna.study.StudyDirection.MAXIMIZE,
            trials=tuple(study.get_trials(deepcopy=False)),
        )
        arms.append((int(known.get("order", len(arms))), arm))
    return [arm for _, arm in sorted(arms, key=lambda entry: entry[0])]


_FILES = {"sqlite": "study.db", "journal": "study.journal"}


def open_studies(folder: Path, storage: str = "sqlite") -> BaseStorage | None:
    """Return the studies of a sweep for reading, or None where there are none yet.

    SQLite is copied into memory in one step. That holds a read lock for milliseconds; the writer's `timeout` covers it.

    Args:
        folder: of the results.
        storage: `sweep.tune.storage`: sqlite (`study.db`), journal (`study.journal`), or the URL of a database.

    Raises:
        SweepError: the file is damaged, or the database cannot be reached.
    """
    if storage in _FILES and not (folder / _FILES[storage]).is_file():  # nor is Optuna needed
        return None
    from optuna.storages import JournalStorage, RDBStorage
    from optuna.storages.journal import JournalFileBackend

    if storage == "sqlite":
        return _copy_sqlite(folder / _FILES[storage])
    if storage != "journal":
        with _as_sweep_error(storage):
            return RDBStorage(whole(storage, "sweep.tune.storage"), skip_table_creation=True)
    path = folder / _FILES[storage]
    with _as_sweep_error(str(path)):
        return JournalStorage(JournalFileBackend(str(path)))


def _copy_sqlite(path: Path) -> BaseStorage | None:
    from optuna.storages import RDBStorage
    from sqlalchemy.pool import StaticPool

    memory = sqlite3.connect(":memory:", check_same_thread=False)
    with _as_sweep_error(str(path)):
        try:
            _backup(_read_only(path), memory)
        except sqlite3.OperationalError as error:
            if not error.sqlite_errorname.startswith(("SQLITE_READONLY", "SQLITE_CANTOPEN")):
                raise
            _backup_after_crash(path, memory)
        if not memory.execute("SELECT 1 FROM sqlite_master WHERE name = 'studies'").fetchone():
            return None
        return RDBStorage("sqlite://", {"creator": lambda: memory, "poolclass": StaticPool}, skip_table_creation=True)


def _read_only(path: Path) -> str:
    """Return the URI of a database for reading.

    A database that has a write-ahead log, but none beside it, has no writer, or one that will not change the file
    before a checkpoint: said to be immutable, it is read without leaving a log of the reader's behind.
    """
    with path.open("rb") as file:
        has_log = file.read(19)[18:] == _WRITE_AHEAD
    is_unused = has_log and not path.with_name(f"{path.name}-wal").exists()
    return f"file:{quote(str(path))}?mode=ro{'&immutable=1' if is_unused else ''}"


def _backup(uri: str, memory: sqlite3.Connection) -> None:
    with contextlib.closing(sqlite3.connect(uri, uri=True, timeout=_BUSY_SECONDS)) as source:
        source.backup(memory)


def _backup_after_crash(path: Path, memory: sqlite3.Connection) -> None:
    """Read what a writer left that was killed in mid-commit: SQLite must roll back first, here in a copy."""
    with private_folder() as scratch:
        for suffix in ("", "-journal", "-wal"):
            part = path.with_name(path.name + suffix)
            if part.is_file():
                shutil.copyfile(part, scratch / part.name)
        _backup(f"file:{quote(str(scratch / path.name))}", memory)


@contextlib.contextmanager
def _as_sweep_error(where: str) -> Iterator[None]:
    from optuna.exceptions import OptunaError
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (sqlite3.Error, SQLAlchemyError, OptunaError, ValueError) as error:
        reason = str(error.__cause__ or error).splitlines()[0]  # optuna's own words are about commits
        raise SweepError(f"{where}: must be an Optuna storage that can be read, got {reason}") from error
