"""The page of every strategy, from its class."""

from __future__ import annotations

from typing import Any

from raybert.selection.catalogue import COMPOSITION, describe_strategies, find_strategy
from raybert.selection.strategy import Strategy
from reference_pages.markdown import code, doc_body, doc_summary, page, table
from reference_pages.sweep_file import default_of, type_of

INTRODUCTION = """
Every strategy that comes with raybert, as `raybert ls strategies` prints it, with its rule, cost and parameters.
Scores are always *higher = harder / less known*; which end is kept is the parameter `direction`. What its signals are
and what they cost: [](signals.md). When a strategy chooses: [](../explanations/schedules.md).

*Budget* says what `selection.budget` means: `distinct` (so many different examples), `per_epoch` (so many in every
pass), `none` (the strategy decides itself, from the whole pool).

*Cost* is what must be computed for the strategy alone, with the settings at their defaults: training runs, forward
passes over the pool, and the operations of one choice of k among n examples, with embeddings of d numbers. A sweep
computes once what several strategies share. With the schedule `rounds` a strategy that reads outputs of proxies has
R - 1 more forward passes over the pool in training, with `epoch` one before every pass but the first.
"""
_COMPOSED = ("pre", "then", "candidates", "schedule", "rounds", "random_start")

_COLUMNS = "../how-to/own_strategies.md#texts-and-columns"


def strategies_page() -> str:
    """Return the reference of the strategies: an overview, then a section each."""
    rows = describe_strategies()
    overview = table(
        ["strategy", "reads", "schedules", "budget"],
        [(f"[{code(r['name'])}](#{r['name']})", signal_links(r["needs"]), r["schedules"], r["budget"]) for r in rows],
    )
    composition = table(["parameter", "meaning"], [(code(key), text) for key, text in COMPOSITION.items()])
    return page(
        "Strategies",
        INTRODUCTION,
        overview,
        "## Composition",
        "Strategies of budget kind `distinct` that choose once or in rounds also take:",
        composition,
        *(part for row in rows for part in _section(row, find_strategy(row["name"]))),
    )


def signal_links(needs: str) -> str:
    """Return names of signals as links to their page."""
    return ", ".join(f"[{code(name)}]({_page_of(name)})" for name in needs.split(", ") if name) or "nothing"


def _page_of(signal: str) -> str:
    """Return where a signal is described; a column of the data is no entry of the table of signals."""
    return _COLUMNS if signal.startswith("column:") else f"signals.md#{signal}"


def _section(row: dict[str, Any], strategy: type[Strategy]) -> list[str]:
    facts = [
        f"**Reads** {signal_links(row['needs'])}",
        f"**Schedules** {row['schedules']}",
        f"**Budget** {row['budget']}",
        f"**Nested** {'yes: a larger budget contains the smaller one' if strategy.nested else 'no'}",
    ]
    own = {key: field for key, field in strategy.model_fields.items() if key not in _COMPOSED}
    defaults = dict(part.partition("=")[::2] for part in row["parameters"].split(", ") if part.startswith("direction="))
    parameters = [
        (code(key), type_of(field), default_of(field) or defaults.get(key, ""), field.description or "")
        for key, field in own.items()
    ]
    return [
        f"## {row['name']}",
        doc_summary(strategy),
        doc_body(strategy),
        " · ".join(facts),
        f"**Cost** {row['cost']}",
        f"**Weakness** {row['weakness']}" if row["weakness"] else "",
        f"Source: {row['citation']}" if row["citation"] else "",
        table(["parameter", "value", "default", "meaning"], parameters) if parameters else "",
    ]
