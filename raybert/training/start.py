"""The beginning of a run from a checkpoint of another one: all of its state, or its weights alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from raybert.config import StartConfig
from raybert.errors import TrialError
from raybert.files import read_json
from raybert.models import load_model
from raybert.models.own import OwnClassifier
from raybert.models.own_kind import is_own_model
from raybert.models.tasks import unfold_scale
from raybert.training.checkpoint import Tensors
from raybert.training.kept import KeptCheckpoint, reading

_LENGTH = ("total_steps", "passes", "examples", "train.length.")
"""What may differ: the run goes on, on the schedule of another length."""
_ABSENT = "not there"


@dataclass(frozen=True)
class Beginning:
    """What a run goes on from.

    Attributes:
        loaded: weights, best weights and state; None: only the weights, which the model has.
        note: what a user should know; empty: it is the same run.
    """

    loaded: tuple[Tensors, Tensors | None, dict[str, Any]] | None
    note: str


def begin_from(start: StartConfig, settings: Mapping[str, Any], model: nn.Module) -> Beginning:
    """Return what a run begins with; of a beginning with weights alone the model has them afterwards.

    Args:
        start: the section `train.start`, with a checkpoint.
        settings: of the run, as `FitRequest.settings` gives them.
        model: of the run.

    Raises:
        TrialError: the checkpoint is of a run with other settings, or of another model.
        SweepError: it is damaged or gone.
    """
    folder = Path(start.checkpoint or "")
    with reading(folder, is_any_model=start.weights_only):
        if start.weights_only:
            _take_weights(folder, model)
            return Beginning(None, "")
        found = KeptCheckpoint.read(folder)
        if found is None:
            raise TrialError(f"{folder}: must be a checkpoint that training goes on from; take its weights alone")
        others = [*differences(found.settings, settings)]
        if others:
            raise TrialError(f"{folder}: is of a run with other settings: {'; '.join(others)}; {OTHER_WAY}")
        weights, best, state = found.state()
    state.pop("run_key")
    state.pop("monitor", None)  # what it measured lies in the other run's folder
    then, now = (each["total_steps"] for each in (found.settings, settings))
    note = (
        f"goes on from step {found.step:,} of a run of T = {then:,} steps, with T = {now:,}: the learning rate and all "
        "else that follows the share of T go on at another place of their schedule than they were at"
    )
    return Beginning((weights, best, state), "" if _length(found.settings) == _length(settings) else note)


OTHER_WAY = "undo the change, or begin with its weights alone (--weights-only; Python: `weights_only=True`)"


def differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[str]:
    """Yield what differs between the settings of two runs, but for their length and what they began from."""
    old, new = _flat(before), _flat(after)
    for key in {**old, **new}:
        was, now = old.get(key, _ABSENT), new.get(key, _ABSENT)
        if was != now and not key.startswith((*_LENGTH, "train.start.")):
            yield f"{key} was {was}, is {now}"


def differing_keys(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """Return the dotted keys of all that differs between the settings of two runs."""
    old, new = _flat(before), _flat(after)
    return [key for key in {**old, **new} if old.get(key, _ABSENT) != new.get(key, _ABSENT)]


def _length(settings: Mapping[str, Any]) -> list[Any]:
    return [settings.get(key) for key in _LENGTH[:3]]


def _flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in settings.items():
        path = f"{prefix}{key}"
        flat |= _flat(value, f"{path}.") if isinstance(value, Mapping) else {path: value}
    return flat


def _take_weights(folder: Path, model: nn.Module) -> None:
    """Give a model the weights of a model's folder.

    Raises:
        TrialError: it is of another model, or of other classes.
    """
    with torch.random.fork_rng(devices=[]):
        # Code that this run's own file names has been imported; no other is.
        other = load_model(folder, trust_remote_code=_is_same_kind(folder, model))
    names, wanted = (getattr(getattr(each, "config", None), "id2label", None) for each in (other, model))
    if names != wanted:
        raise TrialError(f"{folder}: must be a model of the classes {list((wanted or {}).values())}, has {names}")
    try:
        model.load_state_dict(other.state_dict())
        unfold_scale(model)
    except RuntimeError as error:
        line = " ".join(str(error).split())[:200]
        raise TrialError(f"{folder}: must be a model of the same encoder and head: {line}") from None


def _is_same_kind(folder: Path, model: nn.Module) -> bool:
    """Tell whether a folder holds a model of the user's own that is made as this one is."""
    if not (isinstance(model, OwnClassifier) and model.origin is not None and is_own_model(folder)):
        return False
    return bool((read_json(folder / "config.json") or {}).get("kind") == model.origin["kind"])
