"""A results folder as it changes while a sweep runs, without running one."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from raybert.durable import atomic_folder
from raybert.files import append_json_line, write_json, write_text
from raybert.sweeping.folder.trial_folder import TrialFolder

A, B = "a" * 12, "b" * 12
NUM_MOMENTS = 8


def checkpoint(folder: Path, trial: str, step: int) -> None:
    """Write a checkpoint, then an evaluation that belongs to it."""
    path = folder / "trials" / trial
    path.mkdir(parents=True, exist_ok=True)
    write_text(path / "config.yaml", "a: 1\n")
    with atomic_folder(path / "checkpoint" / "last", mark="COMPLETE") as fresh:
        (fresh / "weights.safetensors").write_text(f"weights {step}")
        (fresh / "state.pt").write_text(f"state {step}")
    append_json_line(path / "evaluations.jsonl", {"evaluation": step, "step": step})


def end(folder: Path, trial: str) -> None:
    """Let a trial end well: its best model stays, its last checkpoint goes, the result is last."""
    path = folder / "trials" / trial
    path.mkdir(parents=True, exist_ok=True)
    with atomic_folder(path / "checkpoint" / "best", mark="COMPLETE") as fresh:
        (fresh / "model.safetensors").write_text(f"best of {trial}")
    shutil.rmtree(path / "checkpoint" / "last", ignore_errors=True)
    write_text(path / "selection.parquet", f"chosen of {trial}")
    TrialFolder(path).finish({"test_accuracy": 0.5})


def go_to(folder: Path, moment: int) -> None:
    """Change a results folder from one moment to the next."""
    if moment == 0:
        write_json(folder / "plan.json", {"trials": []})
        write_text(folder / "sweep.yaml", "name: x\n")
        append_json_line(folder / "decisions.jsonl", {"number": 0})
    elif moment == 1:
        checkpoint(folder, A, 1)
    elif moment == 2:
        append_json_line(folder / "decisions.jsonl", {"number": 1})
        checkpoint(folder, A, 2)
        checkpoint(folder, B, 1)
    elif moment == 3:
        end(folder, A)
    elif moment == 4:
        TrialFolder(folder / "trials" / B).fail("OSError: away\n\nTraceback")
    elif moment == 5:  # --retry
        TrialFolder(folder / "trials" / B).forget_failure()
        checkpoint(folder, B, 3)
    elif moment == 6:
        end(folder, B)
        (folder / "signals" / "k").mkdir(parents=True)
        (folder / "signals" / "k" / "block-00000.parquet").write_text("block")
        write_json(folder / "signals" / "k" / "complete.json", {"num_blocks": 1})
    else:
        shutil.rmtree(folder / "trials" / A / "checkpoint")  # the keeper of models
        with atomic_folder(folder / "best") as fresh:
            (fresh / "config.json").write_text("{}")
            (fresh / "model.safetensors").write_text("best")
        write_text(folder / "results" / "trials.csv", "a\n")


def contents(folder: Path) -> dict[str, str]:
    """What is in a folder that whoever goes on reads: locks, and what only tells of attempts, apart."""
    left_out = ("attempts.jsonl", "heartbeat.json", ".lock")
    return {
        str(path.relative_to(folder)): path.read_text()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in left_out
    }


def steps(folder: Path, trial: str) -> tuple[str, int]:
    """How a trial stands, and at which step its checkpoint is (0: none); a torn one fails."""
    run = TrialFolder(folder / "trials" / trial)
    last = run.path / "checkpoint" / "last"
    if not (last / "COMPLETE").exists():
        return run.status(), 0
    weights, state = ((last / name).read_text().split()[1] for name in ("weights.safetensors", "state.pt"))
    assert weights == state, "the checkpoint is torn"
    rows = [json.loads(line)["step"] for line in (run.path / "evaluations.jsonl").read_text().splitlines()]
    assert rows, "evaluations before the checkpoint are gone"
    return run.status(), int(state)
