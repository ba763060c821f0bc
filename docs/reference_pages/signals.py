"""The page of signals, from the table that declares them."""

from __future__ import annotations

from raybert.selection.catalogue import describe_strategies
from raybert.selection.signals import TABLE, Signal
from reference_pages.markdown import code, page, table

INTRODUCTION = """
A signal is an array with one entry per example that strategies read. Shapes are in letters: n examples, m proxies, t
checkpoints, C classes, d of an embedding. What they cost: [Signals and their price](../explanations/signals.md).
"""
_RUNS = {
    None: "",
    "proxy": "proxies, trained on the whole pool (`selection.proxy`)",
    "heldout": "cross-fitted proxies (`selection.scorers.heldout`)",
    "irreducible": "two twins, each trained on one half (`selection.scorers.irreducible`)",
    "dynamics": "one run with checkpoints (`selection.scorers.dynamics`)",
}


def signals_page() -> str:
    """Return an overview of the signals, then a section each."""
    header = ["signal", "shape", "type", "training runs behind it"]
    rows = [(f"[{code(s.name)}](#{s.name})", f"({s.shape})", s.dtype, _RUNS.get(s.runs, s.runs)) for s in TABLE]
    return page("Signals", INTRODUCTION, table(header, rows), *(part for signal in TABLE for part in _section(signal)))


def _section(signal: Signal) -> list[str]:
    readers = [row["name"] for row in describe_strategies() if signal.name in row["needs"].split(", ")]
    facts = [
        f"Computed from {', '.join(f'[{code(name)}](#{name})' for name in signal.reads)}." if signal.reads else "",
        f"`raybert.select` takes ({signal.plain_shape}), of one proxy, too." if signal.plain_shape else "",
        f"`raybert.select` computes it from `{signal.given}=`, where that is given." if signal.given else "",
        "The model in training gives it anew, in rounds and before passes." if signal.is_refreshed else "",
        f"Read by {', '.join(f'[{code(name)}](strategies.md#{name})' for name in readers)}." if readers else "",
    ]
    return [f"## {signal.name}", signal.description, " ".join(fact for fact in facts if fact)]
