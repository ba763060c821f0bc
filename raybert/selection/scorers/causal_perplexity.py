"""Perplexity: how well a causal language model predicts each word piece of a text from those before it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from transformers import AutoModelForCausalLM
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

from raybert.errors import ConfigError, ModelError
from raybert.models import Encoder, load_tokenizer
from raybert.models.capacity import stated_positions
from raybert.models.classifier import keep_head_in_float32
from raybert.models.pretrained import read_config, read_model
from raybert.selection.scorers.perplexity import logits_at, padded
from raybert.selection.scorers.scorer import ScoreFunction, ScoringData
from raybert.selection.scorers.text import joined_texts
from raybert.training.optimization.precision import resolve_precision
from raybert.training.pulse import pulse

_KEY = "selection.scorers.perplexity"
_MOST_LOGITS = 1 << 27
"""Of a forward pass, in numbers: half a GiB. Every piece of a text is predicted, of a vocabulary of 50,000 or more."""
_ROUNDING = 1e-4
"""Share of what another piece changes behind it that may be rounding before it."""


def causal_perplexity(
    model: Any,
    rows: Sequence[np.ndarray],
    counted: Sequence[np.ndarray],
    *,
    max_tokens: int = 16384,
    precision: str = "fp32",
) -> np.ndarray:
    """Return (n,) float64 exp(mean negative log-likelihood) of the pieces that count, NaN for a text without any.

    Args:
        model: a causal language model in eval mode.
        rows: per text its piece ids.
        counted: per text a mask of the pieces that count. The first one never does: nothing comes before it.
        max_tokens: word pieces per forward pass, padding included.
        precision: of the model but its head; the log-softmax is always in float32.
    """
    device = next(model.parameters()).device
    totals, counts = np.zeros(len(rows)), np.zeros(len(rows))
    most = min(max_tokens, max(1, _MOST_LOGITS // int(model.config.get_text_config().vocab_size)))
    with torch.inference_mode():
        for batch in _batches(rows, counted, most):
            pulse()
            # Padding is behind the pieces: a causal model does not see it.
            ids, mask = padded([rows[text] for text in batch], 0)
            wanted = padded([counted[text] for text in batch], 0)[0][:, 1:]
            row, column = (part.to(device) for part in torch.nonzero(wanted, as_tuple=True))
            inputs = {"input_ids": ids.to(device), "attention_mask": mask.to(device)}
            with resolve_precision(precision, device).autocast(device):
                logits = logits_at(model, inputs, row, column)
            losses = torch.nn.functional.cross_entropy(logits, inputs["input_ids"][row, column + 1], reduction="none")
            texts = np.array(batch)[row.cpu().numpy()]
            np.add.at(totals, texts, losses.double().cpu().numpy())
            np.add.at(counts, texts, 1)
    means = np.divide(totals, counts, out=np.full(len(rows), np.nan), where=counts > 0)
    return np.asarray(np.exp(means))


def check_causal_model(encoder: Encoder, max_length: int) -> None:
    """Refuse files that are no causal language model for texts of a length.

    Raises:
        ModelError: the architecture is none, weights are missing, or it sees the pieces that follow.
        ConfigError: it has too few positions.
    """
    model = load_causal_model(encoder)
    limit = stated_positions(model.config)
    if limit is not None and limit < max_length:
        raise ConfigError(
            f"data.max_length: must be <= {limit} (positions of {encoder.key} '{encoder.name}'), got {max_length}; "
            f"set it to {limit} or name a model for longer texts"
        )
    if _sees_what_follows(model):
        raise ModelError(
            f"perplexity: '{encoder.name}' sees the pieces that follow the one it predicts, so that it is no causal "
            f"language model; set {_KEY}.kind to masked, or name another one"
        )


def load_causal_model(encoder: Encoder) -> Any:
    """Return the causal language model of an encoder's files in eval mode.

    Raises:
        ModelError: the architecture is none, or weights are missing.
    """
    config = read_config(encoder)
    if config.model_type not in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES and not encoder.trust_remote_code:
        raise ModelError(
            f"perplexity: '{encoder.name}' (type {config.model_type}) is no causal language model; name one in "
            f"{_KEY}.model"
        )
    model, lacking = read_model(AutoModelForCausalLM, encoder)
    if lacking:
        raise ModelError(
            f"perplexity: the files of '{encoder.name}' lack {min(lacking)}; name a causal language model in "
            f"{_KEY}.model"
        )
    return keep_head_in_float32(model).eval()


def _sees_what_follows(model: Any) -> bool:
    """Tell whether what a model says of a piece changes with the one after it."""
    vocabulary = int(model.config.get_text_config().vocab_size)
    ids = torch.tensor([[1, 2, 3], [1, 2, 4]]) % vocabulary
    with torch.inference_mode():
        one, other = model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits.double()
    changed = (one - other).abs().amax(dim=-1)  # (3,)
    return bool(changed[:2].max() > _ROUNDING * changed[2])


@dataclass(frozen=True)
class CausalPerplexityScorer:
    """`perplexity` (n,): that of each text (pairs as paragraphs of one) under a causal language model."""

    signals = ("perplexity",)
    uses_model = True
    passes = 1
    runs = ()

    model: Encoder
    max_length: int

    def identity(self) -> dict[str, Any]:
        """Return model files and parameters."""
        return {
            "scorer": "perplexity",
            "kind": "causal",
            "model": self.model.fingerprint,
            "max_length": self.max_length,
        }

    def load(self, scoring_data: ScoringData) -> ScoreFunction:
        """Return the function that tokenizes the texts of positions and scores them."""
        model = load_causal_model(self.model).to(scoring_data.arithmetic.device)
        tokenizer = load_tokenizer(self.model)
        tokenizer.truncation_side = "right"

        def score(positions: np.ndarray) -> dict[str, np.ndarray]:
            rows, counted = encode(tokenizer, joined_texts(scoring_data.texts, positions), self.max_length)
            arithmetic = scoring_data.arithmetic
            values = causal_perplexity(
                model, rows, counted, max_tokens=arithmetic.max_tokens, precision=arithmetic.precision
            )
            return {"perplexity": values.astype(np.float32)}

        return score


def encode(tokenizer: Any, texts: Sequence[str], max_length: int) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Return the pieces of texts behind the one that begins a text, and which of them count.

    Before the pieces stands the tokenizer's `bos` piece, or its `eos` piece where it has none: what a text begins with,
    so that its first piece is predicted from something. Without either the first piece is not predicted. Special pieces
    never count, wherever they are: they are easy to predict, and no part of the text.

    Args:
        tokenizer: of the model.
        texts: to encode.
        max_length: pieces of a text, the one before them included.
    """
    start = tokenizer.bos_token_id if tokenizer.bos_token_id is not None else tokenizer.eos_token_id
    prefix = [] if start is None else [start]
    encoded = tokenizer(
        list(texts), add_special_tokens=False, truncation=True, max_length=max(1, max_length - len(prefix))
    )
    special = np.array(sorted(set(tokenizer.all_special_ids) - {tokenizer.unk_token_id}))
    rows = [np.array([*prefix, *ids], np.int64) for ids in encoded["input_ids"]]
    counted = [~np.isin(row, special) & (np.arange(len(row)) > 0) for row in rows]
    return rows, counted


def _batches(rows: Sequence[np.ndarray], counted: Sequence[np.ndarray], max_tokens: int) -> Iterator[list[int]]:
    """Yield texts of similar length together, the longest first; those of which nothing counts are left out."""
    batch: list[int] = []
    for text in sorted(range(len(rows)), key=lambda i: (-len(rows[i]), i)):
        if not counted[text][1:].any():
            continue
        if batch and (len(batch) + 1) * len(rows[batch[0]]) > max_tokens:
            yield batch
            batch = []
        batch.append(text)
    if batch:
        yield batch
