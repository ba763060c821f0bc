"""One pretraining: a corpus, a seed, a folder. It may be killed anywhere, and the same request goes on exactly.

<folder>/
  run.json                what is trained, and T; another request is refused
  evaluations.jsonl       a row per evaluation
  checkpoint/last         while it runs; `step-<n>` where `pretrain.checkpoints` keeps some
  model/                  the best evaluation's: a plain transformers folder with its tokenizer
  training_summary.json   last: with it the model is finished
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from raybert.durable import make_folder, remove_folder, remove_leftovers, sync_folder
from raybert.errors import TrialError
from raybert.files import read_json, write_json
from raybert.locks import locked
from raybert.pretraining.assemble import assemble, tokenizer_of
from raybert.pretraining.length import steps_of, steps_within
from raybert.pretraining.masked_model import MaskedModel
from raybert.pretraining.objective import Pretraining
from raybert.pretraining.packed_data import PackedData
from raybert.pretraining.progress import PretrainingProgress
from raybert.pretraining.records import CHECKPOINTS, SUMMARY, LocalRun, RunRecords
from raybert.pretraining.request import PretrainRequest, differing_keys, identity_of_request
from raybert.training.checkpoint import MARK, remove_last
from raybert.training.interface import FixedPasses, PassPlanner, Surroundings
from raybert.training.loop import fit
from raybert.training.memory.allocator import keep_memory
from raybert.training.request import FitRequest
from raybert.training.result import FitResult

FitFunction = Callable[[MaskedModel, PackedData, PassPlanner, FitRequest, Any, Pretraining], FitResult]
"""`raybert.training.fit`, or what does the same on several workers."""

MODEL = "model"
_RUN = "run.json"
_KEY_OF_TRAIN = re.compile(r"(?<![\w/.'-])(train\.|data\.(?=max_length))")
"""A key of a sweep file, as the training loop names it in messages; here it is one of `pretrain`."""


@dataclass(frozen=True)
class PretrainedModel:
    """A model, finished or not.

    Attributes:
        name: corpus and seed.
        folder: of the run; the model is in `model/`.
        summary: what `training_summary.json` holds; None: it was stopped before its end, and goes on from there.
        is_new: whether anything was trained just now.
    """

    name: str
    folder: Path
    summary: Mapping[str, Any] | None
    is_new: bool

    @property
    def model(self) -> Path:
        """The transformers folder."""
        return self.folder / MODEL


def pretrain(
    request: PretrainRequest,
    progress: PretrainingProgress | None = None,
    should_stop: Callable[[], bool] = lambda: False,
) -> PretrainedModel:
    """Train a model to its end, or go on with it; a finished one is not trained again.

    Args:
        request: what and where.
        progress: told of steps and evaluations.
        should_stop: asked between steps; once it is true the run saves its checkpoint and returns.

    Raises:
        TrialError: the folder belongs to another request, or the loss is not finite.
        ConfigError: the model or its length does not fit the corpus.
        ModelError: the encoder or the tokenizer cannot be loaded.
    """
    told = progress or PretrainingProgress()
    make_folder(request.folder)
    with locked(request.folder / ".lock"):
        return pretrain_within(request, lambda records: LocalRun(records, told, should_stop), told)


def pretrain_within(
    request: PretrainRequest,
    surround: Callable[[RunRecords], Surroundings],
    progress: PretrainingProgress,
    fit_function: FitFunction = fit,
) -> PretrainedModel:
    """Train a model to its end as `pretrain` does, where somebody else sees to it that its folder has one writer.

    Args:
        request: what and where.
        surround: returns where it is trained, which must write what the records have to write.
        progress: told what is prepared, found and finished.
        fit_function: trains; another one than `fit` gets the model on the CPU, and its workers are of the kind of
            `request.device`.

    Raises:
        RaybertError: as `pretrain`.
    """
    return _Run(request, surround, progress, fit_function).run()


def problem_with_folder(request: PretrainRequest) -> str | None:
    """Return why a request must not be run in its folder: another one was; None: nothing is in the way.

    Raises:
        ModelError: the encoder or the tokenizer cannot be loaded.
    """
    known = read_json(request.folder / _RUN)
    return None if known is None else _problem(request, known, identity_of_request(request, tokenizer_of(request)))


def _problem(request: PretrainRequest, known: Mapping[str, Any], identity: Mapping[str, Any]) -> str | None:
    if known["identity"] == identity:
        return None
    return (
        f"{request.folder}: belongs to another pretraining (differs in "
        f"{', '.join(differing_keys(known['identity'], identity))}); take another output folder, or delete it"
    )


def forget_checkpoints(folder: Path) -> None:
    """Remove from the folder of a finished run what only an unfinished one needs."""
    if any((folder / CHECKPOINTS).glob("step-*")):
        remove_last(folder / CHECKPOINTS)
    else:
        remove_folder(folder / CHECKPOINTS)


def known_steps(folder: Path) -> int:
    """Return T of the run in a folder; 0: it is not known yet."""
    steps = (read_json(folder / _RUN) or {}).get("total_steps")
    return steps if isinstance(steps, int) else 0


class _Run:
    """A request at work."""

    def __init__(
        self,
        request: PretrainRequest,
        surround: Callable[[RunRecords], Surroundings],
        progress: PretrainingProgress,
        fit_function: FitFunction,
    ) -> None:
        self.request, self.progress, self.surround, self.fit = request, progress, surround, fit_function
        self.folder, self.config = request.folder, request.pretrain
        self.tokenizer = tokenizer_of(request)
        self.identity = identity_of_request(request, self.tokenizer)

    def run(self) -> PretrainedModel:
        known = read_json(self.folder / _RUN)
        problem = None if known is None else _problem(self.request, known, self.identity)
        if problem is not None:
            raise TrialError(problem)
        summary = read_json(self.folder / SUMMARY)
        if summary is not None:
            forget_checkpoints(self.folder)
            self.progress.found(self.request.name, summary)
            return PretrainedModel(self.request.name, self.folder, summary, is_new=False)
        if not self._is_trained() and not self._train(known):
            return PretrainedModel(self.request.name, self.folder, None, is_new=True)
        summary = self._publish()
        self.progress.ended(self.request.name, summary)
        return PretrainedModel(self.request.name, self.folder, summary, is_new=True)

    def _train(self, known: Mapping[str, Any] | None) -> bool:
        """Train to the end; return False if it was stopped before."""
        keep_memory()
        remove_leftovers(self.folder)
        self.progress.preparing(self.request.name)
        assembled = assemble(self.request, self.tokenizer, is_placed=self.fit is fit)
        built, data, objective = assembled.built, assembled.data, assembled.objective
        if known is None:
            known = {"identity": self.identity, "total_steps": self._total_steps(objective)}
            if self.request.model.encoder is not None and self.fit is fit:
                known["before"] = {f"validation_{name}": value for name, value in objective.evaluate().items()}
            write_json(self.folder / _RUN, known)
        total = known["total_steps"]
        records = RunRecords(
            self.request, self.identity, self.tokenizer, built, objective, total, before=known.get("before") or {}
        )
        fit_request = FitRequest(self.config.as_train(total), total, self.request.seed, evaluate_test=False)
        planner = FixedPasses(np.arange(len(data.train)))
        try:
            result = self.fit(built.model, data, planner, fit_request, self.surround(records), objective)
        except TrialError as error:
            words = _KEY_OF_TRAIN.sub("pretrain.", str(error))
            raise TrialError(words, kind=error.kind) from error
        return not result.stopped

    def _total_steps(self, objective: Pretraining) -> int:
        table, length = objective.data.train, self.config.length
        if length.hours is None:
            return steps_of(length, table, self.config.batch_size)
        self.progress.note(f"{self.request.name}: timing the first steps")
        return steps_within(length.hours * 3600, objective, self.config, self.request.seed)

    def _is_trained(self) -> bool:
        return any((self.folder / place / MARK).exists() for place in (f"{CHECKPOINTS}/best", MODEL))

    def _publish(self) -> dict[str, Any]:
        """Move the best model to its place, and say that it is finished."""
        best, model = self.folder / CHECKPOINTS / "best", self.folder / MODEL
        if (best / MARK).exists():
            remove_folder(model)
            os.rename(best, model)
            sync_folder(self.folder)
        summary = read_json(model / SUMMARY)
        if summary is None:
            raise TrialError(f"{model / SUMMARY}: must be as raybert wrote it, but is damaged; delete {self.folder}")
        write_json(self.folder / SUMMARY, summary)
        forget_checkpoints(self.folder)
        return summary
