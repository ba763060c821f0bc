"""`raybert explain` of a token model: where the heads of its encoder attend in given texts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import torch

from raybert.config.tasks import CLASSIFICATION, REGRESSION, Task
from raybert.data.targets import NO_LABEL
from raybert.errors import ConfigError, DataError, ModelError
from raybert.evaluation.trained_model import TokenReader, TrainedModel
from raybert.training import Inference
from raybert.training.inference import eval_mode
from raybert.training.monitor.attention import eager_attention

Text = str | tuple[str, str]
"""A text, or the two of a pair."""


@dataclass(frozen=True)
class TokenExplanation:
    """What a token model attends to in some texts.

    Attributes:
        label_names: class number -> name.
        names: of each text: split and row, or its number among those given.
        texts: as they were read.
        pieces: (b,) word pieces of each, special ones included.
        attention: (b,) arrays (layers, heads, m, m): row by row what a piece attends to; rows sum to 1.
        probs: (b, C).
        layer: the layer that tables and pictures are of, from 0.
        task: what the model predicts.
    """

    label_names: tuple[str, ...]
    names: tuple[str, ...]
    texts: tuple[Text, ...]
    pieces: tuple[tuple[str, ...], ...]
    attention: tuple[np.ndarray, ...]
    probs: np.ndarray
    layer: int
    task: Task = CLASSIFICATION

    def predicted_words(self, place: int) -> str:
        """Return what is predicted of a text: `travel (0.93)`, of several labels each, of numbers the number."""
        probs = self.probs[place]
        if self.task == REGRESSION:
            return f"{self.label_names[0]} {probs[0]:.4g}"
        chosen = [int(probs.argmax())] if self.task == CLASSIFICATION else np.flatnonzero(probs >= 0.5).tolist()
        return ", ".join(f"{self.label_names[k]} ({probs[k]:.2f})" for k in chosen) or NO_LABEL

    @property
    def documents(self) -> pd.DataFrame:
        """A row for each word piece: `ATTENDED`."""
        frames = []
        for name, pieces, attention in zip(self.names, self.pieces, self.attention, strict=True):
            mean = attention[self.layer].mean(axis=0)  # (m, m)
            columns = {
                "text": name,
                "place": range(len(pieces)),
                "piece": pieces,
                "received": mean.mean(axis=0),
                "of_first": mean[0],
            }
            frames.append(pd.DataFrame(columns))
        return pd.concat(frames, ignore_index=True)

    def __repr__(self) -> str:
        return f"<TokenExplanation: {len(self.names)} texts, layer {self.layer} of {len(self.attention[0])}>"


def explain_texts(
    model: TrainedModel, texts: Sequence[Text], names: Sequence[str], layer: int | None = None
) -> TokenExplanation:
    """Return what a token model attends to in texts, each in a forward pass of its own, in float32.

    Args:
        model: a token model.
        texts: what is read; pairs for a model of pairs.
        names: what to call each.
        layer: that tables and pictures are of, from 0; default: the last one.

    Raises:
        ConfigError: no such layer.
        DataError: texts for pairs, or pairs for texts.
        ModelError: the encoder gives no attention weights.
    """
    reader = model.reader
    assert isinstance(reader, TokenReader)
    table, batches = reader.read(_examples(model, texts))
    backbone = getattr(model.model, "base_model", None)
    refusal = f"{model.folder}: {type(backbone).__name__} gives no attention weights, there is nothing to explain"
    pieces, attention = [], []
    for row in range(len(texts)):
        inputs = batches.batch(table, np.array([row]))
        inputs = {name: tensor.to(next(model.model.parameters()).device) for name, tensor in inputs.items()}
        del inputs["labels"]
        attention.append(_attention(backbone, inputs, refusal))
        pieces.append(tuple(reader.tokenizer.convert_ids_to_tokens(inputs["input_ids"][0].tolist())))
    num_layers = len(attention[0])
    chosen = num_layers - 1 if layer is None else layer
    if not 0 <= chosen < num_layers:
        raise ConfigError(f"layer: must be in 0..{num_layers - 1} (layers of the encoder), got {layer}")
    probs = Inference(model.model, batches, "fp32").probs(table)
    return TokenExplanation(
        label_names=model.description.label_names,
        names=tuple(names),
        texts=tuple(texts),
        pieces=tuple(pieces),
        attention=tuple(attention),
        probs=probs,
        layer=chosen,
        task=model.description.task,
    )


def _attention(backbone: Any, inputs: dict[str, torch.Tensor], refusal: str) -> np.ndarray:
    """Return (layers, heads, m, m) float32 of one text."""
    device = inputs["input_ids"].device
    try:
        with (
            eager_attention(backbone),
            eval_mode(backbone),
            torch.no_grad(),
            torch.autocast(device.type, enabled=False),
        ):
            found = backbone(**inputs, output_attentions=True).attentions
    except ModelError:
        raise ModelError(refusal) from None
    if not found or any(each is None for each in found):
        raise ModelError(refusal)
    return np.stack([each[0].float().cpu().numpy() for each in found])


def _examples(model: TrainedModel, texts: Sequence[Text]) -> pa.Table:
    is_pair = model.description.columns.text_pair is not None
    if any(isinstance(text, str) is is_pair for text in texts):
        wanted, got = ("pairs (text, text_pair)", "a single text") if is_pair else ("single texts", "a pair")
        raise DataError(f"texts: {model.folder} was trained on {wanted}, got {got}")
    firsts = [text if isinstance(text, str) else text[0] for text in texts]
    columns = {"text": pa.array(firsts, pa.string()), "label": pa.array(np.zeros(len(texts), np.int64))}
    if is_pair:
        columns["text_pair"] = pa.array([text[1] for text in texts], pa.string())
    return pa.table(columns)
