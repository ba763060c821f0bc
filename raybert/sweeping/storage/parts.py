"""What of a results folder goes into an object store, and in which order, so that no mark is there before its files.

A results folder has *parts* that are whole or not, each for itself: a run (`trials/<id>`, `models/<id>`), a signal
(`signals/<key>`), a folder of what is published (`best`, `plots`, ...), and the files at its top. A run that has not
ended is one object, `unfinished.tar`: its last checkpoint with all that belongs to it, replaced as a whole.
"""

from __future__ import annotations

import os
from collections.abc import Container, Iterable, Iterator, Mapping
from pathlib import Path

from raybert.durable import is_leftover

TAR = "unfinished.tar"
"""Of a run that has not ended."""
CLAIMS = "owners/"
"""Where who works in the folder says so; see `lease`."""
ATTEMPT, REQUEST = "attempt", "control.json"
OF_RUNS = ("trials", "models")
_OF_SIGNALS = "signals"
_FIRST = ("decisions.jsonl", "study.journal")
"""Logs that what runs leave relies on."""
_STUDY = "study.db"
_OF_THIS_MACHINE = frozenset(
    (
        *("lock", "owner.json", ATTEMPT, REQUEST, "stop-requested", ".tune", "owners"),
        *(_STUDY, f"{_STUDY}-wal", f"{_STUDY}-shm", "study.journal.lock"),
    )
)
"""At the top: of the process that works here; `study.db` is published as a copy that is whole."""
_OF_A_PROCESS = frozenset((".lock", ".worker.lock", "stack.txt", "stall.json", "stop-requested", TAR))
"""Of a run."""
LIVE = frozenset(
    (
        *("config.yaml", "spec.json", "run.json", "evaluations.jsonl", "log.txt", "heartbeat.json", "restarts.jsonl"),
        *("attempts.jsonl",),
    )
)
"""What people look at while a run is at work; it goes on from its tar."""
_MARKS_OF_RUNS = ("error.txt", "failure.json", "pruned.json", "training_summary.json", "result.json")
"""What ends a run, in the order in which they are written."""
_ORDER = ("", _OF_SIGNALS, "models", "trials")
_INNER_MARKS = frozenset(("COMPLETE", "complete.json"))


def part_of(name: str) -> str:
    """Return the part that a file is in, by its path in the results folder; empty: it is at the top."""
    head, _, rest = name.partition("/")
    if not rest:
        return ""
    if head in (*OF_RUNS, _OF_SIGNALS):
        inner, slash, _ = rest.partition("/")
        return f"{head}/{inner}" if slash else head
    return head


def is_run(part: str) -> bool:
    """Tell whether a part is that of a run."""
    head, _, rest = part.partition("/")
    return head in OF_RUNS and rest != ""


def has_ended(part: str, names: Iterable[str]) -> bool:
    """Tell whether a run has ended, by the names of its files."""
    marks = {f"{part}/{mark}" for mark in _MARKS_OF_RUNS}
    return any(name in marks for name in names)


def is_complete(part: str, names: Iterable[str]) -> bool:
    """Tell whether a run has ended well, or a signal is whole."""
    marks = {f"{part}/{mark}" for mark in ("result.json", "training_summary.json", "complete.json")}
    return any(name in marks for name in names)


def rank(name: str) -> int:
    """Return when a file is written: 0 is before its marks, marks count upwards, the one of the whole part is last."""
    part, base = part_of(name), name.rpartition("/")[2]
    if is_run(part) and name == f"{part}/{base}" and base in _MARKS_OF_RUNS:
        return 2 + _MARKS_OF_RUNS.index(base)
    if part == "best":
        return int(base in ("config.json", *_INNER_MARKS))
    return int(base in _INNER_MARKS or (base == "result.json" and part.startswith(f"{_OF_SIGNALS}/")))


def inner_mark_of(name: str, names: Iterable[str]) -> str | None:
    """Return the mark that says that the files around a file are whole, where there is one among some names."""
    folder = name.rpartition("/")[0]
    marks = ("config.json",) if folder == "best" else ("COMPLETE",)
    found = (f"{folder}/{mark}" for mark in marks)
    known = set(names)
    return next((mark for mark in found if mark in known and mark != name), None)


def local_files(folder: Path, below: str = "", without: Container[str] = ()) -> dict[str, os.stat_result]:
    """Return the files of a results folder that may be published, by their paths in it; links are left out.

    Args:
        folder: of the results.
        below: a part of it, in place of all.
        without: parts that are left out.
    """
    return dict(sorted(_files(folder, below, without)))


def _files(folder: Path, below: str, without: Container[str]) -> Iterator[tuple[str, os.stat_result]]:
    try:
        entries = list(os.scandir(folder / below))
    except (FileNotFoundError, NotADirectoryError):
        return
    for entry in entries:
        name = f"{below}/{entry.name}" if below else entry.name
        if name in without or is_leftover(entry.name) or entry.is_symlink() or _stays(name):
            continue
        try:
            if entry.is_dir(follow_symlinks=False):
                yield from _files(folder, name, without)
            elif entry.is_file(follow_symlinks=False):
                yield name, entry.stat(follow_symlinks=False)
        except FileNotFoundError:  # replaced meanwhile: the next look finds it
            continue


def _stays(name: str) -> bool:
    part, base = part_of(name), name.rpartition("/")[2]
    if not part:
        return name in _OF_THIS_MACHINE
    return is_run(part) and name == f"{part}/{base}" and base in _OF_A_PROCESS


def published(part: str, names: Iterable[str]) -> list[str]:
    """Return those files of a part that are objects of their own now: of a run at work what people look at."""
    names = list(names)
    if not is_run(part) or has_ended(part, names):
        return names
    return [name for name in names if name.removeprefix(f"{part}/") in LIVE]


def by_part(names: Mapping[str, object]) -> dict[str, list[str]]:
    """Return files by part, in the order in which parts are published."""
    found: dict[str, list[str]] = {}
    for name in names:
        found.setdefault(part_of(name), []).append(name)
    for part in found:
        found[part].sort(key=lambda name: (part != "" or name not in _FIRST, name))
    return dict(sorted(found.items(), key=lambda item: (_order(item[0]), item[0])))


def _order(part: str) -> int:
    """Of what others rely on first: the plan and logs, then signals and runs, then what is made of them."""
    head = part.partition("/")[0]
    return _ORDER.index(head) if head in _ORDER else len(_ORDER)
