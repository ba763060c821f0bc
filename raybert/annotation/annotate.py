"""One round: read all labels, ask the model, choose what to label next, and say whether that is still worth it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from raybert.annotation.adviser import Adviser, save_model
from raybert.annotation.candidates import Candidates, read_candidates
from raybert.annotation.desk import Desk
from raybert.annotation.evidence import asks_the_model, check_strategy
from raybert.annotation.reasons import reasons_for
from raybert.annotation.rounds import LABELLED, Annotated, RoundsFolder
from raybert.annotation.stopping import Certainty, criteria_met, measure
from raybert.config import DataConfig, RaybertConfig
from raybert.display import html_frame, html_section
from raybert.errors import ConfigError
from raybert.files import write_frame
from raybert.selection.compose import Composed, compose
from raybert.selection.pool import Selection
from raybert.selection.signals import columns_read
from raybert.sweeping.plan.narrow import narrow_to_one
from raybert.sweeping.single.process import torch_as_it_was
from raybert.sweeping.trial.process import prepare_process

FIRST, LATER = "typiclust", "badge"
"""Strategies by default: typical texts where few are labelled, uncertain and different ones after that (Hacohen et al.
2022, "Active Learning on a Budget: Opposite Strategies Suit High and Low Budgets", arXiv 2202.02794)."""
_SHOWN = 10


@dataclass(frozen=True, repr=False)
class AnnotationRound:
    """What a round chose, and what was known before it.

    Attributes:
        number: of the round, from 1.
        path: of the file to write labels into.
        frame: `raybert.tables.annotation.TO_LABEL`, the most wanted text first.
        history: `raybert.tables.annotation.ROUNDS`, this round last.
        column: of that file, for labels.
        labelled: path of the file of everything that has a label; None: nothing has.
        notes: what a user should know.
    """

    number: int
    path: Path
    frame: pd.DataFrame
    history: pd.DataFrame
    column: str
    labelled: Path | None
    notes: tuple[str, ...] = ()

    @property
    def stop(self) -> tuple[str, ...]:
        """The criteria by which labelling may stop before this round; none: it is worth going on."""
        return tuple(part for part in str(self.history["stop"].iloc[-1]).split("; ") if part)

    def __repr__(self) -> str:
        return f"<AnnotationRound {self.number}: {len(self.frame):,} texts to label in {self.path}>"

    def _repr_html_(self) -> str:
        """Show the first texts in a notebook."""
        facts = [f"round {self.number}: {len(self.frame):,} texts to label in {self.path}"]
        return html_section("annotation", facts, html_frame(self.frame.head(_SHOWN)), notes=self.notes)


def next_round(
    config: RaybertConfig,
    folder: Path,
    budget: float,
    strategy: str | None,
    seed: int,
    *,
    tell: Callable[[str], None],
    model: Path | None = None,
    num_clusters: int | None = None,
    trust: bool = False,
) -> AnnotationRound:
    """Choose the texts of the next round, and write its file.

    Args:
        config: the sweep file.
        folder: of the rounds.
        budget: texts to label; below 1 a share of those that have no label.
        strategy: a label or name among the file's strategies, else any name; None: `FIRST` without labels, else
            `LATER`.
        seed: of the model, ties and draws.
        tell: is told what is done, line by line.
        model: folder of a trained model that is asked in place of one trained on the labels.
        num_clusters: clusters of embeddings that stand for classes while there are no labels; None: nothing does.
        trust: whether code may run that comes with `model`.

    Raises:
        RaybertError: what is wrong with the file, the source, the labels, the strategy or the model.
    """
    if config.model.kind == "iris":
        raise ConfigError("model.kind: must be another one than iris to annotate, whose documents are cut into chunks")
    _check_budget(budget)
    with torch_as_it_was():
        prepare_process(config.resources.cpus_per_worker, seed)
        return _next_round(config, RoundsFolder(folder), budget, strategy, seed, tell, model, num_clusters, trust=trust)


def _next_round(
    config: RaybertConfig,
    rounds: RoundsFolder,
    budget: float,
    strategy: str | None,
    seed: int,
    tell: Callable[[str], None],
    model: Path | None,
    num_clusters: int | None,
    *,
    trust: bool,
) -> AnnotationRound:
    number = (rounds.numbers() or [0])[-1] + 1
    tell("reads the source and the labels of earlier rounds")
    label, chooser = _entry(config, strategy or FIRST, seed)
    source = read_candidates(config.data, columns_read(chooser.all_signals()))
    annotated = rounds.read(config.data.label_words, source.example_ids, [one for one in source.labels if one])
    everything = source.with_labels(annotated.labels)
    labelled = _write_labelled(rounds.path, config.data, everything, annotated)  # first: what people wrote is kept
    if strategy is None and len(everything.label_names) > 1:
        label, chooser = _entry(config, LATER, seed)
    needs = chooser.all_signals()
    check_strategy(label, needs, config)
    desk = Desk.of(config, everything, seed)
    adviser, clusters = desk.ask(model, trust=trust, tell=tell), None
    state = None if adviser is None else desk.state(adviser)
    if adviser is None and num_clusters is not None:
        adviser, clusters = desk.ask_clusters(num_clusters, tell)
    if adviser is None and asks_the_model(needs, config):
        raise ConfigError(
            f"strategy: '{label}' asks a model, which needs labels of two classes, got "
            f"{_listed(everything.label_names)}; begin with {FIRST} or random, give the folder of a trained model "
            "(model), or clusters in place of classes (clusters)"
        )
    tell(f"chooses by {label}")
    signals = desk.signals(needs, adviser)
    selection = desk.choose(chooser, signals, adviser, clusters, _count(budget, len(desk.unlabelled)))
    history = _history(rounds, number, label, desk, adviser, state, len(selection.positions))
    frame = _to_label(desk, selection, signals, label)
    rounds.path.mkdir(parents=True, exist_ok=True)
    if adviser is not None and clusters is None and model is None:
        save_model(rounds.model, adviser, desk.encoder, config)
    rounds.write(number, frame, state, history)
    notes = dict.fromkeys((*source.notes, *annotated.notes, *desk.data.notes, *selection.notes))
    return AnnotationRound(number, rounds.file(number), frame, history, config.data.label_words, labelled, tuple(notes))


def _entry(config: RaybertConfig, strategy: str, seed: int) -> tuple[str, Composed]:
    """Return a strategy and what it is called.

    Raises:
        ConfigError: it is unknown, or decides before every pass of a training.
    """
    (entry,) = narrow_to_one(config, strategy, seed).entries
    chooser = compose(entry.strategy)
    if chooser.spends() != "distinct":
        raise ConfigError(
            f"strategy: '{entry.label}' must choose a number of texts, and it takes as many as it likes, or others "
            "before every pass of a training"
        )
    return entry.label, chooser


def _check_budget(budget: float) -> None:
    """Refuse what is no number of texts, before anything is read.

    Raises:
        ConfigError: a budget that is none.
    """
    if not 0 < budget < math.inf or (budget >= 1 and budget != int(budget)):
        raise ConfigError(f"budget: must be a number of texts, or a share of them below 1, got {budget:g}")


def _count(budget: float, num_candidates: int) -> int:
    """Return how many texts are chosen."""
    wanted = int(budget) if budget >= 1 else max(1, round(budget * num_candidates))
    return min(wanted, num_candidates)


def _history(
    rounds: RoundsFolder,
    number: int,
    label: str,
    desk: Desk,
    adviser: Adviser | None,
    state: pd.DataFrame | None,
    num_chosen: int,
) -> pd.DataFrame:
    """Return the table of rounds with this one."""
    past = rounds.read_history()
    past = past[past["round"] < number]
    certainty = Certainty() if state is None else measure(state, rounds.read_state(number - 1))
    kappas = [*past["kappa"].tolist(), certainty.kappa]
    stop = () if state is None else criteria_met(kappas, certainty.changed, certainty.mean_entropy)
    row = {
        "round": number,
        "strategy": label,
        "num_labelled": len(desk.labelled),
        "num_candidates": len(desk.unlabelled),
        "num_chosen": num_chosen,
        "accuracy": np.nan if adviser is None else adviser.accuracy,
        **asdict(certainty),
        "stop": "; ".join(stop),
    }
    fresh = pd.DataFrame([row])
    return pd.concat([past, fresh], ignore_index=True) if len(past) else fresh


def _to_label(desk: Desk, selection: Selection, signals: Mapping[str, np.ndarray], label: str) -> pd.DataFrame:
    """Return the table that labels are written into."""
    texts = desk.candidates.texts.take(selection.positions)
    frame = pd.DataFrame({"rank": np.arange(1, len(selection.positions) + 1)})
    frame["example_id"] = texts["example_id"].to_pylist()
    frame["row"] = selection.positions + 1
    frame[desk.config.data.label_words] = ""
    for column in ("text", "text_pair"):
        if column in texts.column_names:
            frame[column] = texts[column].to_pylist()
    frame["score"] = selection.scores
    frame["reason"] = reasons_for(selection, signals, label, desk.labelled, desk.unlabelled)
    return frame


def _write_labelled(folder: Path, data: DataConfig, candidates: Candidates, annotated: Annotated) -> Path | None:
    """Write everything that has a label, as a source to train on; return the file, None if nothing has."""
    rows = np.flatnonzero(candidates.is_labelled)
    if not len(rows):
        return None
    texts = candidates.texts.take(rows)
    ids = texts["example_id"].to_pylist()
    frame = pd.DataFrame({data.id or "example_id": ids, data.text: texts["text"].to_pylist()})
    if data.text_pair is not None:
        frame[data.text_pair] = texts["text_pair"].to_pylist()
    frame[data.label_words] = candidates.labels[rows]
    frame["round"] = [annotated.round_of.get(example_id, 0) for example_id in ids]
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / LABELLED
    write_frame(frame, path)
    return path


def _listed(names: tuple[str, ...]) -> str:
    return " and ".join(f"'{name}'" for name in names) if names else "none"
