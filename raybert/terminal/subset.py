"""What a strategy chose, in short."""

from __future__ import annotations

from pathlib import Path

from raybert.sweeping.single.select import ChosenSubset, conflicts_file
from raybert.terminal.console import Console, say


def print_subset(subset: ChosenSubset, output: Path) -> None:
    """Print how much was chosen, of which classes, what to know of it, and where it is."""
    console = Console()
    say(console, f"{len(subset.frame):,} of {subset.pool_size:,} examples, best first: {output}")
    counts = subset.frame["label"].value_counts().sort_index()
    say(console, "classes: " + ", ".join(f"{label} {count:,}" for label, count in counts.items()))
    if subset.refilled:
        say(console, f"note: filters left too few; the last {subset.refilled:,} were taken back from what they dropped")
    if subset.conflicts is not None and len(subset.conflicts):
        pairs, path = len(subset.conflicts), conflicts_file(output)
        say(console, f"note: {pairs:,} pairs of near-duplicates have different labels: {path}")
    for note in subset.notes:
        say(console, f"note: {note}")
    if subset.signal_seconds:
        seconds = f"{subset.signal_seconds:,.1f} s of computing"
        say(console, f"signals cost {seconds}, once; they are kept in the score store")
