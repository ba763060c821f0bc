"""`trials.txt`: what a person calls each run, and which folder of `trials/` it has. Nothing reads it again.

The folders keep their ids: one run has one folder whatever its strategy is called today, and code finds it without a
look-up. Links by name would be refused where results are read (they may lead anywhere), and get lost in copies, in
archives and on file systems without them; a text survives all of these.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from raybert.files import read_json, write_text
from raybert.plain import printable
from raybert.sweeping.folder.layout import SweepFolder
from raybert.sweeping.plan.roles import PROXY, TRIAL
from raybert.sweeping.plan.specs import RunSpec

FILE_NAME = "trials.txt"
_HEAD = "# strategy-sSEED-ID, the folder of the run, what it is for, its budget, its point of the grid\n"
_NAME_WIDTH = 36
"""Of most names; those of later lines are not known when the first are written."""
_FORMER = "of an earlier sweep file"


def write_index(folder: SweepFolder) -> None:
    """Write all runs anew: those of the plan in its order, then what else has a folder."""
    planned = folder.planned()
    known = {str(line["trial_id"]) for line in planned}
    is_compared = any(line.get("role") == TRIAL for line in planned)
    lines = [_line(line) for line in planned]
    for path in sorted((folder.path / "trials").glob("*/spec.json")):
        spec = (read_json(path) or {}).get("spec")
        if isinstance(spec, dict) and path.parent.name not in known:
            is_former = is_compared and spec.get("role") in (TRIAL, PROXY)
            found = {**spec, "trial_id": path.parent.name, "strategy": spec.get("label")}
            lines.append(_line(found, _FORMER if is_former else ""))
    write_text(folder.path / FILE_NAME, _HEAD + "".join(lines))


def add_to_index(folder: SweepFolder, specs: Iterable[RunSpec]) -> None:
    """Add runs that are about to begin and are not listed: those of a search, and those behind signals."""
    path = folder.path / FILE_NAME
    if not path.is_file():  # of `raybert select`, which has no plan
        write_index(folder)
    listed = path.read_text(encoding="utf-8")
    lines = [_line(spec.summary()) for spec in specs if f"trials/{spec.trial_id} " not in listed]
    if lines:
        with path.open("a", encoding="utf-8") as index:
            index.write("".join(lines))


def run_name(line: Mapping[str, Any]) -> str:
    """Return what a person calls a run: `el2n-s0`, with folds `el2n-s0-f1`.

    Args:
        line: of `plan.json`.
    """
    fold = line.get("fold")
    return f"{line.get('strategy')}-s{line.get('seed')}" + (f"-f{fold}" if fold else "")


def _line(line: Mapping[str, Any], remark: str = "") -> str:
    grid = line.get("grid")
    name = printable(f"{run_name(line)}-{line['trial_id']}")
    parts = [
        f"{name:<{_NAME_WIDTH}}",
        f"trials/{line['trial_id']}",
        f"{line.get('role', TRIAL):<6}",
        f"budget {line.get('budget')}",
        *(f"{key}={value}" for key, value in (grid.items() if isinstance(grid, dict) else ())),
        *([f"({remark})"] if remark else []),
    ]
    return printable("  ".join(parts)).rstrip() + "\n"
