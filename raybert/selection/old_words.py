"""Words of raybert 0.1 in strategies of a user's own, accepted until the next release with a warning."""

from __future__ import annotations

import warnings
from typing import Any

from raybert.errors import RenamedWarning

_FACTS = {"source": "citation"}
_METHODS = {"plan_epoch": "plan_pass"}


def accept_old_words(kind: Any) -> None:
    """Give a new subclass of `Strategy` today's names for what it declares by old ones.

    Args:
        kind: the class, complete.
    """
    declared = vars(kind)
    for old, new in _FACTS.items():
        if isinstance(declared.get(old), str):
            setattr(kind, new, declared[old])
            _warn(kind, old, f"called {new}")
    for old, new in _METHODS.items():
        if old in declared:
            setattr(kind, new, declared[old])
            _warn(kind, old, f"called {new}")
        elif new in declared:
            setattr(kind, old, declared[new])  # what a subclass of the user's finds by `super()`
    if "schedule" in kind.model_fields and not kind.__module__.startswith("raybert."):
        default = kind.model_fields["schedule"].default
        kind.schedules = (default, *(schedule for schedule in kind.schedules if schedule != default))
        _warn(kind, "schedule", "no field of strategies: the first of `schedules` is the default")


def _warn(kind: type, old: str, news: str) -> None:
    message = f"strategy '{kind.__name__}': `{old}` is {news} now; the old word is accepted until the next release"
    warnings.warn(message, RenamedWarning, stacklevel=5)
