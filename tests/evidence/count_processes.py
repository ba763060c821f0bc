"""A pytest plugin: which processes each test file starts, and what it takes; a table at PROCESSES_TO (tab-separated).

PYTHONPATH=tests/evidence PROCESSES_TO=/tmp/processes.tsv python -m pytest -p count_processes ...
"""

from __future__ import annotations

import os
import sys
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

_where = ["collection"]
_started: dict[str, Counter[str]] = defaultdict(Counter)
_seconds: Counter[str] = Counter()


def _kind(arguments: Any) -> str:
    words = [str(word) for word in arguments] if isinstance(arguments, list | tuple) else str(arguments).split()
    line = " ".join(words)
    if "raybert" in words or "-m raybert" in line:
        return "raybert"
    if "/ray/" in line or "raylet" in line or "gcs_server" in line:
        return "ray"
    return "python" if "python" in Path(words[0]).name else "other"


def _audit(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "subprocess.Popen":
        _started[_where[0]][_kind(arguments[1])] += 1


sys.addaudithook(_audit)


def pytest_runtest_logstart(nodeid: str) -> None:
    """Remember which file runs."""
    _where[0] = nodeid.split("::")[0]


def pytest_runtest_logreport(report: Any) -> None:
    """Add up set-up, call and tear-down."""
    _seconds[report.nodeid.split("::")[0]] += report.duration


def pytest_sessionfinish(session: Any) -> None:
    """Write the table, in the process that has run the tests."""
    target = os.environ.get("PROCESSES_TO")
    runs_tests = hasattr(session.config, "workerinput") or not getattr(session.config.option, "numprocesses", None)
    if target is None or not runs_tests:
        return
    kinds = ("raybert", "python", "ray", "other")
    lines = ["\t".join(("file", "seconds", *kinds))]
    for name, seconds in _seconds.most_common():
        lines.append("\t".join((name, f"{seconds:.1f}", *(str(_started[name][kind]) for kind in kinds))))
    with Path(target).open("a", encoding="utf-8") as file:  # every worker adds its files
        file.write("\n".join(lines) + "\n")
