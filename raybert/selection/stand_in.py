"""What stands where a strategy of a user's own is named whose code must not run: its name and its parameters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from pydantic import ConfigDict

from raybert.selection.strategy import Strategy

_FACTS = ("budget_kind", "schedules", "citation")


class StandIn(Strategy):
    """A strategy of which only the label counts; it takes any parameters and cannot choose."""

    model_config = ConfigDict(extra="allow")
    schedules = ("once", "rounds", "epoch")


def stand_in(name: str, facts: Mapping[str, Any] | None = None) -> type[StandIn]:
    """Return what stands in for a strategy that a file names.

    Args:
        name: `module:Class`, or a name that nothing here has registered.
        facts: what `facts_of` said of it where it was imported; None: nothing is known.
    """
    module, _, attribute = name.rpartition(":")
    known = {key: value for key, value in (facts or {}).items() if key in _FACTS and _is_of_its_kind(key, value)}
    if "schedules" in known:
        known["schedules"] = tuple(known["schedules"])
    names = {"__module__": module or __name__, "__qualname__": attribute, "name": attribute}
    return cast("type[StandIn]", type(attribute or "StandIn", (StandIn,), names | known))


def facts_of(kind: type[Strategy]) -> dict[str, Any]:
    """Return what a reader should know of a strategy that is not imported again, as JSON."""
    return {key: getattr(kind, key) for key in _FACTS}


def _is_of_its_kind(key: str, value: Any) -> bool:
    if key == "schedules":
        return isinstance(value, list) and bool(value) and set(value) <= {"once", "rounds", "epoch"}
    return isinstance(value, str) and (key != "budget_kind" or value in ("distinct", "per_epoch", "none"))
