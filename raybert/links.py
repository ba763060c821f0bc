"""Symbolic links in folders that other people may write, or have written: not followed, or refused in one line."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from raybert.errors import SweepError

_DEPTH = 3
"""Folders below a results folder that are looked through: trials/<id>/checkpoint; below are whole folders of models."""


def without_links(*patterns: str) -> Callable[[str, list[str]], set[str]]:
    """Return what makes `shutil.copytree` leave out symbolic links, and names that match a pattern.

    It would put the content of what they point to, which may be anybody's, into the copy.
    """
    by_name = shutil.ignore_patterns(*patterns)

    def left_out(folder: str, names: list[str]) -> set[str]:
        links = {name for name in names if os.path.islink(os.path.join(folder, name))}
        return links | by_name(folder, names)

    return left_out


def remove_tree(path: Path) -> None:
    """Delete a folder with all that is in it; of a link only the link, wherever it points to."""
    if path.is_symlink():
        path.unlink()
    else:
        shutil.rmtree(path)


def leads_outside(root: Path, path: Path) -> bool:
    """Tell whether something between a folder and a path below it is a symbolic link, the path included."""
    steps = path.relative_to(root).parts
    return any(root.joinpath(*steps[: number + 1]).is_symlink() for number in range(len(steps)))


def refuse_links(folder: Path) -> None:
    """Refuse a results folder in which a symbolic link would be followed when it is written.

    Raises:
        SweepError: names the first one.
    """
    for path in _links_in(folder, _DEPTH):
        raise SweepError(
            f"{path}: must not be a symbolic link (to {_target(path)}), which nothing here follows; put what it points "
            "to in its place, or delete it"
        )


def check_no_link(paths: Iterable[Path]) -> None:
    """Refuse places that would be written through a symbolic link.

    Raises:
        SweepError: names the first one.
    """
    for path in paths:
        if path.is_symlink():
            raise SweepError(
                f"{path}: must not be a symbolic link (to {_target(path)}); delete it, or name another place"
            )


def _links_in(folder: Path, depth: int) -> Iterator[Path]:
    try:
        entries = list(os.scandir(folder))
    except (FileNotFoundError, NotADirectoryError):
        return
    for entry in entries:
        if entry.is_symlink():
            yield Path(entry.path)
        elif depth and not entry.name.startswith(".") and entry.is_dir(follow_symlinks=False):
            yield from _links_in(Path(entry.path), depth - 1)


def _target(path: Path) -> str:
    try:
        return os.readlink(path)
    except OSError:
        return "?"
