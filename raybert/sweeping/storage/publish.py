"""Publishing a working folder: what is new or changed goes into the object store, the marks of a part last.

It may end at any point, by a kill or because the store goes away: what is in the store is then what an earlier moment
of the folder was, as far as marks tell, and the next time goes on.
"""

from __future__ import annotations

import os
import sqlite3
import tarfile
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path

from raybert.errors import StorageAway
from raybert.files import read_json, replace_json
from raybert.storage import Objects
from raybert.sweeping.storage.parts import (
    OF_RUNS,
    TAR,
    by_part,
    has_ended,
    inner_mark_of,
    is_run,
    local_files,
    part_of,
    published,
    rank,
)

Sign = tuple[int, int, int]
"""What changes with a file: size, time of change in ns, inode."""
_UNKNOWN: Sign = (0, 0, 0)
"""Of no file: the store may have the object, with any content."""
_AT_ONCE = 8
"""Requests to the store at a time."""
_TICK_NS = 2_000_000_000
"""A folder that changed so shortly before may change again without a new time: clocks of file systems are coarse."""
_STUDY = "study.db"
_CHECKPOINT = "checkpoint/last/COMPLETE"


def sign_of(stat: os.stat_result) -> Sign:
    """Return what tells a file from what it was before."""
    return stat.st_size, stat.st_mtime_ns, stat.st_ino


@dataclass
class Publisher:
    """Publishes a working folder, or a part of it.

    Attributes:
        folder: of the results.
        store: where they go.
        record: file that says what has been published; another process goes on from it.
        check: called before anything is written; raises where the folder is another owner's now.
        known: name -> sign of the file whose content the store has.
        settled: run that has ended, and all of which the store has -> time of change of its folder in ns.
    """

    folder: Path
    store: Objects
    record: Path
    check: Callable[[], None] = lambda: None
    known: dict[str, Sign] = field(default_factory=dict)
    settled: dict[str, int] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @classmethod
    def going_on(
        cls, folder: Path, store: Objects, record: Path, check: Callable[[], None] = lambda: None
    ) -> Publisher:
        """Return a publisher that knows what an earlier one of the same working folder has published."""
        found = read_json(record) or {}
        known = {
            name: (sign[0], sign[1], sign[2])
            for name, sign in found.items()
            if isinstance(sign, list) and len(sign) == 3
        }
        return cls(folder, store, record, check, known)

    def publish(self, below: Iterable[str] = ("",), *, with_study: bool = False) -> None:
        """Publish what is new.

        Args:
            below: parts, in place of all.
            with_study: also the database of a search, whose log alone suffices to go on; and runs that have ended are
                looked through again.

        Raises:
            StorageError: the store refuses something or does not answer; what has been published is known.
            OSError: a file of this machine cannot be read.
        """
        with self._lock:
            before = dict(self.known)
            try:
                self._publish(list(below), with_study=with_study)
            finally:
                if self.known != before:
                    replace_json(self.record, self.known)

    def may_have(self, names: Iterable[str]) -> None:
        """Take note of objects that the store has or may have, whatever is in them: they are put anew, or deleted."""
        for name in names:
            self.known.setdefault(name, _UNKNOWN)

    def knows(self, names: Iterable[str]) -> None:
        """Take note that the store has what these files hold, because they are from there."""
        for name in names:
            with suppress(FileNotFoundError):
                self.known[name] = sign_of((self.folder / name).stat())

    def _publish(self, below: list[str], *, with_study: bool) -> None:
        if with_study:
            self.settled.clear()
        settled = {part for part, changed in self.settled.items() if _changed_at(self.folder / part) == changed}
        began = time.time_ns()
        changed_at = {part: _changed_at(self.folder / part) for part in _runs_in(self.folder)}
        files: dict[str, os.stat_result] = {}
        for part in below:
            files.update(local_files(self.folder, part, without=settled))
        parts, known_before = by_part(files), by_part(self.known)
        self.check()
        with tempfile.TemporaryDirectory(dir=self.record.parent, prefix=".tar-") as scratch:
            # Logs are put after the runs were looked at, and before what they left: none relies on a line that is lost.
            tars = {part: self._new_tar(part, names, Path(scratch)) for part, names in parts.items() if is_run(part)}
            for part, names in parts.items():
                known = known_before.get(part, ())
                self._publish_part(part, published(part, names), files, known, tars.get(part))
                if 0 < changed_at.get(part, 0) < began - _TICK_NS and has_ended(part, names):
                    self.settled[part] = changed_at[part]
        if with_study and (self.folder / _STUDY).exists():
            self._put_study()
        gone = known_before.keys() - parts.keys() - settled - {""} if below == [""] else ()
        for part in sorted(gone):
            for name in known_before[part]:
                self._forget(name)

    def _publish_part(
        self,
        part: str,
        names: list[str],
        files: Mapping[str, os.stat_result],
        known_before: Iterable[str],
        tar: tuple[Path, Sign] | None,
    ) -> None:
        """Publish a part: what its marks do not say any more first, then its files, then its marks.

        Args:
            part: which.
            names: those of its files that are objects of their own now.
            files: name -> what the system says of a file.
            known_before: names that the store has or may have of it.
            tar: of a run at work, if there is a new one, with the sign of its checkpoint.
        """
        all_known = [name for name in known_before if name != _STUDY]
        is_at_work = is_run(part) and not has_ended(part, names)
        gone = [name for name in all_known if name not in files and name != f"{part}/{TAR}"]
        new = [name for name in names if self.known.get(name) != sign_of(files[name])]
        if tar is not None:
            self._put(f"{part}/{TAR}", *tar)
        stale = {name for name in gone if rank(name)}
        if not is_at_work:  # a folder with a mark that is written anew is not whole in between
            changed = (name for name in (*new, *gone) if not rank(name))
            stale |= {mark for mark in (inner_mark_of(name, all_known) for name in changed) if mark is not None}
        for name in sorted(stale, key=rank, reverse=True):
            self._forget(name)
        new = [name for name in names if self.known.get(name) != sign_of(files[name])]
        plain = [name for name in new if not rank(name)]
        sizes = self._put_all(plain, files)
        marks = sorted((name for name in new if rank(name)), key=rank)
        if marks and sizes:
            self._check_arrived(part, sizes)
        for name in marks:
            self._put_all([name], files)
        if not is_at_work:
            for name in [*(name for name in gone if name not in stale), f"{part}/{TAR}"]:
                if name in self.known:
                    self._forget(name)

    def _put_all(self, names: list[str], files: Mapping[str, os.stat_result]) -> dict[str, int]:
        """Write objects, some at a time, and return their sizes; a file that is gone meanwhile is left out."""
        self.check()

        def put(name: str) -> tuple[str, int] | None:
            self.known.setdefault(name, _UNKNOWN)
            try:
                size = self.store.put_file(name, self.folder / name)
            except FileNotFoundError:
                return None
            self.known[name] = sign_of(files[name])
            return name, size

        if len(names) <= 1:
            return dict(filter(None, map(put, names)))
        with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="publish") as pool:
            return dict(filter(None, pool.map(put, names)))

    def _check_arrived(self, part: str, sizes: Mapping[str, int]) -> None:
        """See that what was put is there as a whole, before a mark says so.

        Raises:
            StorageAway: it is not.
        """
        found = self.store.list(part)
        for name, size in sizes.items():
            if name not in found or found[name].size_bytes != size:
                self.known.pop(name, None)
                there = found[name].size_bytes if name in found else "nothing"
                raise StorageAway(f"{self.store.url}/{name}: must have {size:,} bytes, has {there}; it is put again")

    def _put(self, name: str, path: Path, sign: Sign) -> None:
        """Write an object with the content of a file elsewhere; one of another size is none.

        Raises:
            StorageError: it cannot be written.
        """
        self.check()
        self.known.setdefault(name, _UNKNOWN)
        size = self.store.put_file(name, path)
        found = self.store.list(part_of(name))
        if name not in found or found[name].size_bytes != size:
            raise StorageAway(f"{self.store.url}/{name}: must have {size:,} bytes; it is put again")
        self.known[name] = sign

    def _forget(self, name: str) -> None:
        self.check()
        self.store.delete(name)
        self.known.pop(name, None)

    def _new_tar(self, part: str, names: list[str], scratch: Path) -> tuple[Path, Sign] | None:
        """Return a tar of a run at work, if it has a checkpoint that the store does not have."""
        mark = self.folder / part / _CHECKPOINT
        if has_ended(part, names):
            return None
        for _ in range(3):  # where a checkpoint is written meanwhile
            sign = _sign_of(mark)
            if sign is None or sign == self.known.get(f"{part}/{TAR}"):
                return None
            path = scratch / f"{part.replace('/', '-')}.tar"
            if _pack(self.folder, part, path) and _sign_of(mark) == sign:
                return path, sign
        return None

    def _put_study(self) -> None:
        """Publish a copy of the database of a search; where it cannot be read now, its log suffices."""
        path = self.folder / _STUDY
        sign = sign_of(path.stat())
        if self.known.get(_STUDY) == sign:
            return
        with tempfile.TemporaryDirectory(dir=self.record.parent, prefix=".study-") as scratch:
            copy = Path(scratch, _STUDY)
            try:
                with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(copy)) as target:
                    source.backup(target)
            except sqlite3.Error:
                return
            self.store.put_file(_STUDY, copy)
            self.known[_STUDY] = sign


def _runs_in(folder: Path) -> list[str]:
    found = []
    for kind in OF_RUNS:
        with suppress(FileNotFoundError):
            found += [f"{kind}/{entry.name}" for entry in os.scandir(folder / kind)]
    return found


def _changed_at(path: Path) -> int:
    """Return when a name in a folder was made, removed or replaced last, in ns; 0: it is gone."""
    try:
        return path.stat().st_mtime_ns
    except FileNotFoundError:
        return 0


def _sign_of(path: Path) -> Sign | None:
    try:
        return sign_of(path.stat())
    except (FileNotFoundError, NotADirectoryError):
        return None


def _pack(folder: Path, part: str, path: Path) -> bool:
    """Write a tar of a run, its checkpoint first: all the rest may be newer; return whether nothing was in the way."""
    names = sorted(local_files(folder, part), key=lambda name: (not name.startswith(f"{part}/checkpoint/"), name))
    try:
        with tarfile.open(path, "w") as archive:
            for name in names:
                with (folder / name).open("rb") as file:
                    info = archive.gettarinfo(arcname=name.removeprefix(f"{part}/"), fileobj=file)
                    archive.addfile(info, file)
    except (FileNotFoundError, OSError) as error:
        if isinstance(error, FileNotFoundError) or "unexpected end of data" in str(error):
            return False  # replaced, or cut, meanwhile
        raise
    return True


def unpack(archive: Path, folder: Path) -> bool:
    """Unpack the tar of a run into its folder; return whether it was whole. Nothing is written outside."""
    try:
        with tarfile.open(archive) as packed:
            packed.extractall(folder, filter="data")
    except (tarfile.TarError, EOFError):
        return False
    return True
