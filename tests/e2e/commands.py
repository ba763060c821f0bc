"""Command lines as a user types them, in this process or in one of its own; the embedded default shrunk."""

from __future__ import annotations

import contextlib
import io
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest

from raybert import cli

ROOT = Path(__file__).resolve().parents[2]
FILE = ROOT / "sweeps" / "strategies.yaml"
_SHRUNK = (
    "data.train_examples=240",
    "data.validation_examples=60",
    "data.test_examples=80",
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


def command(*arguments: object) -> list[str]:
    """Return a command line for a process of its own."""
    return [sys.executable, "-m", "raybert", *map(str, arguments)]


def run_apart(*arguments: object, cwd: Path | None = None) -> Done:
    """Run a command line in a process of its own; sweeps start a Ray of their own."""
    done = subprocess.run(
        command(*arguments),
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
