"""What a script gives as objects, as text: a checkpoint belongs to these, and is refused for others.

Objects are compared by their class, its code, and all that they hold, as `datasets` fingerprints functions: what a
closure or `functools.partial` has taken in, the numbers of a loss module, the arrays of a planner.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.optim.lr_scheduler import LRScheduler

from raybert.config import TrainConfig, import_attribute
from raybert.config.code_digest import code_digest
from raybert.errors import ConfigError
from raybert.fitting.tables import FitData, ItemTable, Table, TextTable


def identity_of(thing: Any, name: str) -> list[Any]:
    """Return what a loss, a planner or a strategy is, as JSON.

    Args:
        thing: the object.
        name: of the option that gave it.

    Raises:
        ConfigError: it cannot be compared with that of another call.
    """
    kind = thing if hasattr(thing, "__qualname__") else type(thing)
    return [kind.__module__, kind.__qualname__, _code(kind), _content(thing, name)]


def named_identity(config: TrainConfig) -> dict[str, list[Any]]:
    """Return what a train section names of the user's own (`module:callable`), each by its code."""
    named = {section: getattr(config, section).name for section in ("loss", "optimizer", "schedule")}
    named |= {f"metrics.{metric.name}": metric.function for metric in config.metrics}
    own = {key: name for key, name in named.items() if ":" in name}
    return {key: identity_of(import_attribute(name, f"train.{key}"), key) for key, name in own.items()}


def model_identity(model: nn.Module) -> list[Any]:
    """Return what a module is apart from its weights, which are whatever it begins with."""
    shapes = [[name, list(parameter.shape), parameter.requires_grad] for name, parameter in model.named_parameters()]
    held = {name: _plain(part) for name, part in model.named_modules()}
    of = str(getattr(model, "name_or_path", ""))
    of = Path(of).name if Path(of).is_dir() else of  # the folder may lie elsewhere tomorrow
    parts = sorted({type(part) for part in model.modules()}, key=lambda kind: (kind.__module__, kind.__qualname__))
    code = [[kind.__module__, kind.__qualname__, _code(kind)] for kind in parts]
    settings: dict[str, Any] = getattr(getattr(model, "config", None), "to_dict", dict)()
    settings.pop("_name_or_path", None)
    return [of, code, _content([repr(model), shapes, held, settings], "model")]


def optimizer_identity(optimizer: torch.optim.Optimizer | None) -> list[Any] | None:
    """Return what an optimizer is apart from the parameters, and what it has seen of them; None: none is given."""
    if optimizer is None:
        return None
    groups = [{key: value for key, value in group.items() if key != "params"} for group in optimizer.param_groups]
    sizes = [len(group["params"]) for group in optimizer.param_groups]
    kind = type(optimizer)
    return [kind.__module__, kind.__qualname__, _code(kind), sizes, _content(groups, "optimizer")]


def schedule_identity(schedule: Any) -> list[Any] | None:
    """Return what a torch scheduler, or one of several in turn, is apart from its optimizer; None: none is given."""
    if schedule is None:
        return None
    held: dict[str, Any] = {}
    for name, value in vars(schedule).items():
        if isinstance(value, list | tuple) and any(isinstance(part, LRScheduler) for part in value):
            held[name] = [schedule_identity(part) for part in value]
        elif not isinstance(value, torch.optim.Optimizer):
            held[name] = value
    kind = type(schedule)
    return [kind.__module__, kind.__qualname__, _code(kind), _content(held, "schedule")]


def data_identity(table: Table | None) -> str | None:
    """Return a digest of everything in examples; None: there are none.

    Every item of a dataset is read for it. Of one that gives another item each time (random crops) it covers the labels
    alone.
    """
    if table is None:
        return None
    digest = hashlib.sha256()
    for array in (table.labels, table.lengths):
        _add(digest, array)
    if isinstance(table, TextTable):
        _add(digest, table.tokens.ids)
        _add(digest, list(table.texts))
    elif isinstance(table, ItemTable) and len(table) and _is_steady(table):
        for row in table.rows:
            _add(digest, table.items[int(row)])
    return digest.hexdigest()


def fit_data_identity(data: FitData) -> list[Any]:
    """Return what a run is trained and validated on, as JSON."""
    collate = getattr(data.train, "collate", None)
    made = None if collate is None else identity_of(collate, "collate_fn")
    return [data_identity(data.train), data_identity(data.validation), made]


def _code(kind: Any) -> str | None:
    """Return what the code of a class or function is: of a library its version."""
    library = kind.__module__.partition(".")[0]
    if library in ("torch", "transformers"):
        return str(__import__(library).__version__)
    return code_digest(kind)


def _content(thing: Any, name: str) -> str:
    from datasets.fingerprint import Hasher  # a second to import

    try:
        return str(Hasher.hash(thing))
    except Exception as error:
        raise ConfigError(
            f"{name}: must be made of what can be pickled where `checkpoint` is given, which is compared by it, got "
            f"{type(thing).__name__}: {error}"
        ) from error


def _plain(module: nn.Module) -> dict[str, Any]:
    """Return the numbers and words that a module holds itself."""
    values = {name: value for name, value in vars(module).items() if not name.startswith("_") and name != "training"}
    plain = (int, float, str, bool, tuple, list, dict, np.ndarray, torch.Tensor, type(None))
    return {name: value for name, value in values.items() if isinstance(value, plain)}


def _is_steady(table: ItemTable) -> bool:
    """Tell whether a dataset gives the same item twice."""
    first, second = hashlib.sha256(), hashlib.sha256()
    row = int(table.rows[0])
    _add(first, table.items[row])
    _add(second, table.items[row])
    return first.digest() == second.digest()


def _add(digest: Any, value: Any) -> None:
    if isinstance(value, torch.Tensor):
        value = value.detach().cpu().numpy() if value.dtype != torch.bfloat16 else value.detach().float().cpu().numpy()
    if isinstance(value, np.ndarray) and value.dtype != object:
        digest.update(f"{value.dtype}{value.shape}".encode() + np.ascontiguousarray(value).tobytes())
    elif isinstance(value, Mapping):
        for key in value:
            digest.update(f"{key!r}:".encode())
            _add(digest, value[key])
    elif isinstance(value, Sequence) and not isinstance(value, str | bytes):
        digest.update(f"{len(value)}[".encode())
        for part in value:
            _add(digest, part)
    elif isinstance(value, str | bytes | int | float | np.generic | None):
        digest.update(repr(value).encode("utf-8", "surrogatepass"))
    else:  # an image of Pillow, say
        digest.update(_content(value, "train").encode())
