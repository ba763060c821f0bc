"""Checkpoints: a folder is whole when it holds `COMPLETE`, and nothing else is ever read."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from raybert.durable import atomic_folder, previous_folder, remove_folder
from raybert.errors import TrialError
from raybert.files import read_json, write_json
from raybert.models import quiet_transformers

MARK = "COMPLETE"
"""The file that says that a folder is whole."""
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
    with atomic_folder(folder / "last", mark=MARK) as fresh:
        write_state(fresh, run_key, weights, best, state)


def write_state(fresh: Path, run_key: str, weights: Tensors, best: Tensors | None, state: dict[str, Any]) -> None:
    """Write what `read_state` reads into a folder."""
    save_file(_contiguous(weights), fresh / _WEIGHTS)
    if best is not None:
        save_file(_contiguous(best), fresh / _BEST)
    with (fresh / _STATE).open("wb") as file:  # given the path, torch would not say that the disk is full
        torch.save({"run_key": run_key, **state}, file)


def read_state(folder: Path) -> tuple[Tensors, Tensors | None, dict[str, Any]] | None:
    """Return weights, best weights and state, `run_key` among it; None: they are torn, or not there."""
    try:
        state = torch.load(folder / _STATE, weights_only=True)  # no code of a file runs
        weights = load_file(folder / _WEIGHTS)
        has_best = json.loads(state.get("state", "{}")).get("best", -1) >= 0
        best = load_file(folder / _BEST) if has_best or (folder / _BEST).exists() else None
    except (OSError, RuntimeError, EOFError, ValueError, SafetensorError, UnpicklingError):
        return None
    return weights, best, state


def load_last(folder: Path, run_key: str) -> tuple[Tensors, Tensors | None, dict[str, Any]] | None:
    """Return weights, best weights and state of the newest whole checkpoint, or None.

    A torn one is skipped in favour of the one before it.

    Raises:
        TrialError: the checkpoint belongs to another run.
    """
    for candidate in (folder / "last", previous_folder(folder / "last")):
        found = read_state(candidate) if (candidate / MARK).exists() else None
        if found is None:
            continue
        weights, best, state = found
        if state.pop("run_key") != run_key:
            raise TrialError(f"{candidate}: belongs to a run with other settings; delete it to start anew")
        return weights, best, state
    return None


def write_limit(folder: Path, micro_batch_size: int) -> None:
    """Record for a restart that larger micro-batches do not fit into memory."""
    write_json(folder / _LIMIT, {"micro_batch_size": micro_batch_size})


def read_limit(folder: Path) -> int | None:
    """Return what `write_limit` wrote, or None."""
    found = read_json(folder / _LIMIT)
    return None if found is None else int(found["micro_batch_size"])


def save_best(folder: Path, model: Any, complete: Callable[[Path], None] | None = None) -> None:
    """Write `best`: a plain transformers folder with the model's weights and configuration.

    Args:
        folder: `checkpoint/` of a trial.
        model: with its best weights.
        complete: adds what belongs beside them, before the folder counts as whole; default: nothing.
    """
    with atomic_folder(folder / "best", mark=MARK) as fresh, quiet_transformers():
        model.save_pretrained(fresh)
        if complete is not None:
            complete(fresh)


def remove_last(folder: Path) -> None:
    """Delete `last`: the run is over, and its result is kept."""
    for stale in (folder / "last", previous_folder(folder / "last")):
        remove_folder(stale)


def _contiguous(tensors: Tensors) -> Tensors:
    """Return tensors of their own memory: safetensors refuses shared (tied) ones."""
    return {name: tensor.detach().cpu().clone().contiguous() for name, tensor in tensors.items()}
