"""The objective of pretraining: masked language modelling, a contrastive loss on sentences, or both."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from raybert.config.pretrain import ContrastiveConfig
from raybert.data import scoring_batches
from raybert.pretraining.contrast import contrastive_losses, pooled
from raybert.pretraining.masked_model import MaskedModel
from raybert.pretraining.masking import Masking
from raybert.pretraining.packed_data import PackedData, filled_with
from raybert.pretraining.packing import PackedTable
from raybert.training.inference import eval_mode
from raybert.training.interface import PassPlan
from raybert.training.objective import Losses, Measured
from raybert.training.optimization.precision import resolve_precision
from raybert.training.pulse import pulse
from raybert.training.state import Row
from raybert.training.transfer import to_device

_OF_VALIDATION = 2**63
"""Stands for the seed of masks of validation, and for its pass: they are the same for every model."""
_TOKENS_PER_FORWARD = 16_384


@dataclass
class Pretraining:
    """What a pretrained model minimises and is measured by.

    The loss of a step is the mean over all masked pieces of the whole batch, whatever micro-batches and ranks, plus
    `weight` times the mean of the contrastive loss over its sentences.

    Attributes:
        model: on the device to use.
        data: of the run.
        seed: of masks.
        precision: as in `train.precision`.
        masking: None: no masked language modelling.
        contrastive: None: none.
        identity: what the weights depend on beside the train section.
    """

    model: MaskedModel
    data: PackedData
    seed: int
    precision: str
    masking: Masking | None
    contrastive: ContrastiveConfig | None = None
    identity: Mapping[str, Any] = field(default_factory=dict)
    tokens: int = 0
    cells: int = 0
    _number: int = 0
    _drawn: dict[int, tuple[np.ndarray, np.ndarray]] = field(default_factory=dict)
    _sentences: np.ndarray | None = None

    @property
    def notes(self) -> tuple[str, ...]:
        """None."""
        return ()

    @property
    def group_size(self) -> int:
        """Sequences whose sentences are each other's negatives."""
        return 1 if self.contrastive is None else self.contrastive.group

    def begin_pass(self, plan: PassPlan, number: int) -> None:
        self._number = number
        self._drawn = {}

    def inputs(self, positions: np.ndarray) -> dict[str, torch.Tensor]:
        """Return packed rows, masked, and as often again as they are as there are views."""
        positions = positions if len(positions) else np.zeros(1, np.int64)
        return self._inputs(self.data.train, positions, self.seed, self._number)

    def denominators(self, batch: np.ndarray) -> tuple[float, ...]:
        """Return the masked pieces of a batch, and its sentences."""
        counts = []
        if self.masking is not None:
            self._drawn = {int(row): self._draw(self.data.train, int(row), self.seed, self._number) for row in batch}
            counts.append(sum(int(chosen.sum()) for _, chosen in self._drawn.values()))
        if self.contrastive is not None:
            if self._sentences is None:
                table = self.data.train
                self._sentences = 1 + np.maximum.reduceat(table.segments, table.offsets[:-1]).astype(np.int64)
            counts.append(int(self._sentences[batch].sum()))
        return tuple(float(max(1, count)) for count in counts)

    def forward(self, module: Any, inputs: dict[str, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Return hidden states of all pieces, and logits of the masked ones."""
        outputs: tuple[torch.Tensor, torch.Tensor | None] = module(
            inputs["input_ids"],
            inputs["segments"],
            inputs["places"],
            inputs.get("masked_at"),
            inputs.get("filled_at"),
            inputs.get("segment_starts"),
        )
        return outputs

    def losses(self, outputs: tuple[torch.Tensor, torch.Tensor | None], inputs: dict[str, torch.Tensor]) -> Losses:
        hidden, logits = outputs
        num_rows = len(inputs["segments"]) // self._views
        terms, shown = [], None
        if logits is not None:
            scores = logits.float()  # once: argmax of bf16 takes six times as long on a CPU
            values = functional.cross_entropy(scores, inputs["labels"], reduction="none")
            hits = (scores.detach().argmax(dim=-1) == inputs["labels"]).float()
            terms.append(_by_row(values, inputs["rows"], num_rows))
            shown = _means(terms[0].detach(), hits, inputs["rows"], num_rows)
        if self.contrastive is not None:
            values, hits = self._contrast(hidden, inputs, num_rows)
            terms.append(self.contrastive.weight * _by_row(values, inputs["sentence_rows"], num_rows))
            if shown is None:
                shown = _means(
                    _by_row(values.detach(), inputs["sentence_rows"], num_rows), hits.float(), inputs["sentence_rows"],
                    num_rows,
                )  # fmt: skip
        assert shown is not None
        return Losses(tuple(terms), *shown)

    def evaluate(self) -> dict[str, float]:
        """Return loss, perplexity and masked accuracy on validation, and those of the contrastive task."""
        loss = 0.0
        metrics: dict[str, float] = {}
        if self.masking is not None:
            masked, accuracy = replace(self, contrastive=None)._validation_means()
            loss += masked
            metrics |= {"perplexity": perplexity(masked), "masked_accuracy": accuracy}
        if self.contrastive is not None:
            contrast, accuracy = replace(self, masking=None)._validation_means()
            loss += self.contrastive.weight * contrast
            metrics |= {"contrastive_loss": contrast, "contrastive_accuracy": accuracy}
        return {"loss": loss, **metrics}

    def row(self, values: Mapping[str, Any]) -> Row:
        return {name: value for name, value in values.items() if name != "samples"} | {"tokens": self.tokens}

    def finish(self, *, evaluate_test: bool) -> Measured:
        """Measure nothing: validation is, and test is for what compares models."""
        return Measured()

    def stepped(self, batch: np.ndarray) -> None:
        lengths = self.data.train.lengths[batch]
        self.tokens += int(lengths.sum())
        self.cells += int(lengths.max()) * len(batch)

    def state(self) -> dict[str, Any]:
        return {"tokens": self.tokens, "cells": self.cells}

    def load(self, saved: Mapping[str, Any]) -> None:
        self.tokens, self.cells = int(saved["tokens"]), int(saved["cells"])

    @property
    def _views(self) -> int:
        """How often a row is in a forward pass: masked, and two views."""
        return (self.masking is not None) + 2 * (self.contrastive is not None)

    def _draw(self, table: PackedTable, row: int, seed: int, number: int) -> tuple[np.ndarray, np.ndarray]:
        assert self.masking is not None
        piece = slice(table.offsets[row], table.offsets[row + 1])
        return self.masking.draw(seed, number, row, table.ids[piece], table.begins_word[piece])

    def _inputs(self, table: PackedTable, positions: np.ndarray, seed: int, number: int) -> dict[str, torch.Tensor]:
        batch = self.data.batch(table, positions)
        at, filled = table.rows(positions)
        where = np.flatnonzero(filled)  # of every piece, in the flattened batch
        width = filled.shape[1]
        inputs = {name: batch[name].repeat(self._views, 1) for name in ("segments", "places")}
        rows = [batch["input_ids"]] * self._views
        if self.masking is not None:
            known = self._drawn if table is self.data.train else {}
            drawn = [known.get(int(row)) or self._draw(table, int(row), seed, number) for row in positions]
            chosen = np.concatenate([mask for _, mask in drawn])
            rows[0] = filled_with(np.concatenate([ids for ids, _ in drawn]), filled, self.data.pad_id)
            inputs["masked_at"] = torch.from_numpy(where[chosen])
            inputs["labels"] = torch.from_numpy(table.ids[at][chosen].astype(np.int64))
            inputs["rows"] = torch.from_numpy(where[chosen] // width)
        firsts = np.r_[True, np.diff(table.segments[at] + (where // width) * table.ids.size) != 0]
        if self.model.is_unpadded:
            views = np.arange(self._views)[:, None]
            starts = (np.flatnonzero(firsts) + views * len(where)).ravel()
            inputs["filled_at"] = torch.from_numpy((where + views * filled.size).ravel())
            inputs["segment_starts"] = torch.from_numpy(np.r_[starts, self._views * len(where)].astype(np.int32))
        if self.contrastive is not None:
            sentence = np.cumsum(firsts) - 1
            row = where[firsts] // width
            inputs["sentence_of_piece"] = torch.from_numpy(sentence)
            inputs["pieces"] = torch.from_numpy(where)
            inputs["sentence_rows"] = torch.from_numpy(row)
            inputs["groups"] = torch.from_numpy(row // self.group_size)
            inputs["documents"] = torch.from_numpy(table.documents[at][firsts].astype(np.int64))
        inputs["input_ids"] = torch.cat(rows)
        return inputs

    def _contrast(
        self, hidden: torch.Tensor, inputs: dict[str, torch.Tensor], num_rows: int
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return loss and hit of every sentence."""
        assert self.contrastive is not None
        cells = num_rows * inputs["segments"].shape[1]
        count = len(inputs["groups"])
        first, second = (
            pooled(hidden.index_select(0, inputs["pieces"] + view * cells), inputs["sentence_of_piece"], count)
            for view in range(self._views - 2, self._views)
        )
        temperature = self.contrastive.temperature
        return contrastive_losses(first, second, inputs["groups"], inputs["documents"], temperature)

    def _validation_batches(self, table: PackedTable) -> list[np.ndarray]:
        if self.contrastive is None:
            return scoring_batches(table.lengths, np.arange(len(table)), _TOKENS_PER_FORWARD)
        size = max(1, _TOKENS_PER_FORWARD // int(table.lengths.max()) // self.group_size) * self.group_size
        return [np.arange(start, min(start + size, len(table))) for start in range(0, len(table), size)]

    def _validation_means(self) -> tuple[float, float]:
        """Return mean loss and share of hits over all predictions of validation, of the one task that this has."""
        table, device = self.data.validation, next(self.model.parameters()).device
        precision = resolve_precision(self.precision, device)
        sums = torch.zeros(3, dtype=torch.float64, device=device)
        devices = [device] if device.type == "cuda" else []
        with torch.random.fork_rng(devices=devices), torch.inference_mode(), eval_mode(self.model):
            torch.manual_seed(0)  # of dropout, by which two views differ: the same at every evaluation
            self.model.train(self.contrastive is not None)
            for positions in self._validation_batches(table):
                pulse()
                inputs = to_device(self._inputs(table, positions, _OF_VALIDATION, _OF_VALIDATION), device)
                with precision.autocast(device):
                    hidden, logits = self.forward(self.model, inputs)
                if logits is None:
                    values, hits = self._contrast(hidden, inputs, len(positions))
                else:
                    scores = logits.float()
                    values = functional.cross_entropy(scores, inputs["labels"], reduction="none")
                    hits = scores.argmax(dim=-1) == inputs["labels"]
                sums += torch.stack(
                    [values.double().sum(), hits.double().sum(), torch.full((), len(values), device=device)]
                )
        loss, hits_sum, count = sums.tolist()
        return loss / max(1.0, count), hits_sum / max(1.0, count)


def perplexity(loss: float) -> float:
    """Return exp(mean loss per masked piece, in nat); infinite where a float cannot hold it."""
    try:
        return math.exp(loss)
    except OverflowError:
        return math.inf


def _by_row(values: torch.Tensor, rows: torch.Tensor, num_rows: int) -> torch.Tensor:
    return values.new_zeros(num_rows).index_add(0, rows, values)


def _means(
    losses: torch.Tensor, hits: torch.Tensor, rows: torch.Tensor, num_rows: int
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return mean loss, hits and number of the predictions of every row; a row without any has loss 0."""
    counts = _by_row(torch.ones_like(hits), rows, num_rows)  # `bincount` would wait for a GPU
    return losses / counts.clamp(min=1), _by_row(hits, rows, num_rows), counts
