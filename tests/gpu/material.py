"""Models and texts of the check: random weights and random word pieces, but real shapes and real lengths."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import (
    BertConfig,
    BertForMaskedLM,
    BertForSequenceClassification,
    ModernBertConfig,
    ModernBertForMaskedLM,
    ModernBertForSequenceClassification,
)

from raybert.config import TrainConfig
from raybert.data import TokenizedData, TokenTable
from raybert.models import keep_head_in_float32
from raybert.models.unpadded import read_unpadded
from raybert.pretraining.masked_model import MaskedModel
from raybert.pretraining.masking import Masking
from raybert.pretraining.packed_data import PackedData
from raybert.pretraining.packing import PackedTable
from raybert.training import FitRequest, FitResult, FixedPasses, LocalSurroundings, fit
from raybert.training.optimization.precision import resolve_precision

LENGTHS = {
    128: (21, 31, 36, 39, 41, 43, 44, 46, 47, 49, 50, 52, 54, 55, 57, 60, 62, 66, 71, 83, 265),
    512: (13, 88, 122, 146, 154, 165, 173, 183, 197, 210, 226, 246, 267, 296, 331, 376, 436, 499, 596, 796, 2315),
}
"""Quantiles (every 5 %) of word pieces of BERT, special ones included, by the maximal length that texts are cut to: of
2,000 texts of AG News, and of IMDb."""
NUM_CLASSES = 4
CLASSES = ("one", "two", "three", "four")
_SPECIAL, _OF_A_CLASS, _SHARE_OF_CLASS = 10, 40, 0.2
MASK_ID = 4


@dataclass(frozen=True)
class Scale:
    """How large the check is: real models on a GPU, tiny ones where it is only tried out.

    Attributes:
        device: to compute on.
        is_tiny: whether models and texts are tiny, and steps few.
        output: folder for logs.
    """

    device: torch.device
    is_tiny: bool
    output: Path

    @property
    def on_gpu(self) -> bool:
        """Whether there is a GPU."""
        return self.device.type == "cuda"

    @property
    def batch_size(self) -> int:
        """Examples per optimizer step."""
        return 4 if self.is_tiny else 32

    @cached_property
    def half(self) -> str:
        """The format of `train.precision: auto`; bf16 where there is no GPU."""
        return resolve_precision("auto", self.device).name if self.on_gpu else "bf16"

    @property
    def fulls(self) -> tuple[int, ...]:
        """Maximal lengths, the one that matters most first."""
        return (128,) if self.is_tiny else (512, 128)

    def steps(self, full: int) -> int:
        """Return how many steps stand for `full` ones."""
        return 3 if self.is_tiny else full

    def length(self, full: int) -> int:
        """Return which maximal length stands for 128 or 512."""
        return full // 8 if self.is_tiny else full

    def sync(self) -> None:
        """Wait until the device has done everything."""
        if self.on_gpu:
            torch.cuda.synchronize(self.device)


def lengths_like(count: int, full: int, longest: int, generator: np.random.Generator) -> np.ndarray:
    """Return (count,) int64 lengths as texts have them, cut to `longest`.

    Args:
        count: how many.
        full: 128 or 512, whose quantiles are taken.
        longest: the maximal length; where it is less than `full`, all are shorter by as much.
        generator: draws them.
    """
    quantiles = np.array(LENGTHS[full]) * longest / full
    drawn = np.interp(generator.random(count), np.linspace(0, 1, len(quantiles)), quantiles)
    return np.clip(drawn.round(), 3, longest).astype(np.int64)


def texts(scale: Scale, count: int, full: int, *, seed: int = 0, vocabulary: int | None = None) -> TokenizedData:
    """Return a pool of `count` texts whose classes can be learned, and a few for validation and test."""
    generator = np.random.default_rng(seed)
    size = vocabulary or (400 if scale.is_tiny else 30_522)
    sizes = (count, 2 * NUM_CLASSES, 2 * NUM_CLASSES)
    tables = [_table(n, full, scale.length(full), size, generator) for n in sizes]
    ids = np.array([f"text {number}" for number in range(count)], np.str_)
    return TokenizedData(*tables, ids, CLASSES, 0, True, f"synthetic {count} {full} {seed} {size}")


def _table(count: int, full: int, longest: int, vocabulary: int, generator: np.random.Generator) -> TokenTable:
    lengths = lengths_like(count, full, longest, generator)
    offsets = np.r_[0, np.cumsum(lengths)]
    labels = np.arange(count) % NUM_CLASSES
    ids = generator.integers(_SPECIAL, vocabulary, offsets[-1])
    of_class = generator.random(offsets[-1]) < _SHARE_OF_CLASS
    own = _SPECIAL + _OF_A_CLASS * np.repeat(labels, lengths) + generator.integers(0, _OF_A_CLASS, offsets[-1])
    ids[of_class] = own[of_class]
    ids[offsets[:-1]], ids[offsets[1:] - 1] = 2, 3
    return TokenTable(ids.astype(np.int32), offsets, lengths.astype(np.int32), labels)


def configuration(scale: Scale, kind: str, *, dropout: bool = True) -> Any:
    """Return the configuration of BERT-base or ModernBERT-base, or of a tiny one of its kind."""
    names = {"id2label": dict(enumerate(CLASSES)), "label2id": {name: i for i, name in enumerate(CLASSES)}}
    tiny = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 48}
    if kind == "bert":
        none = {} if dropout else {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
        return BertConfig(**names, **none, **({**tiny, "vocab_size": 400} if scale.is_tiny else {}))
    own = {"bos_token_id": 2, "cls_token_id": 2, "eos_token_id": 3, "sep_token_id": 3, "pad_token_id": 0}
    size = {**tiny, "vocab_size": 400, "local_attention": 16} if scale.is_tiny else {"vocab_size": 50_368}
    return ModernBertConfig(**names, **own, **size)


def classifier(scale: Scale, kind: str, *, attention: str = "sdpa", dropout: bool = True, seed: int = 0) -> Any:
    """Return a classifier with random weights, the same ones for a seed, on the device."""
    config = configuration(scale, kind, dropout=dropout)
    config._attn_implementation = "sdpa" if attention == "unpadded" else attention
    made = {"bert": BertForSequenceClassification, "modernbert": ModernBertForSequenceClassification}[kind]
    torch.manual_seed(seed)
    with scale.device:  # where random weights are drawn quickly
        model = made(config).train()
    return keep_head_in_float32(read_unpadded(model) if attention == "unpadded" else model)


def masked_model(scale: Scale, kind: str, attention: str) -> MaskedModel:
    """Return a masked language model with random weights, on the device."""
    made = {"bert": BertForMaskedLM, "modernbert": ModernBertForMaskedLM}[kind]
    torch.manual_seed(0)
    with scale.device:
        model = MaskedModel(made(configuration(scale, kind))).train()
    model.set_attention(attention)
    return model


def packed(scale: Scale, count: int, full: int) -> PackedData:
    """Return `count` packed sequences, each filled with texts of real lengths, and a few for validation."""
    generator = np.random.default_rng(0)
    train, validation = (_packed_table(scale, n, full, generator) for n in (count, 4))
    return PackedData(train, validation, 0)


def _packed_table(scale: Scale, count: int, full: int, generator: np.random.Generator) -> PackedTable:
    longest, vocabulary = scale.length(full), 400 if scale.is_tiny else 30_522
    segments, places, sizes = [], [], []
    for _ in range(count):
        lengths = lengths_like(2 * longest // 3 + 1, 128, max(4, longest // (full // 128)), generator)
        lengths = lengths[: int(np.searchsorted(np.cumsum(lengths), longest, side="right"))]
        segments.append(np.repeat(np.arange(len(lengths)), lengths))
        places.append(np.concatenate([np.arange(length) for length in lengths]))
        sizes.append(lengths.sum())
    offsets = np.r_[0, np.cumsum(sizes)].astype(np.int64)
    ids = generator.integers(_SPECIAL, vocabulary, offsets[-1]).astype(np.int32)
    one, place = np.concatenate(segments).astype(np.int32), np.concatenate(places).astype(np.int32)
    ids[place == 0] = 2
    return PackedTable(ids, offsets, one, place, np.zeros(len(ids), np.int32), np.ones(len(ids), bool))


def masking(scale: Scale) -> Masking:
    """Return the usual masking of the random pieces."""
    is_special = np.arange(400 if scale.is_tiny else 30_522) < _SPECIAL
    return Masking(0.15, 0.8, 0.1, False, MASK_ID, np.flatnonzero(~is_special), is_special)


def train(
    scale: Scale,
    model: Any,
    data: Any,
    steps: int,
    *,
    folder: Path | None = None,
    stop_after: int | None = None,
    objective: Any = None,
    **changed: Any,
) -> FitResult:
    """Train for some steps over the pool in random order, without evaluation in between."""
    given = {"batch_size": scale.batch_size, "eval_every": steps, "learning_rate": 5e-5, "checkpoint_seconds": 1e9}
    config = TrainConfig.model_validate({**given, "precision": scale.half, **changed})
    surroundings = _Stopping(folder, stop_after=stop_after)
    request = FitRequest(config, steps, seed=0, evaluate_test=False)
    return fit(model, data, FixedPasses(np.arange(len(data.train))), request, surroundings, objective)


@dataclass
class _Stopping(LocalSurroundings):
    """Asks to stop after some steps."""

    stop_after: int | None = None
    done: int = 0

    def stepped(self, step: int) -> None:
        self.done = step

    def should_stop(self) -> bool:
        return self.stop_after is not None and self.done >= self.stop_after


def scratch() -> tempfile.TemporaryDirectory[str]:
    """Return a folder that is deleted at the end of a `with` block."""
    return tempfile.TemporaryDirectory(prefix="raybert-check-")
