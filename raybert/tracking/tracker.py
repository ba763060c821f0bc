"""What a tracker is to raybert: a few calls, made one after the other from one thread of the driver."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

Scalar = str | int | float | bool
Row = tuple[int, Mapping[str, float]]
"""An evaluation: optimizer steps done, and its numbers by name."""
TRIAL, MODEL = "trial", "pretrain"
"""What a run is: a trial of a sweep, or the pretraining of a model."""


@dataclass(frozen=True)
class TrackedSweep:
    """A sweep, or the models of a pretraining file, as trackers know it.

    Attributes:
        name: from the file.
        group: what its runs have in common: the name, and a word that tells results folders of one name apart.
        folder: of the results.
        parameters: the file by dotted key.
    """

    name: str
    group: str
    folder: Path
    parameters: Mapping[str, Scalar]


@dataclass(frozen=True)
class TrackedTrial:
    """A trial, or a model that is pretrained, as trackers know it.

    Attributes:
        trial_id: of the sweep, or name of the model.
        key: the id, and the word of the results folder: no run of another folder has it.
        name: what a person calls it.
        parameters: all that it was run with, by dotted key.
        kind: `TRIAL` or `MODEL`.
    """

    trial_id: str
    key: str
    name: str
    parameters: Mapping[str, Scalar]
    kind: str = TRIAL


@dataclass(frozen=True)
class Artifacts:
    """What the end of a sweep or of a study leaves.

    Attributes:
        tables: name -> CSV file or text; a name may have a folder (`crosseval/domains.csv`).
        plots: name without its ending -> picture.
        report: the page, if there is one.
        model: folder of the best model; None: there is none, or it was sent before, or is not wanted.
        model_name: of it: what it is the best of.
        summary: numbers of the sweep.
        status: of the sweep: complete, or stopped, if trials are left to do.
    """

    tables: Mapping[str, Path]
    plots: Mapping[str, Path]
    report: Path | None
    model: Path | None
    model_name: str
    summary: Mapping[str, float]
    status: str


class BeginAgain(Exception):
    """A call has failed, and would fail again in the same process whatever becomes of its cause."""


class Tracker(Protocol):
    """Where runs are sent. Every call may raise whatever it likes, and is then made again.

    Attributes:
        is_live: whether several runs may be open; else a run is sent once it has ended, each by a process of its own.
    """

    is_live: bool

    def open_sweep(self, sweep: TrackedSweep, run: str | None) -> str:
        """Begin the run of the sweep itself, or go on with it, and return its id.

        Args:
            sweep: whose.
            run: what was returned before; None: nothing yet.
        """
        ...

    def begin_trial(self, trial: TrackedTrial, run: str | None) -> str:
        """Begin the run of a trial, or go on with it, and return its id.

        Args:
            trial: whose.
            run: what was returned before; None: nothing yet.
        """
        ...

    def log(self, run: str, rows: Sequence[Row]) -> None:
        """Send evaluations of a run that has begun."""
        ...

    def end_trial(self, run: str, status: str, summary: Mapping[str, float]) -> None:
        """Say how a run has ended.

        Args:
            run: id.
            status: complete, failed, pruned or stopped; a stopped run may be gone on with.
            summary: what it measured in the end.
        """
        ...

    def finish(self, artifacts: Artifacts) -> str:
        """Send what the sweep leaves, to its own run, end that, and return its id."""
        ...

    def close(self) -> None:
        """Let go of everything; nothing is called any more."""
        ...
