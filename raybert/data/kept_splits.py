"""Splits of large local data, kept between commands and mapped: nobody waits again for reading, checking and cutting.

What is kept is in `splits/<key>/` of the cache: the texts of each split as Arrow has them in memory, in their order.
The key is a digest of the content of the source's files, of the section `data` and of what reads it; before it is used,
each file is read once against its SHA-256. Memory holds what is looked at, and gives it back when there is need.
"""

from __future__ import annotations

import contextlib
import os
import warnings
from functools import cache, lru_cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from raybert.config import DataConfig
from raybert.config.data import AFTER_LOADING
from raybert.data.arrow_files import is_saved_folder
from raybert.data.kinds import source_kind
from raybert.data.rows import find_rows
from raybert.data.splits import SPLITS, Splits, load_with_rows
from raybert.data.strings import BLOCK_ROWS, as_str_array
from raybert.data.token_store import TokenStore
from raybert.durable import atomic_folder, hold, remove_leftovers
from raybert.errors import CacheWarning
from raybert.files import (
    content_key,
    file_digest,
    is_as_digested,
    kept_if_possible,
    read_json,
    write_digests,
    write_json,
)
from raybert.version import __version__

FORMAT = 2
"""Of the files, and of what reads and cuts a source: a change of either is another key."""
SMALLEST = 16 << 20
"""Bytes of a source from which on its splits are kept; a smaller one is read and cut in a second or two."""
FOLDER = "splits"
_MARK = "COMPLETE"
_FACTS = "facts.json"
_ROWS = "rows.npy"
_IDS = "pool_ids.npy"
_WIDEST_ID = 64
"""Characters, of four bytes each: longer ids are not written once more."""
_OF_TASK = ("task", "outputs")
_NOT_OF_SPLITS = frozenset({"max_length", "lowercase", "truncation_side", "pair_truncation", "folds", *AFTER_LOADING})


def load_kept_splits(config: DataConfig, cache_folder: Path) -> Splits:
    """Return what `load_splits` does, of large local data from the cache.

    Args:
        config: the `data` section, without folds.
        cache_folder: where they are kept.

    Raises:
        DataError: as of `load_splits`.
    """
    key = _key(config)
    folder = cache_folder / FOLDER / key
    store = TokenStore.below(cache_folder / FOLDER)
    if not key or not store.most_bytes:
        return load_with_rows(config, cache_folder)[0]
    is_there = (folder / _MARK).is_file()
    if is_there:
        if (kept := _read(folder)) is not None:
            return kept
        warnings.warn(f"splits {folder}: damaged, and made again", CacheWarning, stacklevel=2)
    splits, rows = load_with_rows(config, cache_folder)
    with kept_if_possible("splits", folder.parent):
        remove_leftovers(folder.parent, is_shared=True)
        with atomic_folder(folder, mark=_MARK, keeps_existing=not is_there) as fresh:
            fresh.chmod(0o700)  # texts
            _write(splits, rows, fresh)
        store.remove_oldest(key)
        return _read(folder, is_checked=False) or splits
    return splits


def kept_rows(config: DataConfig, ids: pa.Array, cache_folder: Path) -> np.ndarray | None:
    """Return (m,) in which rows of the source's train table examples of the pool are; None: it is not kept.

    Args:
        config: the `data` section.
        ids: of the examples.
        cache_folder: where splits are kept.
    """
    if config.folds is not None or not (key := _key(config)):
        return None
    folder = cache_folder / FOLDER / key
    if not (folder / _MARK).is_file() or (kept := _read(folder, is_checked=False)) is None:
        return None
    found = find_rows(kept.train["example_id"], ids)
    return None if (found < 0).any() else np.load(folder / _ROWS, mmap_mode="r", allow_pickle=False)[found]


def _key(config: DataConfig) -> str:
    """Return what the splits of a source depend on, as a key; empty: they are not kept."""
    if source_kind(config.source) != "local":
        return ""
    path = Path(config.source).expanduser()
    try:
        files = {str(file): file.stat() for file in _files_of(path)}
        if sum(status.st_size for status in files.values()) < SMALLEST:
            return ""
        digests = {name: _digest(name, status.st_size, status.st_mtime_ns) for name, status in files.items()}
    except OSError:  # whoever reads it says what is wrong
        return ""
    data = config.model_dump(mode="json", exclude=set(_NOT_OF_SPLITS))
    versions = {"format": FORMAT, "raybert": __version__, "pyarrow": pa.__version__}
    return content_key({"files": digests, "data": data, **versions})


def _files_of(path: Path) -> list[Path]:
    """Return the files that a source may be read from."""
    if not path.is_dir():
        return [path]
    found = path.rglob("*") if is_saved_folder(path) else path.iterdir()
    return sorted(file for file in found if file.is_file())


@lru_cache(maxsize=1024)
def _digest(file: str, size: int, modified: int) -> str:
    """Return the SHA-256 of a file, which a command asks for more than once."""
    return file_digest(Path(file))


def _write(splits: Splits, rows: np.ndarray, folder: Path) -> None:
    for split in SPLITS:
        table = getattr(splits, split)
        with pa.OSFile(str(folder / f"{split}.arrow"), "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
            writer.write_table(table, max_chunksize=BLOCK_ROWS)
    np.save(folder / _ROWS, rows)
    ids = splits.train["example_id"]
    if (pc.max(pc.utf8_length(ids)).as_py() or 0) <= _WIDEST_ID:
        as_str_array(ids, folder / _IDS)
    facts = {name: getattr(splits, name) for name in ("label_names", "fingerprint", "notes", "details", *_OF_TASK)}
    write_json(folder / _FACTS, facts)
    write_digests(folder)


def _read(folder: Path, *, is_checked: bool = True) -> Splits | None:
    """Return splits as they are mapped; None: their files are not what was written, which is looked at by default."""
    try:
        _held(folder, folder.stat().st_ino)  # before its files are opened: nobody removes what is held
        if is_checked and not is_as_digested(folder):
            return None
        facts = read_json(folder / _FACTS)
        is_there = (folder / _IDS).is_file()
        ids = np.asarray(np.load(folder / _IDS, mmap_mode="r", allow_pickle=False)) if is_there else None
        tables = {split: pa.ipc.open_file(pa.memory_map(str(folder / f"{split}.arrow"))).read_all() for split in SPLITS}
        with contextlib.suppress(OSError):  # a cache that may only be read
            os.utime(folder / _MARK)
    except (OSError, ValueError, pa.ArrowException):
        return None
    if facts is None:
        return None
    names, notes = tuple(facts["label_names"]), tuple(facts["notes"])
    further = {name: facts[name] for name in _OF_TASK if name in facts}
    if "outputs" in further:
        further["outputs"] = tuple(further["outputs"])
    return Splits(
        **tables,
        label_names=names,
        fingerprint=facts["fingerprint"],
        notes=notes,
        details=facts["details"],
        pool_ids=ids,
        pool_file=folder / "train.arrow",
        **further,
    )


@cache
def _held(folder: Path, inode: int) -> int:
    """Hold a folder for as long as this process lives, in which its files may be mapped."""
    return hold(folder)
