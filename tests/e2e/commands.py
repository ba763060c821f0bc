"""Command lines as a user types them, in this process or in one of its own; the embedded default shrunk.

The main job of `.ci/run` has its own encoder and lengths.
"""

from __future__ import annotations

import contextlib
import io
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest

from raybert import cli
from tests.processes import Forked, forked
from tests.ray_workers import warm_python

ROOT = Path(__file__).resolve().parents[2]
FILE = ROOT / "sweeps" / "strategies.yaml"
_SHRUNK = (
    "data.train_examples=240",
    "data.validation_examples=60",
    "data.test_examples=80",
    "data.max_length=32",
    "model.encoder=raybert-tiny",
    "train.length={steps: 12}",
    "sweep.seeds=2",
    "sweep.strategies=[all, random, random_stratified, random_epoch, loss_threshold, confidence, el2n, k_center]",
)
SHRUNK_OPTIONS = tuple(part for item in _SHRUNK for part in ("--set", item))
_ONE_AT_A_TIME = ("--set", "resources.concurrent_trials=1")
_COLUMNS = "100"
_TIMES = (
    "seconds",
    "train_seconds",
    "evaluation_seconds",
    "selection_seconds",
    "wall_seconds",
    "signal_seconds",
    "signal_seconds_shared",
    "total_seconds",
)


@dataclass(frozen=True)
class Done:
    """How a command ended, and what it printed."""

    code: int
    out: str
    err: str

    @property
    def said(self) -> str:
        return self.out + self.err


def run(*arguments: object) -> Done:
    """Run a command line in this process; sweeps join the Ray that it is connected to, if any."""
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["raybert", *map(str, arguments)])
        patch.setenv("COLUMNS", _COLUMNS)
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), pytest.raises(SystemExit) as ended:
            cli.main()
    return Done(int(ended.value.code or 0), out.getvalue(), err.getvalue())


def sweep(output: Path, *arguments: object, file: Path = FILE) -> Done:
    """Run a shrunk sweep in this process, one trial at a time: to begin another process would take longer."""
    return run("sweep", file, "--output", output, *SHRUNK_OPTIONS, *_ONE_AT_A_TIME, *arguments)


@contextlib.contextmanager
def forked_command(
    *arguments: object,
    cwd: Path | None = None,
    environment: dict[str, str] | None = None,
    draws: bool = True,
) -> Iterator[Forked]:
    """Run a command line in a process forked from a warm one, which does not outlive the block.

    With `--address` of the Ray of the test session it takes a tenth of the time of `run_apart`; without `draws` its
    pictures are a dot.
    """
    work = (warm_python(), cwd or Path.cwd(), [str(argument) for argument in arguments], draws)
    with forked(_command_line, *work, environment={"COLUMNS": _COLUMNS, **(environment or {})}) as process:
        yield process


def run_forked(*arguments: object, cwd: Path | None = None) -> Done:
    """Run a command line in a forked process to its end; what it says is all in `out`."""
    with forked_command(*arguments, cwd=cwd) as process:
        code, said = process.end()
    return Done(code, said, "")


def _command_line(python: str, cwd: Path, arguments: list[str], draws: bool) -> None:
    """Run a command line in a forked process, as if it had been typed in a folder; a Ray that it starts forks workers."""
    sys.executable = python
    os.chdir(cwd)
    sys.argv = ["raybert", *arguments]
    with contextlib.ExitStack() as stack:
        if not draws:
            from tests.conftest import without_pixels

            stack.enter_context(without_pixels())
        cli.main()


def run_apart(*arguments: object, cwd: Path | None = None) -> Done:
    """Run a command line in a process of its own; sweeps start a Ray of their own."""
    done = subprocess.run(
        [sys.executable, "-m", "raybert", *map(str, arguments)],
        capture_output=True,
        text=True,
        env={**os.environ, "COLUMNS": _COLUMNS},
        cwd=cwd,
        timeout=400,
        check=False,
    )
    return Done(done.returncode, done.stdout, done.stderr)


def timeless(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a table without what a clock measured."""
    return frame.drop(columns=[column for column in _TIMES if column in frame])
