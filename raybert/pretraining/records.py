"""What a pretraining writes beside its checkpoints: evaluations as they come, and the summary of its model."""

from __future__ import annotations

import math
import platform
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import tokenizers
import torch
import transformers

from raybert.files import read_json_lines, write_json, write_json_lines
from raybert.models.capacity import stated_positions
from raybert.models.encoder import as_trained
from raybert.pretraining.build import BuiltModel
from raybert.pretraining.objective import Pretraining
from raybert.pretraining.packing import PackedTable
from raybert.pretraining.progress import PretrainingProgress
from raybert.pretraining.request import PretrainRequest
from raybert.training.interface import LocalSurroundings
from raybert.training.ran_on import RanOn
from raybert.version import __version__

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

SUMMARY, CHECKPOINTS = "training_summary.json", "checkpoint"
_ROWS = "evaluations.jsonl"


@dataclass
class RunRecords:
    """What a run leaves in its folder; can be sent to a worker, together with the model and the objective.

    Attributes:
        request: of the run.
        identity: of the request.
        tokenizer: that goes into the folder of the model.
        built: the model at its beginning.
        objective: of the run.
        total_steps: T.
        ran_on: on what and how it computes; None: it has not begun.
        before: what an encoder that goes on was measured by before its first step; empty: nobody has measured it.
    """

    request: PretrainRequest
    identity: Mapping[str, Any]
    tokenizer: PreTrainedTokenizerFast
    built: BuiltModel
    objective: Pretraining
    total_steps: int
    ran_on: RanOn | None = None
    before: Mapping[str, float] = field(default_factory=dict)

    def write(self, row: Mapping[str, Any]) -> None:
        """Write an evaluation; those behind it are of before the run was killed, and come again."""
        path = self.request.folder / _ROWS
        before = [old for old in read_json_lines(path) if old["evaluation"] < row["evaluation"]]
        write_json_lines(path, [*before, row])

    def complete(self, folder: Path) -> None:
        """Add tokenizer and summary to the folder of the best model."""
        tokenizer = as_trained(self.tokenizer, None)
        stated = stated_positions(self.built.model.config)
        if stated is not None:
            tokenizer.model_max_length = stated - self.built.model.first_place
        tokenizer.save_pretrained(folder)
        write_json(folder / SUMMARY, self._summary())

    def _summary(self) -> dict[str, Any]:
        request, data = self.request, self.objective.data
        rows = read_json_lines(request.folder / _ROWS)
        best = min(rows, key=_loss_of) if rows else {}
        parameters = {id(each): each.numel() for each in self.built.model.parameters()}
        return {
            "name": request.name,
            "corpus": request.corpus.name,
            "seed": request.seed,
            **({"before": dict(self.before)} if self.before else {}),
            "best": best,
            "last": rows[-1] if rows else {},
            "total_steps": self.total_steps,
            "steps": rows[-1]["step"] if rows else 0,
            "tokens": self.objective.tokens,
            "seconds": rows[-1]["seconds"] if rows else 0.0,
            "stopped_early": bool(rows) and rows[-1]["step"] < self.total_steps,
            "padding_share": 1.0 - self.objective.tokens / max(1, self.objective.cells),
            "parameters": sum(parameters.values()),
            "corpora": request.corpus.counts,
            "train": _table_facts(data.train, request.pretrain.max_length),
            "validation": _table_facts(data.validation, request.pretrain.max_length),
            "ran_on": None if self.ran_on is None else self.ran_on.columns(),
            "notes": [*self.built.notes, *request.corpus.notes],
            "configuration": {
                "model": request.model.model_dump(mode="json"),
                "pretrain": request.pretrain.model_dump(mode="json"),
                "tokenizer": str(request.tokenizer),
            },
            "identity": self.identity,
            "versions": {
                "raybert": __version__,
                "python": platform.python_version(),
                "torch": torch.__version__,
                "transformers": transformers.__version__,
                "tokenizers": tokenizers.__version__,
            },
        }


class LocalRun(LocalSurroundings):
    """The surroundings of a run in one process that nobody else looks after.

    Args:
        records: of the run.
        progress: told of steps and evaluations.
        should_stop: asked between steps.
    """

    def __init__(self, records: RunRecords, progress: PretrainingProgress, should_stop: Callable[[], bool]) -> None:
        super().__init__(records.request.folder / CHECKPOINTS)
        self._records, self._progress, self._asked = records, progress, should_stop

    def begun(self, ran_on: RanOn) -> None:
        self._records.ran_on = ran_on
        self._progress.started(self._records.request.name, self._records.total_steps, str(ran_on))

    def stepped(self, step: int) -> None:
        self._progress.stepped(step)

    def should_stop(self) -> bool:
        return bool(self._asked())

    def report(self, row: Mapping[str, Any]) -> None:
        self._records.write(row)
        self._progress.evaluated(row)

    def complete_model(self, folder: Path) -> None:
        self._records.complete(folder)


def _loss_of(row: Mapping[str, Any]) -> float:
    """Return the loss that the best evaluation has the lowest of; what is not a number is the highest."""
    loss = float(row["validation_loss"])
    return math.inf if math.isnan(loss) else loss


def _table_facts(table: PackedTable, max_length: int) -> dict[str, Any]:
    return {
        "sequences": len(table),
        "documents": len(np.unique(table.documents)),
        "tokens": int(table.offsets[-1]),
        "padding_share": table.padding_share(max_length),
    }
