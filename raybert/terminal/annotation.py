"""A round of labelling: where to write labels, and whether that is still worth it."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd

from raybert.annotation.annotate import AnnotationRound
from raybert.terminal.console import Console, say


def print_round(found: AnnotationRound) -> None:
    """Print what to label, what the model of the round thinks of the rest, and what to know."""
    console = Console()
    row = found.history.iloc[-1]
    chosen, candidates = len(found.frame), int(row["num_candidates"])
    say(
        console,
        f"round {found.number}: {chosen:,} of {candidates:,} texts to label, the most wanted first: {found.path}",
    )
    say(console, f"write labels into its column '{found.column}', then give the same command again")
    for note in found.notes:
        say(console, f"note: {note}")
    if found.labelled is not None:
        say(console, f"labelled so far: {int(row['num_labelled']):,} texts: {found.labelled}")
    if math.isfinite(row["mean_confidence"]):
        say(console, "model: " + ", ".join(_of_model(row)))
    if found.stop:
        say(console, f"labelling may stop: {'; '.join(found.stop)}")


def _of_model(row: pd.Series[Any]) -> list[str]:
    parts = [f"validation accuracy {row['accuracy']:.1%}"] if math.isfinite(row["accuracy"]) else []
    parts.append(f"mean confidence {row['mean_confidence']:.2f} on the texts without a label")
    if math.isfinite(row["changed"]):
        parts.append(f"{row['changed']:.1%} of them called another class than a round ago (kappa {row['kappa']:.2f})")
    return parts
