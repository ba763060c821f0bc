"""Which raybert wrote a results folder: what a later one wrote is refused in one line, before anything is done."""

from __future__ import annotations

import re
from pathlib import Path

from raybert.errors import SweepError
from raybert.files import read_json
from raybert.version import __version__

WRITTEN_BY = "raybert"
"""Key of the version in `spec.json`, and among the versions of `manifest.json`."""


def check_version(folder: Path) -> None:
    """Refuse a results folder that a later raybert has written, or has gone on with.

    Raises:
        SweepError: says which, and what to do.
    """
    version = version_of(folder)
    if version is not None and is_later(version):
        raise SweepError(f"{folder}: {words(version)}")


def version_of(folder: Path) -> str | None:
    """Return the version that has written a results folder, or gone on with it last; None: not known."""
    try:
        versions = (read_json(folder / "manifest.json") or {}).get("versions")
    except OSError:  # no folder; that is said by whoever needs it
        return None
    found = versions.get(WRITTEN_BY) if isinstance(versions, dict) else None
    return found if isinstance(found, str) else None


def is_later(version: str) -> bool:
    """Tell whether files of a version may hold what this one does not know: its third number says nothing of files."""
    return _numbers(version) > _numbers(__version__)


def words(version: str | None) -> str:
    """Return who wrote something that this version does not understand, and what to do about it."""
    if version is None:
        return f"was written by another version of raybert than this one ({__version__}); install that one"
    return f"was written by raybert {version}, this is {__version__}; pip install 'raybert>={version}' reads it"


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(map(int, re.findall(r"\d+", version)[:2]))
