"""Checkpoints: a folder is whole when it holds `COMPLETE`, and nothing else is ever read."""

from __future__ import annotations

import json
import os
import shutil
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from raybert.errors import TrialError
from raybert.files import write_json
from raybert.models import quiet_transformers

_MARK = "COMPLETE"
_LIMIT = "micro_batch_limit.json"
_WEIGHTS, _BEST, _STATE = "weights.safetensors", "best.safetensors", "state.pt"

Tensors = dict[str, torch.Tensor]


def save_last(folder: Path, run_key: str, weights: Tensors, best: Tensors | None, state: dict[str, Any]) -> None:
    """Write `last` so that training can go on from exactly here; the one before it stays until this is whole.

    Args:
        folder: `checkpoint/` of a trial.
        run_key: what this run is; a checkpoint of another run is refused on reading.
        weights: of the model now.
        best: of its best evaluation so far.
        state: everything else; only tensors, numbers, strings, lists and dictionaries.
    """

    def write(target: Path) -> None:
        save_file(_contiguous(weights), target / _WEIGHTS)
        if best is not None:
            save_file(_contiguous(best), target / _BEST)
        with (target / _STATE).open("wb") as file:  # given the path, torch would not say that the disk is full
            torch.save({"run_key": run_key, **state}, file)

    _publish(folder / "last", write)


def load_last(folder: Path, run_key: str) -> tuple[Tensors, Tensors | None, dict[str, Any]] | None:
    """Return weights, best weights and state of the newest whole checkpoint, or None.

    A torn one is skipped in favour of the one before it.

    Raises:
        TrialError: the checkpoint belongs to another run.
    """
    for candidate in (folder / "last", _previous(folder / "last")):
        if not (candidate / _MARK).exists():
            continue
        try:
            state = torch.load(candidate / _STATE, weights_only=True)
            weights = load_file(candidate / _WEIGHTS)
            best = load_file(candidate / _BEST) if (candidate / _BEST).exists() else None
        except (OSError, RuntimeError, EOFError, ValueError, SafetensorError):
            continue
        if state.pop("run_key") != run_key:
            raise TrialError(f"{candidate}: belongs to a run with other settings; delete it to start anew")
        return weights, best, state
    return None


def write_limit(folder: Path, micro_batch_size: int) -> None:
    """Leave word for a restart that larger micro-batches do not fit into memory."""
    write_json(folder / _LIMIT, {"micro_batch_size": micro_batch_size})


def read_limit(folder: Path) -> int | None:
    """Return what `write_limit` wrote, or None."""
    try:
        return int(json.loads((folder / _LIMIT).read_text(encoding="utf-8"))["micro_batch_size"])
    except FileNotFoundError:
        return None


def save_best(folder: Path, model: Any) -> None:
    """Write `best`: a plain transformers folder with the model's weights and configuration."""

    def write(target: Path) -> None:
        with quiet_transformers():
            model.save_pretrained(target)

    _publish(folder / "best", write)


def remove_last(folder: Path) -> None:
    """Delete `last`: the run is over."""
    for stale in (folder / "last", _previous(folder / "last")):
        shutil.rmtree(stale, ignore_errors=True)


def _publish(target: Path, write: Callable[[Path], None]) -> None:
    """Write a folder beside its place, sync, mark it, and swap it in."""
    temporary = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}.tmp")
    temporary.mkdir(parents=True)
    try:
        write(temporary)
        for file in temporary.iterdir():
            _sync(file)
        (temporary / _MARK).touch()
        previous = _previous(target)
        shutil.rmtree(previous, ignore_errors=True)
        if target.exists():
            target.rename(previous)
        temporary.rename(target)
        _sync(target.parent)
        shutil.rmtree(previous, ignore_errors=True)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _previous(target: Path) -> Path:
    return target.with_name(f".{target.name}.previous")


def _contiguous(tensors: Tensors) -> Tensors:
    """Return tensors of their own memory: safetensors refuses shared (tied) ones."""
    return {name: tensor.detach().cpu().clone().contiguous() for name, tensor in tensors.items()}


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
