"""Checkpoints that stay: each a model's folder that commands read, with all that training goes on from beside it."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from raybert.config import CheckpointsConfig
from raybert.durable import atomic_folder, hold, remove_unless_held
from raybert.errors import SweepError
from raybert.files import file_digest, json_digest, read_json, write_json
from raybert.models import quiet_transformers
from raybert.training.checkpoint import MARK, Tensors, read_state, write_state
from raybert.training.state import RunState

_NAME = re.compile(r"step-(\d+)")
_FACTS, _STATE = "checkpoint.json", "training"
_OF_THE_RUN = ("spec.json",)
"""What of the folder that a run writes into says what it is."""


@dataclass(frozen=True)
class KeptCheckpoint:
    """A checkpoint that stays.

    Attributes:
        folder: a transformers folder, with the state of training in it.
        step: optimizer steps done.
        passes: done, with the share of the current one.
        digest: of its content; a run that begins from it is known by that.
        settings: of its run, all that its weights depend on but for the model.
    """

    folder: Path
    step: int
    passes: float
    digest: str
    settings: Mapping[str, Any]

    @classmethod
    def read(cls, folder: Path) -> KeptCheckpoint | None:
        """Return the checkpoint in a folder; None: there is no whole one."""
        facts = read_json(folder / _FACTS) if (folder / MARK).exists() else None
        if facts is None:
            return None
        return cls(folder, int(facts["step"]), float(facts["pass"]), str(facts["digest"]), facts["settings"])

    def state(self) -> tuple[Tensors, Tensors | None, dict[str, Any]]:
        """Return weights, best weights and everything else that training goes on from.

        Raises:
            SweepError: it is damaged.
        """
        found = read_state(self.folder / _STATE)
        if found is None:
            raise SweepError(f"{self.folder / _STATE}: must be as raybert wrote it, but is damaged or gone")
        return found


def is_due(config: CheckpointsConfig, state: RunState, *, pass_ends: bool, is_end: bool) -> bool:
    """Tell whether a checkpoint that stays is to be written after a step: every so often, and at the end."""
    if not config.is_active or is_end:
        return config.is_active
    return pass_ends if config.every == "epoch" else state.step % int(config.every or 1) == 0


def folder_of_step(checkpoints: Path, step: int) -> Path:
    """Return the folder of the checkpoint after a step, below `checkpoint/` of a trial."""
    return checkpoints / f"step-{step:06d}"


def kept_checkpoints(checkpoints: Path) -> list[KeptCheckpoint]:
    """Return the whole checkpoints of a trial, by step.

    Args:
        checkpoints: `checkpoint/` of the trial.
    """
    found = [KeptCheckpoint.read(path) for path in checkpoints.glob("step-*") if _NAME.fullmatch(path.name)]
    return sorted((one for one in found if one is not None), key=lambda one: one.step)


def write_kept(
    folder: Path,
    facts: Mapping[str, Any],
    run_key: str,
    saved: tuple[Tensors, Tensors | None, dict[str, Any]],
    write_model: Callable[[Path], None],
) -> None:
    """Write a checkpoint, whole or not at all; one of the same step, of a run that was interrupted since, is replaced.

    Args:
        folder: of the checkpoint.
        facts: step, pass, settings.
        run_key: of the run.
        saved: weights, best weights and state.
        write_model: writes the model, and what belongs beside it.
    """
    with atomic_folder(folder, mark=MARK) as fresh:
        (fresh / _STATE).mkdir()
        write_state(fresh / _STATE, run_key, *saved)
        with quiet_transformers():
            write_model(fresh)
        for name in _OF_THE_RUN:
            path = folder.parent.parent / name
            if path.is_file():
                shutil.copyfile(path, fresh / name)
        write_json(fresh / _FACTS, {**facts, "digest": _digest_of(fresh / _STATE, facts)})


def drop_older(checkpoints: Path, keep_last: int | None, state: RunState, *, is_end: bool) -> None:
    """Remove checkpoints, but not the last ones, the one of the best evaluation, and those that somebody reads.

    What lies ahead of the run is from before it was interrupted: it is written anew when the run comes there, and does
    not count till then.

    Args:
        checkpoints: `checkpoint/` of a trial.
        keep_last: how many stay; None: all.
        state: of the run.
        is_end: whether the run has ended, and will come nowhere.
    """
    steps = {path: int(_NAME.fullmatch(path.name)[1]) for path in _folders(checkpoints)}  # type: ignore[index]
    done = sorted((step, path) for path, step in steps.items() if step <= state.step)
    best = state.best_row["step"] if state.best_row is not None else None
    stale = [path for step, path in (done[:-keep_last] if keep_last is not None else []) if step != best]
    ahead = [path for path, step in steps.items() if step > state.step] if is_end else []
    for path in (*stale, *ahead):
        remove_unless_held(path, mark=MARK)


@contextmanager
def reading(folder: Path, *, is_any_model: bool = False) -> Iterator[None]:
    """Keep a checkpoint from being removed by the run that it is from, while a `with` block reads it.

    Args:
        folder: of the checkpoint.
        is_any_model: it may be somebody's model that nobody removes, without a word that it is whole.

    Raises:
        SweepError: it is no whole checkpoint, or has just been removed.
    """
    try:
        descriptor = hold(folder)
    except OSError as error:
        raise SweepError(f"{folder}: cannot be read: {error.strerror}") from None
    try:
        if not is_any_model and not (folder / MARK).exists():
            raise SweepError(f"{folder}: must be a whole checkpoint (has no {MARK})")
        yield
    finally:
        os.close(descriptor)


def _folders(checkpoints: Path) -> list[Path]:
    return [path for path in checkpoints.glob("step-*") if _NAME.fullmatch(path.name)]


def _digest_of(folder: Path, facts: Mapping[str, Any]) -> str:
    """Return 16 hex digits of the weights, and of the run that has come so far: the same each time that it does."""
    return json_digest([{path.name: file_digest(path) for path in folder.glob("*.safetensors")}, facts])[:16]
