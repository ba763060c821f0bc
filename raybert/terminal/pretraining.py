"""Pretrained models on the screen: what each has come to, and where it is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

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
    for note in notes_of_models({model.name: model.summary for model in found.models if model.summary is not None}):
        print_note(note)
    for name, why in found.failures.items():
        print_note(f"{name}: failed {why}")
    if found.num_left:
        say(console, f"{found.num_left} of {found.num_wanted} models are left; the same command continues")
    say(console, f"{len(rows)} model{'' if len(rows) == 1 else 's'} in {relative(found.folder)}")


def notes_of_models(summaries: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """Yield the notes of models, each once, with those that it is of: all, those of a corpus, or some by name.

    Args:
        summaries: name of the model -> `training_summary.json`.
    """
    of_corpus: dict[str, set[str]] = {}
    of_note: dict[str, dict[str, None]] = {}
    for name, summary in summaries.items():
        of_corpus.setdefault(summary["corpus"], set()).add(name)
        for note in summary["notes"]:
            of_note.setdefault(note, {})[name] = None
    for note, names in of_note.items():
        corpora = [corpus for corpus, models in of_corpus.items() if models <= names.keys()]
        covered = set().union(*(of_corpus[corpus] for corpus in corpora))
        if len(covered) == len(summaries) and len(corpora) > 1:
            yield f"all models: {note}"
        elif len(corpora) == 1 and covered == names.keys() and note.startswith(f"{corpora[0]}: "):
            yield note  # it says of which corpus it is
        else:
            yield f"{', '.join([*corpora, *(name for name in names if name not in covered)])}: {note}"


def _or_blank(value: float | None, how: str) -> str:
    return "" if value is None else format(value, how)
