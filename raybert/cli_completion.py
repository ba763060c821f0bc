"""What the shell completes: files, strategies, keys, results folders, trials, scores; without anything slow."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import typer

from raybert.errors import RaybertError
from raybert.plain import printable

_SWEEP_FILES = (".yaml", ".yml")
_MOST_CHOICES = 200

Choice = tuple[str, str]
"""What is completed, and what the shell says of it."""


def complete_sweep_file(incomplete: str) -> list[Choice]:
    """Return the YAML files and folders that begin so."""
    return list(_paths(incomplete, lambda path: path.suffix.lower() in _SWEEP_FILES))


def complete_results_folder(incomplete: str) -> list[Choice]:
    """Return the folders that begin so; those of results are said to be."""
    return list(_paths(incomplete, lambda path: False))


def complete_strategy(ctx: typer.Context, incomplete: str) -> list[Choice]:
    """Return the labels of the sweep file that is given, and the names of all strategies."""
    from raybert.selection.catalogue import describe_strategies

    known = {row["name"]: row["summary"] for row in describe_strategies()}
    file = ctx.params.get("file") or next((word for word in _words() if word.endswith(_SWEEP_FILES)), None)
    labels = {label: "of the file" for label in _labels_of(file) if label not in known}
    return _beginning(incomplete, {**labels, **known})


def complete_trial(ctx: typer.Context, incomplete: str) -> list[Choice]:
    """Return the ids of the trials of the results folder that is given, with their strategies and seeds."""
    folder = ctx.params.get("target") or ctx.params.get("folder")
    places = [Path(folder)] if folder is not None else [Path(word) for word in _words()]
    trials = next((found for place in places if (found := _planned(place))), [])
    return _beginning(incomplete, {trial["trial_id"]: _describe(trial) for trial in trials})


def complete_key(incomplete: str) -> list[Choice]:
    """Return the keys of a sweep file that begin so, for `--set`."""
    from raybert.config import RaybertConfig
    from raybert.config.hints import dotted_keys

    if "=" in incomplete:
        return []
    return _beginning(incomplete, {f"{key}=": text for key, text in dotted_keys(RaybertConfig).items()})


def complete_score_key(ctx: typer.Context, incomplete: str) -> list[Choice]:
    """Return the keys of the score store that begin so, with their scorers."""
    from raybert.commands import list_scores

    found = list_scores(ctx.params.get("store"))
    return _beginning(incomplete, {entry.key: str(entry.identity.get("scorer", "")) for entry in found.entries})


def completer(*choices: str) -> Any:
    """Return what completes one of a few words."""
    return lambda incomplete: [word for word in choices if word.startswith(incomplete)]


def _words() -> list[str]:
    """Return the words of the command line: an option that waits for its value hides the arguments from click."""
    return (os.environ.get("COMP_WORDS") or os.environ.get("_TYPER_COMPLETE_ARGS") or "").split()


def _paths(incomplete: str, is_wanted: Any) -> Iterator[Choice]:
    head, _, tail = incomplete.rpartition("/")
    folder = Path(f"{head}/" if head or incomplete.startswith("/") else ".").expanduser()
    if not folder.is_dir():
        return
    prefix = f"{head}/" if head or incomplete.startswith("/") else ""
    for path in sorted(folder.iterdir()):
        if path.name != printable(path.name):  # a shell would write it as it is
            continue
        if not path.name.startswith(tail) or (path.name.startswith(".") and not tail.startswith(".")):
            continue
        if path.is_dir():
            yield f"{prefix}{path.name}/", "results of a sweep" if (path / "plan.json").is_file() else ""
        elif is_wanted(path):
            yield f"{prefix}{path.name}", ""


def _labels_of(file: Any) -> Sequence[str]:
    """Return the labels and names of a sweep file's strategies; none where it cannot be read (yet)."""
    from raybert.config import load_config

    if file is None:
        return ()
    try:
        return [entry.label or entry.name for entry in load_config(Path(file)).sweep.strategies]
    except RaybertError:
        return ()


def _planned(folder: Path) -> list[dict[str, Any]]:
    try:
        plan = json.loads((folder / "plan.json").read_text(encoding="utf-8"))
        return [trial for trial in plan["trials"] if "trial_id" in trial]
    except (OSError, ValueError, KeyError, TypeError):
        return []  # nothing to complete; the command itself says what is wrong


def _describe(trial: dict[str, Any]) -> str:
    return f"{trial.get('strategy', '')}, seed {trial.get('seed', '')}, budget {trial.get('budget', '')}"


def _beginning(incomplete: str, choices: dict[str, str]) -> list[Choice]:
    found = [(word, printable(text)) for word, text in choices.items() if word.startswith(incomplete)]
    return [(word, text) for word, text in found if word == printable(word)][:_MOST_CHOICES]
