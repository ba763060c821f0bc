"""Sections of a check: named items with a budget of seconds; what there was no time for is said, nothing is lost."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Item = tuple[str, Callable[[], Any]]
"""A name, and what measures it: returns what is written, or raises AssertionError where something is wrong."""

_GRACE = 10.0
"""Seconds after its budget in which a section may end its last item, before its process is killed."""


@dataclass(frozen=True)
class Section:
    """A part of the check.

    Attributes:
        name: of the section.
        seconds: budget on a GPU.
        items: makes what is measured, in the order of its worth: the last ones are cut first.
    """

    name: str
    seconds: float
    items: Callable[[Any], Sequence[Item]]


def measure(section: Section, context: Any, seconds: float, write: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    """Return what the items of a section came to, as far as there is time; `write` gets it after every item.

    An item that raises is a failure of its own, and the next one follows.
    """
    started = time.monotonic()
    found: dict[str, Any] = {"items": {}, "failed": [], "cut": [], "seconds": 0.0}
    for name, run in section.items(context):
        if time.monotonic() - started > seconds:
            found["cut"].append(name)
            continue
        began = time.monotonic()
        try:
            value = run()
        except Exception as error:  # of whatever a device does: the others are still worth measuring
            lines = traceback.format_exception(error)
            value = {"error": f"{type(error).__name__}: {error}"[:2000], "traceback": "".join(lines)[-4000:]}
            found["failed"].append(name)
        found["items"][name] = {"value": value, "seconds": round(time.monotonic() - began, 2)}
        found["seconds"] = round(time.monotonic() - started, 2)
        write(found)
    write(found)
    return found


def run_all(
    sections: Sequence[Section],
    total_seconds: float,
    output: Path,
    run_one: Callable[[Section, float], dict[str, Any]],
    facts: Mapping[str, Any],
) -> dict[str, Any]:
    """Run sections one after the other, and write everything to `output` after each.

    Args:
        sections: in the order of their worth.
        total_seconds: of all; the rest of it is what a section gets at most.
        output: a JSON file.
        run_one: runs a section within some seconds.
        facts: what is said at the top.

    Returns:
        What the file holds: `sections` by name; `failed` and `cut`, as section/item; `seconds`.
    """
    started = time.monotonic()
    report: dict[str, Any] = {**facts, "failed": [], "cut": [], "seconds": 0.0, "sections": {}}
    for section in sections:
        left = total_seconds - (time.monotonic() - started)
        if left < 1:
            report["cut"].append(section.name)
        else:
            found = run_one(section, min(section.seconds, left))
            report["sections"][section.name] = found
            for key in ("failed", "cut"):
                report[key] += [f"{section.name}/{name}" for name in found[key]]
        report["seconds"] = round(time.monotonic() - started, 1)
        write_json(output, report)
        print(_line(section.name, report), flush=True)
    return report


def in_a_process(section: Section, seconds: float, arguments: Sequence[str], folder: Path) -> dict[str, Any]:
    """Run a section in a process of its own, which is killed some seconds after its budget.

    Args:
        section: to run.
        seconds: its budget.
        arguments: of `tests.gpu.check`, besides those that say which section.
        folder: for its part of the results.
    """
    part = folder / f"{section.name}.json"
    command = [sys.executable, "-m", "tests.gpu.check", *arguments]
    command += ["--section", section.name, "--seconds", str(seconds), "--part", str(part)]
    log = (folder / f"{section.name}.log").open("wb")
    with log, subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, start_new_session=True) as process:
        try:
            code = process.wait(seconds + _GRACE)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            code = None
    empty: dict[str, Any] = {"items": {}, "failed": [], "cut": [], "seconds": seconds}
    found = json.loads(part.read_text()) if part.is_file() else empty
    if code is None:
        found["cut"].append("the item at its end: killed")
    elif code != 0:
        tail = (folder / f"{section.name}.log").read_text(errors="replace")[-4000:]
        found["failed"].append("its process")
        found["items"]["its process"] = {"value": {"error": f"exit code {code}", "traceback": tail}, "seconds": 0.0}
    return found


def write_json(path: Path, value: Any) -> None:
    """Write a file that is whole at any moment."""
    new = path.with_suffix(".new")
    new.write_text(json.dumps(value, indent=1, default=str) + "\n")
    new.replace(path)


def _line(name: str, report: Mapping[str, Any]) -> str:
    found = report["sections"].get(name)
    if found is None:
        return f"{name}: no time left"
    words = [f"{len(found['items'])} items in {found['seconds']:.0f} s"]
    words += [f"{kind}: {', '.join(found[kind])}" for kind in ("failed", "cut") if found[kind]]
    return f"{name}: " + "; ".join(words)
