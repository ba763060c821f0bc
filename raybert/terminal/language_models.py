"""How language models compare, and what they prefer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from raybert.display import Row, TextTable
from raybert.evaluation.language_models.crosseval import CrossEvaluation
from raybert.evaluation.language_models.probes import ProbeResults
from raybert.evaluation.language_models.publish import differences_of_groups, in_short, matrices, preferences
from raybert.evaluation.language_models.study import StudyResults
from raybert.terminal.console import Console, print_notes, say
from raybert.terminal.table import FittingTable


def print_cross_evaluation(found: CrossEvaluation) -> None:
    """Print perplexities of models x corpora, each model in and out of its domain, and how many pairs differ."""
    console = Console()
    for words, table in matrices(found).items():
        say(console, f"{words}:")
        console.print(FittingTable(table))
        console.print()
    say(console, f"In and out of the domain, per {found.unit}; the ratio of a model's worst corpus to its best:")
    console.print(FittingTable(_domains(found)))
    console.print()
    for kind, rows in found.differences.groupby("kind", sort=False):
        settled = int((rows["holm_p"] < 0.05).sum())
        say(console, f"{kind}: {settled} of {len(rows)} pairs of models on a corpus differ (Holm, 5 %)")
    print_notes(found.notes)
    if found.folder is not None:
        say(console, f"tables and pictures: {found.folder}")


def print_probes(found: ProbeResults) -> None:
    """Print which groups each model prefers in each probe, and by how much."""
    console = Console()
    for words, table in {**preferences(found), **differences_of_groups(found)}.items():
        say(console, f"{words}:")
        console.print(FittingTable(table))
        console.print()
    say(console, "*: Holm's p of no preference below 5 %")
    print_notes(found.notes)
    if found.folder is not None:
        say(console, f"tables and pictures: {found.folder}")


def print_study(found: StudyResults) -> None:
    """Print what was found of the models of a study, and where its page is."""
    if found.cross_evaluation is not None:
        print_cross_evaluation(found.cross_evaluation)
    if found.probes is not None:
        print_probes(found.probes)
    if found.report is not None:
        say(Console(), f"report: {found.report}")


def _domains(found: CrossEvaluation) -> TextTable:
    rows = found.domains[found.domains["kind"] == "masked"].to_dict("records")
    return TextTable(
        ("model", "domain", "in", "out", "out / in", "worst / best"),
        tuple(
            Row(
                (
                    str(row["model"]),
                    str(row["domain"]),
                    _number(row["in_perplexity"]),
                    _number(row["out_perplexity"]),
                    _ratio(row, "out_in"),
                    f"{row['worst']} / {row['best']}: {_ratio(row, 'bias')}" if row["worst"] else "",
                )
            )
            for row in rows
        ),
        left=frozenset({0, 1, 5}),
        spare=(1,),
    )


def _ratio(row: Mapping[Any, Any], name: str) -> str:
    value, low, high = (row[f"{name}_{part}"] for part in ("ratio", "low", "high"))
    return "" if value != value else f"{value:.2f} ({low:.2f} to {high:.2f})"


def _number(value: float) -> str:
    return "" if value != value else in_short(value)
