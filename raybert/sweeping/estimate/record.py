"""`estimate.json`: what a sweep was expected to take, and, once it has ended, what it took."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from raybert.files import read_json, write_json
from raybert.sweeping.folder.layout import SweepFolder

if TYPE_CHECKING:
    from raybert.sweeping.estimate.estimate import Estimate
    from raybert.sweeping.estimate.pretraining import StudyEstimate

FILE_NAME = "estimate.json"


def estimate_document(estimate: Estimate) -> dict[str, Any]:
    """Return an estimate as JSON: quantity -> low, expected, high, and what they come from."""
    quantities = {
        "wall_seconds": estimate.wall_seconds,
        estimate.unit.replace("-", "_").lower(): estimate.hours,
        "disk_bytes": estimate.disk_bytes,
    }
    return {
        "trial_ids": list(estimate.trial_ids),
        "done_before": list(estimate.done_before),
        "num_suggestions": estimate.num_suggestions,
        "num_examples": estimate.num_examples,
        "slots": estimate.slots,
        "quantities": {name: dataclasses.asdict(span) for name, span in quantities.items()},
        "phases": {name: dataclasses.asdict(span) for name, span in estimate.phases.items()},
        "trial_seconds": dict(estimate.trial_seconds),
        "signals": {"store": estimate.store, "keys": list(estimate.signal_keys)},
        "probes": {label: dataclasses.asdict(probe) for label, probe in estimate.probes.items()},
        "probe_seconds": estimate.probe_seconds,
    }


def study_estimate_document(estimate: StudyEstimate) -> dict[str, Any]:
    """Return an estimate of a pretraining file as JSON: quantity -> low, expected, high, and what they come from."""
    quantities = {
        "wall_seconds": estimate.wall_seconds,
        estimate.unit.replace("-", "_").lower(): estimate.hours,
        "disk_bytes": estimate.disk_bytes,
    }
    return {
        "num_steps": estimate.num_steps,
        "slots": estimate.slots,
        "quantities": {name: dataclasses.asdict(span) for name, span in quantities.items()},
        "phases": {name: dataclasses.asdict(span) for name, span in estimate.phases.items()},
        "model_seconds": {name: dataclasses.asdict(span) for name, span in estimate.model_seconds.items()},
        "probe": dataclasses.asdict(estimate.probe) | {"tokens_per_second": estimate.probe.tokens_per_second},
    }


def write_estimate(folder: SweepFolder, estimate: Estimate, spent_seconds: float) -> None:
    """Write the estimate of a sweep that begins; that of one which goes on stays as it was first.

    Args:
        folder: of the results.
        estimate: of what is left to do.
        spent_seconds: since the command was given.
    """
    path = folder.path / FILE_NAME
    known = _read(path)
    if known is not None and set(estimate.trial_ids) <= set(known["trial_ids"]):
        # Of a process that was killed nobody knows how long it ran.
        write_json(path, known | {"is_running": True, "is_whole": known["is_whole"] and not known["is_running"]})
        return
    begun = {"is_running": True, "is_whole": True, "spent_seconds": 0.0, "began_after_seconds": spent_seconds}
    write_json(path, estimate_document(estimate) | begun)


@contextmanager
def measured(folder: SweepFolder, started: float, waited: Callable[[], float] = lambda: 0.0) -> Iterator[None]:
    """Add to `estimate.json`, if there is one in the end, how long a `with` block took, pauses apart.

    Args:
        folder: of the results.
        started: `time.monotonic()` when the command was given.
        waited: how many seconds of it the sweep was paused.
    """
    try:
        yield
    finally:
        path: Path = folder.path / FILE_NAME
        known = _read(path)
        if known is not None and known["is_running"]:
            spent = known["spent_seconds"] + time.monotonic() - started - waited()
            with contextlib.suppress(OSError):  # a full disk must not end the sweep for this
                write_json(path, known | {"is_running": False, "spent_seconds": spent})


def _read(path: Path) -> dict[str, Any] | None:
    """Return an estimate; None: there is none, or it is damaged."""
    found = read_json(path) or {}
    is_whole = isinstance(found.get("trial_ids"), list) and isinstance(found.get("spent_seconds"), int | float)
    return found if is_whole and {"is_running", "is_whole"} <= found.keys() else None
