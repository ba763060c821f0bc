"""What is in the folder of a pretraining study: models with their curves, and what commands have measured of them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from raybert.config.load import read_yaml
from raybert.config.pretraining import PretrainingConfig, load_pretraining
from raybert.errors import ConfigError, SweepError
from raybert.evaluation.language_models.crosseval import CrossEvaluation
from raybert.evaluation.language_models.probes import ProbeResults
from raybert.files import read_json, read_json_lines, reading_back

CONFIGURATION, MODELS, SUMMARY, EVALUATIONS = "resolved.yaml", "models", "training_summary.json", "evaluations.jsonl"
ABOUT = "about.json"
"""Beside tables: what is no row of one."""
_NAME = re.compile(r"(?P<corpus>.+)-s(?P<seed>\d+)")


@dataclass(frozen=True)
class StudyResults:
    """A pretraining study as its folder has it.

    Attributes:
        folder: of the study.
        config: its file, resolved.
        models: a row per model and seed: state, best evaluation, tokens, seconds.
        evaluations: a row per evaluation of each.
        summaries: name -> `training_summary.json`, of finished models.
        cross_evaluation: None: there is none yet.
        probes: None: there are none yet.
        report: the page; None: it was not written.
    """

    folder: Path
    config: PretrainingConfig
    models: pd.DataFrame
    evaluations: pd.DataFrame
    summaries: Mapping[str, Mapping[str, Any]]
    cross_evaluation: CrossEvaluation | None
    probes: ProbeResults | None
    report: Path | None = None

    def reported(self, page: Path) -> StudyResults:
        """Return the same with its page."""
        return replace(self, report=page)


def is_study_folder(folder: Path) -> bool:
    """Tell whether a folder is that of a pretraining file."""
    try:
        return "corpora" in read_yaml(folder / CONFIGURATION)
    except ConfigError:
        return False


def load_study(folder: Path) -> StudyResults:
    """Return what is in the folder of a study, finished or not.

    Raises:
        SweepError: it is none.
    """
    if not is_study_folder(folder):
        raise SweepError(f"{folder}: must be the folder of a pretraining file (`raybert pretrain`, `study`), is none")
    try:
        config = load_pretraining(folder / CONFIGURATION)
    except ConfigError as error:
        raise SweepError(f"{folder / CONFIGURATION}: must be as raybert wrote it, but: {error}") from None
    summaries = {}
    rows, curves = [], []
    for name, corpus, seed in _names(config, folder / MODELS):
        place = folder / MODELS / name
        summary = read_json(place / SUMMARY)
        evaluated = [row for row in read_json_lines(place / EVALUATIONS) if isinstance(row, dict)]
        curves += [{"model": corpus, "seed": seed, **row} for row in evaluated]
        if summary is not None:
            summaries[name] = summary
        state = "complete" if summary is not None else "interrupted" if place.is_dir() else "missing"
        rows.append({"model": corpus, "seed": seed, "state": state, **_row(summary, evaluated)})
    return StudyResults(
        folder,
        config,
        pd.DataFrame(rows),
        pd.DataFrame(curves),
        summaries,
        _cross_evaluation(folder / "crosseval"),
        _probes(folder / "probes"),
    )


def _names(config: PretrainingConfig, models: Path) -> list[tuple[str, str, int]]:
    """Return folder, corpus and seed of every model that the file wants, and of others that are there."""
    wanted = [(f"{corpus}-s{seed}", corpus, seed) for corpus in config.corpora for seed in config.seeds]
    known = {name for name, _, _ in wanted}
    for path in sorted(models.glob("*/")):
        parts = _NAME.fullmatch(path.name)
        if parts and path.name not in known:
            wanted.append((path.name, parts["corpus"], int(parts["seed"])))
    order = [*config.corpora]
    return sorted(wanted, key=lambda one: (order.index(one[1]) if one[1] in order else len(order), one[1], one[2]))


def _row(summary: Mapping[str, Any] | None, evaluated: list[dict[str, Any]]) -> dict[str, Any]:
    best = (summary or {}).get("best") or (evaluated[-1] if evaluated else {})
    return {
        "step": best.get("step"),
        "tokens": best.get("tokens"),
        "train_loss": best.get("train_loss"),
        "validation_loss": best.get("validation_loss"),
        "validation_perplexity": best.get("validation_perplexity"),
        "validation_masked_accuracy": best.get("validation_masked_accuracy"),
        "seconds": (summary or best).get("seconds"),
    }


def _cross_evaluation(folder: Path) -> CrossEvaluation | None:
    about = read_json(folder / ABOUT)
    if about is None:
        return None
    tables = _tables(folder, ("perplexities", "differences", "domains"), "crosseval")
    documents = pd.DataFrame()  # large, and behind the tables
    notes = tuple(map(str, about["notes"]))
    plots = tuple(sorted(folder.glob("*.png")))
    return CrossEvaluation(
        **tables, documents=documents, unit=str(about["unit"]), notes=notes, plots=plots, folder=folder
    )


def _probes(folder: Path) -> ProbeResults | None:
    about = read_json(folder / ABOUT)
    if about is None:
        return None
    names = ("groups", "differences", "models", "prompts", "words", "predictions")
    tables = _tables(folder, names, "probe")
    return ProbeResults(
        **tables, notes=tuple(map(str, about["notes"])), plots=tuple(sorted(folder.glob("*.png"))), folder=folder
    )


def _tables(folder: Path, names: Sequence[str], command: str) -> dict[str, pd.DataFrame]:
    found = {}
    for name in names:
        path = folder / f"{name}.parquet"
        with reading_back(path, f"`raybert {command}` writes it anew"):
            found[name] = pd.read_parquet(path)
    return found
