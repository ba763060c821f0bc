"""The page of signals, from the table that declares them."""

from __future__ import annotations

from raybert.selection.catalogue import describe_strategies
from raybert.selection.declared_signals import TABLE, Signal
from raybert.selection.price import describe_signals
from reference_pages.markdown import code, page, table

INTRODUCTION = """
A signal is an array with one entry per example that strategies read. Shapes are in letters: n examples, m proxies, t
checkpoints, p passes with dropout, C classes, d of an embedding. `raybert ls signals` prints the same, with those of
your own.
Besides these `column:<name>` is any column of the data: [](../how-to/own_strategies.md#texts-and-columns).

The price is that of the signal alone, with the settings at their defaults. A sweep pays once for what several signals
share: [Signals and their price](../explanations/signals.md).
"""


def signals_page() -> str:
    """Return an overview of the signals, then a section each."""
    described = {row["name"]: row for row in describe_signals()}
    found = [described[signal.name] for signal in TABLE]
    rows = [(f"[{code(row['name'])}](#{row['name']})", row["shape"], row["dtype"], row["price"]) for row in found]
    overview = table(["signal", "shape", "type", "price"], rows)
    sections = (part for signal in TABLE for part in _section(signal, described[signal.name]["scorer"]))
    return page("Signals", INTRODUCTION, overview, *sections)


def _section(signal: Signal, scorer: str) -> list[str]:
    readers = [row["name"] for row in describe_strategies() if signal.name in row["needs"].split(", ")]
    facts = [
        f"Computed from {', '.join(f'[{code(name)}](#{name})' for name in signal.reads)}." if signal.reads else "",
        f"`raybert.select` takes ({signal.plain_shape}), of one proxy, too." if signal.plain_shape else "",
        f"`raybert.select` computes it from `{signal.given}=`, where that is given." if signal.given else "",
        "The model in training gives it anew, in rounds and before passes." if signal.is_refreshed else "",
        f"Scorer: {code(scorer)}." if scorer else "",
        f"Read by {', '.join(f'[{code(name)}](strategies.md#{name})' for name in readers)}." if readers else "",
    ]
    return [f"## {signal.name}", signal.description, " ".join(fact for fact in facts if fact)]
