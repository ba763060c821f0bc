"""The page of signals: per-example arrays that strategies read."""

from __future__ import annotations

from raybert.selection.catalogue import describe_strategies
from raybert.sweeping.plan.specs import KNOWN_SIGNALS
from reference_pages.markdown import code, page


def signals_page() -> str:
    """Return a section per signal: who reads it."""
    parts = []
    for name in sorted(KNOWN_SIGNALS):
        readers = [code(row["name"]) for row in describe_strategies() if name in row["needs"].split(", ")]
        parts += [f"## {name}", f"Read by {', '.join(readers)}." if readers else "Read by no built-in strategy."]
    return page("Signals", *parts)
