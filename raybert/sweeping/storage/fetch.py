"""Fetching a results folder, or what is needed of it, from an object store into a folder of this machine."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from raybert.durable import make_folder
from raybert.errors import SweepError
from raybert.storage import Found, Objects, Store
from raybert.sweeping.storage.parts import (
    ATTEMPT,
    CLAIMS,
    OF_RUNS,
    REQUEST,
    TAR,
    by_part,
    has_ended,
    is_complete,
    is_run,
    local_files,
    published,
    rank,
)
from raybert.sweeping.storage.publish import unpack

_AT_ONCE = 8
"""Requests to the store at a time."""
_MOST_SHOWN = 3


def check_names(store: Store, names: Iterable[str]) -> None:
    """Refuse to put results among other people's objects, and names that would lead out of a folder.

    Raises:
        SweepError: there are some; says which.
    """
    names = [name for name in names if not name.startswith(CLAIMS)]
    _check_paths(store, names)
    if names and ATTEMPT not in names:
        shown = ", ".join(sorted(names)[:_MOST_SHOWN])
        raise SweepError(
            f"output: must be an empty folder or a results folder, got {store.url}, which holds other objects ({shown}"
            f"{', ...' if len(names) > _MOST_SHOWN else ''}); give another one"
        )


def fetch_to_go_on(store: Store, folder: Path, names: Iterable[str]) -> list[str]:
    """Fetch what an owner goes on from, and return the files that the store has, too.

    Of a run that has not ended that is its last checkpoint with what belongs to it, or nothing.
    """
    names = [name for name in names if not name.startswith(CLAIMS) and name not in (ATTEMPT, REQUEST)]
    wanted, tars = [], []
    for part, inside in by_part(dict.fromkeys(names)).items():
        if is_run(part) and not has_ended(part, inside):
            tars += [part] if f"{part}/{TAR}" in inside else []
        else:
            wanted += [name for name in inside if not (is_run(part) and name == f"{part}/{TAR}")]
    fetched = get_all(store, folder, wanted)
    for part in tars:
        fetch_unfinished(store, folder, part)
    return fetched


def fetch_unfinished(store: Store, folder: Path, part: str) -> bool:
    """Put a run that has not ended back as it was at its last checkpoint; return whether there was a whole one."""
    make_folder(folder)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".tar-") as scratch:
        archive, fresh = Path(scratch, TAR), Path(scratch, "run")
        if not store.get_file(f"{part}/{TAR}", archive) or not unpack(archive, fresh):
            return False
        target = folder / part
        make_folder(target.parent)
        if target.exists():
            shutil.rmtree(target)
        fresh.rename(target)
    return True


def get_all(store: Objects, folder: Path, names: Iterable[str]) -> list[str]:
    """Fetch objects, some at a time, marks last, and return those that were there.

    Raises:
        SweepError: a name would lead out of the folder.
    """
    names = list(names)
    _check_paths(store, names)
    fetched: list[str] = []
    for level in sorted({min(rank(name), 1) for name in names}):
        group = [name for name in names if min(rank(name), 1) == level]
        with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="fetch") as pool:
            found = pool.map(lambda name: store.get_file(name, folder / name), group)
            fetched += [name for name, is_there in zip(group, found, strict=True) if is_there]
    return fetched


def _check_paths(store: Objects, names: Iterable[str]) -> None:
    """Refuse names that are no paths inside of a folder: files of this machine would be written elsewhere.

    Raises:
        SweepError: there is one.
    """
    for name in names:
        if any(part in ("", ".", "..") for part in name.split("/")) or "\0" in name:
            raise SweepError(f"{store.url}: must have names that are paths in a folder, got '{name}'; delete it")


def merge_complete(older: Path, folder: Path) -> int:
    """Take over runs and signals that an earlier working folder has whole and this one has not; return how many.

    What a run is and measured depends on its id alone, whoever goes on with the sweep.
    """
    count = 0
    for part, names in by_part(local_files(older)).items():
        is_of_interest = is_run(part) or part.startswith("signals/")
        if is_of_interest and is_complete(part, names) and not is_complete(part, local_files(folder, part)):
            target = folder / part
            if target.exists():
                shutil.rmtree(target)
            make_folder(target.parent)
            shutil.move(older / part, target)
            count += 1
    return count


def wanted_by_readers(names: Mapping[str, Found], level: int) -> list[str]:
    """Return what is needed of a results folder to read it.

    Args:
        names: of all its objects.
        level: 0 how it stands; 1 also its results; 2 also signals; 3 also models.
    """
    found = []
    for part, inside in by_part(names).items():
        found += [name for name in published(part, inside) if _level_of(name) <= level and _is_of_results(name)]
    return found


def _is_of_results(name: str) -> bool:
    return not (name.startswith(CLAIMS) or name == REQUEST or name.endswith(f"/{TAR}"))


def _level_of(name: str) -> int:
    head, _, rest = name.partition("/")
    inner = rest.partition("/")[2]
    if not rest:
        return 0 if not name.endswith(".parquet") else 1
    if head == "signals":
        return 2
    if head == "best" or "/checkpoint/" in name or "/dynamics/" in name or inner.startswith("model/"):
        return 3
    return int(head not in OF_RUNS or not name.endswith((".json", ".jsonl", ".txt", ".yaml")))
