"""Whose a folder is: raybert writes into an empty folder or into one of its own, never among other people's files.

Publishing replaces `best/`, `results/` and `plots/` of a folder, so what is in it is looked at before anything is
written.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from raybert.durable import is_leftover
from raybert.errors import SweepError
from raybert.files import read_json
from raybert.sweeping.folder.owner import current_attempt, read_owner
from raybert.sweeping.folder.versions import version_of

_OF_THE_SYSTEM = frozenset(
    (
        *(".DS_Store", ".localized", ".fseventsd", ".Spotlight-V100", ".Trashes", ".TemporaryItems", "Thumbs.db"),
        *("desktop.ini", ".directory", "lost+found", ".snapshot", ".snapshots", ".zfs", ".gitkeep", ".gitignore"),
    )
)
_OF_THE_SYSTEM_BEGIN = ("._", ".nfs", ".fuse_hidden", ".Trash-", ".now.")
"""What file systems and file browsers put into folders (`.now.`: our own look at the clock of the file system)."""
_FIRST = frozenset(("lock", "owner.json", "state.json", ".tune"))
"""What a start leaves that ends before it has its number: all the rest comes after `attempt`."""
_OWN_NAMES = frozenset(
    ("attempt", "plan.json", "manifest.json", "resolved.yaml", "pool.parquet", "held_out.parquet", "state.json")
)
_ENOUGH_NAMES = 3
"""So many of them make a folder ours whatever is in them: a power cut may have emptied all."""
_MOST_SHOWN = 3


def check_results_folder(folder: Path) -> None:
    """Refuse to put results among files that are not raybert's; makes nothing.

    Raises:
        SweepError: the folder is neither empty nor one of results; says what is in it.
    """
    refuse_others(folder, _is_results_folder, "a results folder")


def refuse_others(folder: Path, is_own: Callable[[Path, set[str]], bool], what: str) -> None:
    """Refuse to write among files that are not raybert's; makes nothing.

    Args:
        folder: there or not.
        is_own: tells, of a folder and the names in it, whether it is one of ours.
        what: ours are, in words.

    Raises:
        SweepError: the folder is neither empty nor ours; says what is in it.
    """
    try:
        names = {name for name in os.listdir(folder) if not _counts_nothing(name)}
    except OSError:  # not there yet; that it is a file, or may not be read, is said where it is opened
        return
    if not names or is_own(folder, names):
        return
    shown = sorted(names)[:_MOST_SHOWN]
    more = f" and {len(names) - len(shown):,} more" if len(names) > len(shown) else ""
    raise SweepError(
        f"output: must be an empty folder or {what}, got {folder}, which holds other files ({', '.join(shown)}{more}); "
        "give another one"
    )


def check_is_results_folder(folder: Path) -> None:
    """Refuse what is not even a folder where results are read.

    Raises:
        SweepError: nothing is there, or a file.
    """
    if not folder.is_dir():
        wrong = f"'{folder.name}' is a file" if folder.exists() else "does not exist"
        raise SweepError(f"{folder}: must be the results folder of a sweep, but {wrong}")


def _counts_nothing(name: str) -> bool:
    return name in _OF_THE_SYSTEM or name.startswith(_OF_THE_SYSTEM_BEGIN) or is_leftover(name)


def _is_results_folder(folder: Path, names: set[str]) -> bool:
    """Tell whether a sweep was begun in a folder, by any of its files: one alone may be damaged or deleted."""
    if names <= _FIRST or len(names & _OWN_NAMES) >= _ENOUGH_NAMES:
        return True
    if _has_owner(folder) or _is_study(folder):
        return True
    if isinstance(_read(folder / "plan.json").get("trials"), list):
        return True
    if version_of(folder) is not None:
        return True
    return any("data_fingerprint" in _read(path) for path in folder.glob("trials/*/spec.json"))


def _is_study(folder: Path) -> bool:
    """Tell whether models, or the tokenizer of a pretraining file, are in a folder."""
    if "corpora" in _read(folder / "tokenizer" / "trained_on.json"):
        return True
    return any("identity" in _read(path) for path in folder.glob("models/*/run.json"))


def _has_owner(folder: Path) -> bool:
    try:
        return current_attempt(folder) > 0 or read_owner(folder) is not None
    except OSError:  # folders of these names, or files that may not be read
        return False


def _read(path: Path) -> dict[str, Any]:
    try:
        return read_json(path) or {}
    except OSError:  # a folder of that name, or one that may not be read
        return {}
