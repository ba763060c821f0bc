"""Small sweeps in this process or in one of their own, what disturbs them, and whether they came to the same end."""

from __future__ import annotations

import contextlib
import hashlib
import io
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml
from rich.console import Console

import raybert
from raybert.config import load_config
from raybert.models import Encoder
from raybert.sweeping.folder.outcome import Outcome
from raybert.sweeping.plan.design import read_design
from raybert.sweeping.runner import run_sweep
from raybert.sweeping.trial.surroundings import SECONDS_BETWEEN_LOOKS
from raybert.terminal.sweep_progress import PlainProgress
from tests.e2e.commands import forked_command
from tests.processes import Forked, wait_until

_WORDS = ("red", "green", "blue", "one", "two", "three", "north", "south")


@dataclass(frozen=True)
class Traps:
    """The traps that trials of `trapped` walk into (see `traps.py`)."""

    folder: Path

    def lay(self, kind: str, times: int = 1) -> None:
        self.clear()
        for number in range(times):
            (self.folder / f"{kind}-{number}.trap").touch()

    def clear(self) -> None:
        for path in self.folder.iterdir():
            path.unlink()

    def wait_for_trial(self) -> int:
        """Return the process of a trial that waits at the gate."""
        found = wait_until(lambda: list(self.folder.glob("*.waiting")), "a trial at the gate")
        return int(found[0].stem)

    def open(self) -> None:
        """Open the gate, once a trial that waits there has to look at requests again: what is left of it is short."""
        wait_until(self._must_look_again, "the time between two looks")
        (self.folder / "open").touch()

    def _must_look_again(self) -> bool:
        arrived = max((path.stat().st_mtime for path in self.folder.glob("*.waiting")), default=0.0)
        return time.time() - arrived > SECONDS_BETWEEN_LOOKS


@dataclass(frozen=True)
class Ground:
    """Data, encoder and traps of the sweeps of a test file."""

    data: Path
    encoder: Path
    traps: Traps

    @classmethod
    def make(cls, folder: Path, encoder: Encoder) -> Ground:
        """Write splits of a task of three words, and make the folder of traps."""
        generator = np.random.default_rng(0)
        for split, size in (("train", 64), ("validation", 24), ("test", 24)):
            labels = generator.integers(0, 3, size)
            words = generator.choice(_WORDS, (size, 6))
            words[:, 0] = np.array(_WORDS)[labels]
            frame = pd.DataFrame({"text": [" ".join(row) for row in words], "label": labels})
            (folder / "data").mkdir(exist_ok=True)
            frame.to_csv(folder / "data" / f"{split}.csv", index=False)
        (folder / "traps").mkdir()
        return cls(folder / "data", encoder.path, Traps(folder / "traps"))

    def document(self, **changes: Any) -> dict[str, Any]:
        """Return a sweep file of two strategies and two seeds, four passes of four steps each, with changes.

        One trial at a time, because the start of a process takes far longer than a trial.
        """
        trapped = {"name": "tests.faults.traps:Trapped", "label": "trapped", "folder": str(self.traps.folder)}
        document: dict[str, Any] = {
            "name": "faults",
            "data.source": str(self.data),
            "data.max_length": 16,
            "model.encoder": str(self.encoder),
            "train.length.steps": 16,
            "train.batch_size": 8,
            "train.learning_rate": 1e-3,
            "train.checkpoint_seconds": 0,
            "train.precision": "fp32",
            "selection.budget": 32,
            "sweep.strategies": [trapped, "random"],
            "sweep.seeds": 2,
            "resources.concurrent_trials": 1,
            **{key.replace("__", "."): value for key, value in changes.items()},
        }
        return _nested(document)

    def write(self, path: Path, **changes: Any) -> Path:
        """Write a sweep file."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(yaml.safe_dump(self.document(**changes)), encoding="utf-8")
        return path


def _nested(flat: dict[str, Any]) -> dict[str, Any]:
    document: dict[str, Any] = {}
    for key, value in flat.items():
        *parents, last = key.split(".")
        section = document
        for parent in parents:
            section = section.setdefault(parent, {})
        section[last] = value
    return document


@dataclass(frozen=True)
class Ended:
    """How a sweep in this process ended, and what it said."""

    outcome: Outcome
    said: str


def run(
    file: Path,
    output: Path,
    *,
    meanwhile: Callable[[], None] = lambda: None,
    address: str | None = None,
    retry: str | None = None,
) -> Ended:
    """Run a sweep in this process; `meanwhile`, in a thread of its own, does to it what the test is about."""
    said, errors = io.StringIO(), []

    def disturb() -> None:
        try:
            meanwhile()
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=disturb)
    thread.start()
    progress = PlainProgress(Console(file=said, width=200))
    outcome = run_sweep(read_design(load_config(file)), output, progress, address=address, retry=retry)
    thread.join()
    if errors:
        raise errors[0]
    return Ended(outcome, said.getvalue())


@contextlib.contextmanager
def started(file: Path, output: Path, *options: object, environment: dict[str, str] | None = None) -> Iterator[Forked]:
    """Run `raybert sweep` in a process of its own, which does not outlive the block."""
    variables = {"COLUMNS": "200", **(environment or {})}
    with forked_command("sweep", file, "--output", output, *options, environment=variables) as driver:
        yield driver


def finish(file: Path, output: Path, *options: object, environment: dict[str, str] | None = None) -> tuple[int, str]:
    """Run `raybert sweep` to its end; return its exit code and what it said."""
    with started(file, output, *options, environment=environment) as driver:
        return driver.end()


@dataclass(frozen=True)
class Finished:
    """The finished trials of a folder at some moment, as they were."""

    folder: Path
    results: dict[Path, tuple[int, bytes]]

    @classmethod
    def of(cls, folder: Path) -> Finished:
        return cls(folder, {path: _stamp(path) for path in folder.glob("trials/*/result.json")})

    def without(self, trials: Iterable[Path]) -> Finished:
        """Return all of them but some, given by their folders."""
        left_out = set(trials)
        return Finished(self.folder, {path: own for path, own in self.results.items() if path.parent not in left_out})

    def num_lost(self) -> int:
        """Return how many of them are gone, or were run again."""
        return sum(not path.exists() or _stamp(path) != stamp for path, stamp in self.results.items())


def _stamp(path: Path) -> tuple[int, bytes]:
    return path.stat().st_mtime_ns, path.read_bytes()


def assert_same_end(one: Path, other: Path) -> None:
    """Two folders hold the same trials, bit for bit: evaluations, predictions, selections and weights."""
    assert_same_tables(one, other)
    assert kept_files(one) == kept_files(other)


def assert_same_tables(one: Path, other: Path) -> None:
    """Two folders give the same tables, in all of which trials are complete."""
    results, expected = raybert.load_sweep(one), raybert.load_sweep(other)
    tables = [(each.trials, each.evaluations, each.summary()) for each in (results, expected)]
    for ours, theirs in zip(*tables, strict=True):
        pd.testing.assert_frame_equal(timeless(ours), timeless(theirs))
    assert (results.trials["status"] == "complete").all()


def timeless(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a table without what a clock measured."""
    return frame.drop(columns=[name for name in frame if "seconds" in str(name)])


def kept_files(folder: Path) -> dict[str, str]:
    """Return the hash of weights, predictions, selection and losses of every trial."""
    kinds = ("checkpoint/best/model.safetensors", "predictions.parquet", "selection.parquet", "losses.npz")
    paths = [path for kind in kinds for path in folder.glob(f"trials/*/{kind}")]
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}
