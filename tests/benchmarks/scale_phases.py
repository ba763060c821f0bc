"""`raybert select` in a process of its own, with the time at which each of its phases begins and ends.

    python -m tests.benchmarks.scale_phases LOG FILE STRATEGY BUDGET [KEY=VALUE ...]

Writes a line of JSON a phase: its name, depth, when it began and ended (seconds of the epoch), and its processor seconds.
"""

from __future__ import annotations

import functools
import importlib
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO

PHASES = {
    "look first": ("raybert.sweeping.first_look", "look_first"),
    "read and check": ("raybert.data.splits", "read_source"),
    "read file": ("raybert.data.sources", "read_local"),
    "labels": ("raybert.data.sources", "encode_labels"),
    "check texts": ("raybert.data.sources", "check_strings"),
    "notes on texts": ("raybert.data.sources", "notes_on_texts"),
    "ids": ("raybert.data.splits", "with_ids"),
    "cut splits": ("raybert.data.splits", "cut_missing"),
    "normal forms (cut)": ("raybert.data.cut", "normal_forms"),
    "subsample": ("raybert.data.splits", "subsample"),
    "fingerprint": ("raybert.data.splits", "content_fingerprint"),
    "overlaps, repeats": ("raybert.data.splits", "describe_overlaps"),
    "encoder": ("raybert.sweeping.phases.prepare", "resolve_encoder"),
    "tokenize": ("raybert.sweeping.phases.prepare", "tokenize_splits"),
    "score": ("raybert.sweeping.single.select", "_score"),
    "make pool": ("raybert.sweeping.single.select", "make_pool"),
    "choose": ("raybert.sweeping.single.select", "select_from_pool"),
    "rows of the source": ("raybert.sweeping.single.select", "_with_source"),
}
"""Phase -> module and name of the function that is timed, as its caller sees it."""


class _Log:
    def __init__(self, file: TextIO) -> None:
        self.file, self.depth = file, 0

    def timed(self, phase: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return a function that does the same and writes a line."""

        @functools.wraps(function)
        def run(*args: Any, **kwargs: Any) -> Any:
            self.depth += 1
            began, cpu = time.time(), time.process_time()
            try:
                return function(*args, **kwargs)
            finally:
                self.depth -= 1
                line = {"phase": phase, "depth": self.depth, "began": began, "ended": time.time()}
                print(json.dumps({**line, "cpu": time.process_time() - cpu}), file=self.file, flush=True)

        return run


def main() -> None:
    """Run, and write the phases."""
    path, file, strategy, budget, *overrides = sys.argv[1:]
    with Path(path).open("w", encoding="utf-8") as stream:
        log = _Log(stream)

        def run() -> None:
            import raybert
            import raybert.sweeping.single.select

            for phase, (module, name) in PHASES.items():
                place = importlib.import_module(module)
                if hasattr(place, name):
                    setattr(place, name, log.timed(phase, getattr(place, name)))
            subset = log.timed("select", raybert.select_subset)(file, strategy, budget=budget, overrides=overrides)
            print(len(subset.frame))

        log.timed("whole process", run)()


if __name__ == "__main__":
    main()
