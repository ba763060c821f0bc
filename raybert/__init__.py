"""raybert: which training examples are worth training on, and which selection strategy finds them?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from raybert.lazy import names_on_first_use
from raybert.version import __version__

if TYPE_CHECKING:
    from raybert.analysis import Sweep, load_sweep
    from raybert.config import load_config
    from raybert.errors import (
        ConfigError,
        DataError,
        ModelError,
        RaybertError,
        ResourceError,
        SelectionError,
        SweepError,
        TrialError,
    )
    from raybert.models import load_model
    from raybert.selection import PassRequest, Pool, Selection, Strategy, register
    from raybert.selection.select import select

_HOMES = {
    "raybert.analysis": ("Sweep", "load_sweep"),
    "raybert.config": ("load_config",),
    "raybert.errors": (
        "ConfigError",
        "DataError",
        "ModelError",
        "RaybertError",
        "ResourceError",
        "SelectionError",
        "SweepError",
        "TrialError",
    ),
    "raybert.models": ("load_model",),
    "raybert.selection": ("PassRequest", "Pool", "Selection", "Strategy", "register"),
    "raybert.selection.select": ("select",),
}
if not TYPE_CHECKING:
    __getattr__ = names_on_first_use(__name__, _HOMES)

__all__ = [  # noqa: RUF022 - by subject
    "__version__",
    "load_sweep",
    "Sweep",
    "load_config",
    "load_model",
    "select",
    "register",
    "Strategy",
    "Pool",
    "Selection",
    "PassRequest",
    "RaybertError",
    "ConfigError",
    "DataError",
    "ModelError",
    "ResourceError",
    "SelectionError",
    "SweepError",
    "TrialError",
]
