"""Pretrained models on the screen: what each has come to, and where it is."""

from __future__ import annotations

from raybert.display import Row, TextTable
from raybert.sweeping.study import PretrainedModels
from raybert.terminal.console import Console, print_note, relative, say
from raybert.terminal.table import FittingTable

_COLUMNS = ("model", "steps", "tokens", "train loss", "validation loss", "perplexity", "accuracy", "seconds")


def print_pretrained(found: PretrainedModels) -> None:
    """Print the models of a pretraining file, and where they are."""
    console = Console()
    rows = []
    for model in found.models:
        if model.summary is None:
            continue
        best = model.summary["best"]
        rows.append(
            Row(
                (
                    model.name,
                    f"{best['step']:,}",
                    f"{best['tokens']:,}",
                    f"{best['train_loss']:.3f}",
                    f"{best['validation_loss']:.3f}",
                    _or_blank(best.get("validation_perplexity"), ".1f"),
                    _or_blank(best.get("validation_masked_accuracy"), ".1%"),
                    f"{model.summary['seconds']:,.0f}",
                )
            )
        )
    if rows:
        console.print(FittingTable(TextTable(_COLUMNS, tuple(rows), left=frozenset({0}), spare=(7, 2, 3))))
    of_note: dict[str, list[str]] = {}
    for model in found.models:
        for note in dict.fromkeys(model.summary["notes"] if model.summary else ()):
            of_note.setdefault(note, []).append(model.name)
    for note, names in of_note.items():
        print_note(f"{', '.join(names)}: {note}")
    for name, why in found.failures.items():
        print_note(f"{name}: failed {why}")
    if found.num_left:
        say(console, f"{found.num_left} of {found.num_wanted} models are left; the same command continues")
    say(console, f"{len(rows)} models in {relative(found.folder)}")


def _or_blank(value: float | None, how: str) -> str:
    return "" if value is None else format(value, how)
