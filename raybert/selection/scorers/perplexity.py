"""Pseudo-perplexity: how well a masked language model predicts each word piece of a text from the others."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from safetensors import safe_open
from transformers import AutoModelForMaskedLM
from transformers.models.auto.modeling_auto import MODEL_FOR_MASKED_LM_MAPPING_NAMES

from raybert.data.rows import take_rows
from raybert.errors import ModelError
from raybert.models import Encoder, load_tokenizer
from raybert.models.classifier import keep_head_in_float32
from raybert.models.pretrained import read_config, read_model
from raybert.models.quiet import quiet_transformers
from raybert.selection.scorers.scorer import ScoreFunction, ScoringData
from raybert.training.optimization.precision import resolve_precision
from raybert.training.pulse import pulse

_REMEDY = "name a masked language model in selection.scorers.perplexity.model"


@dataclass(frozen=True)
class Masking:
    """What a masked language model's tokenizer calls its pieces.

    Attributes:
        mask_id: replaces the piece that is predicted.
        pad_id: fills short rows.
        special_ids: never masked and not counted.
    """

    mask_id: int
    pad_id: int
    special_ids: frozenset[int]


def pseudo_perplexity(
    model: Any,
    rows: Sequence[np.ndarray],
    masking: Masking,
    *,
    mask_every: int | None = None,
    max_tokens: int = 16384,
    token_types: Sequence[np.ndarray] | None = None,
    precision: str = "fp32",
) -> np.ndarray:
    """Return (n,) float64 exp(mean negative log-likelihood of the word pieces), NaN for a text without any.

    Pass r of m masks the pieces r, r + m, r + 2m, ... of a text, special pieces not counted, so every piece is
    predicted once; with m at least the number of pieces one is masked at a time, which is exact.

    Args:
        model: a masked language model in eval mode.
        rows: per text its piece ids, special ones included.
        masking: special ids.
        mask_every: m; None is exact.
        max_tokens: word pieces per forward pass, padding included.
        token_types: per text the token types, for models that take them.
        precision: of the encoder; the log-softmax is always in float32.

    Source: Salazar et al. 2020, "Masked Language Model Scoring", eq. 2 and 3, arXiv 1910.14659; m = 1 per piece there.
    """
    device = next(model.parameters()).device
    totals, counts = np.zeros(len(rows)), np.zeros(len(rows))
    special = np.array(sorted(masking.special_ids))
    # Not by `raybert.training.Inference`: one text is several rows, each masked elsewhere, that may lie in several
    # batches, and logits are wanted at the masked pieces alone, of a vocabulary too large for all pieces.
    with torch.inference_mode():
        for batch in _batches(rows, special, mask_every, max_tokens):
            pulse()
            ids, mask, targets = _collate(rows, batch, masking)
            inputs = {"input_ids": ids.to(device), "attention_mask": mask.to(device)}
            if token_types is not None:
                inputs["token_type_ids"] = padded([token_types[text] for text, _ in batch], 0)[0].to(device)
            row, column = (part.to(device) for part in torch.nonzero(targets >= 0, as_tuple=True))
            with resolve_precision(precision, device).autocast(device):
                logits = logits_at(model, inputs, row, column)
            wanted = targets.to(device)[row, column]
            losses = torch.nn.functional.cross_entropy(logits, wanted, reduction="none")
            texts = np.array([text for text, _ in batch])[row.cpu().numpy()]
            np.add.at(totals, texts, losses.double().cpu().numpy())
            np.add.at(counts, texts, 1)
    means = np.divide(totals, counts, out=np.full(len(rows), np.nan), where=counts > 0)
    return np.asarray(np.exp(means))


def logits_at(model: Any, inputs: dict[str, torch.Tensor], row: torch.Tensor, column: torch.Tensor) -> torch.Tensor:
    """Return (k, V) float32 logits of single positions.

    A head behind a backbone with one state per piece works on each alone, and sees only these; where the shapes say
    that this is not so (no backbone of its own, or a decoder of its own as in Perceiver), it sees everything.
    """
    picked: list[bool] = []

    def pick(_: Any, __: Any, output: Any) -> Any:
        hidden = getattr(output, "last_hidden_state", None)
        if hidden is not None and hidden.shape[:2] == inputs["input_ids"].shape:
            output.last_hidden_state = hidden[row, column].float().unsqueeze(0)  # (1, k, d)
            picked.append(True)
        return output

    handle = model.base_model.register_forward_hook(pick)
    try:
        logits: torch.Tensor = model(**inputs).logits
    finally:
        handle.remove()
    if not picked:
        return logits[row, column].float()
    if logits.shape[:2] == (1, len(row)):
        return logits.squeeze(0).float()
    everything: torch.Tensor = model(**inputs).logits
    return everything[row, column].float()


def count_passes(lengths: np.ndarray, mask_every: int | None) -> int:
    """Return how many rows the model runs on in all.

    Args:
        lengths: (n,) word pieces per text, special ones not counted.
        mask_every: as in `pseudo_perplexity`.
    """
    return int((lengths if mask_every is None else np.minimum(lengths, mask_every)).sum())


def read_masking(tokenizer: Any, name: str) -> Masking:
    """Return what a tokenizer calls its pieces.

    Args:
        tokenizer: of the masked language model.
        name: of the model, for the error.

    Raises:
        ModelError: it has no mask piece, or no padding piece.
    """
    for piece, number in (("mask", tokenizer.mask_token_id), ("padding", tokenizer.pad_token_id)):
        if number is None:
            raise ModelError(f"perplexity: the tokenizer of '{name}' must have a {piece} piece; {_REMEDY}")
    content = {tokenizer.mask_token_id, tokenizer.unk_token_id}
    return Masking(tokenizer.mask_token_id, tokenizer.pad_token_id, frozenset(tokenizer.all_special_ids) - content)


def check_has_masked_lm_head(encoder: Encoder) -> None:
    """Refuse an encoder whose files hold no complete masked-LM head.

    The names of its tensors say so for most; the model is loaded only where they leave it open.

    Raises:
        ModelError: the architecture has none, or weights of it are not in the files.
    """
    if not _names_show_head(encoder):
        _load_complete(encoder)


def _names_show_head(encoder: Encoder) -> bool:
    """Return whether every tensor of the head is in the files by name; False leaves it open.

    Tensors may have an older name there (`LayerNorm.gamma`), be tied to another one, or be in another format.

    Raises:
        ModelError: the architecture has no such head, or not one of its tensors is there.
    """
    config = read_config(encoder)
    if config.model_type not in MODEL_FOR_MASKED_LM_MAPPING_NAMES:
        raise ModelError(f"perplexity: '{encoder.name}' (type {config.model_type}) has no masked-LM head; {_REMEDY}")
    names = _tensor_names(encoder)
    if names is None:
        return False
    with quiet_transformers(), torch.device("meta"):
        model = AutoModelForMaskedLM.from_config(config, trust_remote_code=encoder.trust_remote_code)
    prefix = model.base_model_prefix
    head = {name for name, _ in model.named_parameters() if not name.startswith(f"{prefix}.")}
    if head and not head & names:
        raise ModelError(f"perplexity: the files of '{encoder.name}' hold no weights of a masked-LM head; {_REMEDY}")
    return head <= names


def load_masked_model(encoder: Encoder) -> Any:
    """Return the masked language model of an encoder in eval mode.

    Raises:
        ModelError: the architecture has no head for it, or weights are missing.
    """
    _names_show_head(encoder)
    return keep_head_in_float32(_load_complete(encoder)).eval()


def _load_complete(encoder: Encoder) -> Any:
    """Return the model of files that hold all of its weights, tied ones once."""
    model, lacking = read_model(AutoModelForMaskedLM, encoder)
    missing = sorted(lacking)
    if missing:
        raise ModelError(f"perplexity: the files of '{encoder.name}' lack {missing[0]}; {_REMEDY}")
    return model


@dataclass(frozen=True)
class PerplexityScorer:
    """`perplexity` (n,): pseudo-perplexity of each text (pairs together) under a masked language model."""

    signals = ("perplexity",)
    uses_model = True
    runs = ()

    model: Encoder
    mask_every: int | None
    max_length: int

    @property
    def passes(self) -> int:
        """Forward passes per example, at most; exact scoring is counted as one per possible piece."""
        return self.mask_every or self.max_length

    def identity(self) -> dict[str, Any]:
        """Return model files and parameters."""
        return {
            "scorer": "perplexity",
            "model": self.model.fingerprint,
            "mask_every": self.mask_every,
            "max_length": self.max_length,
        }

    def load(self, scoring_data: ScoringData) -> ScoreFunction:
        """Return the function that tokenizes the texts of positions and scores them."""
        assert not self.model.is_pending, "its own weights are not there yet"
        model = load_masked_model(self.model).to(scoring_data.arithmetic.device)
        tokenizer = load_tokenizer(self.model)
        masking = read_masking(tokenizer, self.model.name)
        takes_types = "token_type_ids" in tokenizer.model_input_names

        def score(positions: np.ndarray) -> dict[str, np.ndarray]:
            rows = take_rows(scoring_data.texts, positions)
            columns = [name for name in ("text", "text_pair") if name in rows.column_names]
            encoded = tokenizer(
                *(rows[name].to_pylist() for name in columns), truncation=True, max_length=self.max_length
            )
            values = pseudo_perplexity(
                model,
                [np.array(ids) for ids in encoded["input_ids"]],
                masking,
                mask_every=self.mask_every,
                max_tokens=scoring_data.arithmetic.max_tokens,
                token_types=[np.array(types) for types in encoded["token_type_ids"]] if takes_types else None,
                precision=scoring_data.arithmetic.precision,
            )
            return {"perplexity": values.astype(np.float32)}

        return score


def _batches(
    rows: Sequence[np.ndarray], special: np.ndarray, mask_every: int | None, max_tokens: int
) -> Iterator[list[tuple[int, np.ndarray]]]:
    """Yield batches of (text, columns to mask), texts of similar length together, the longest first."""
    batch: list[tuple[int, np.ndarray]] = []
    width = 0
    for text in sorted(range(len(rows)), key=lambda i: (-len(rows[i]), i)):
        content = np.flatnonzero(~np.isin(rows[text], special))
        passes = len(content) if mask_every is None else min(mask_every, len(content))
        for start in range(passes):
            if batch and (len(batch) + 1) * width > max_tokens:
                yield batch
                batch = []
            width = width if batch else len(rows[text])
            batch.append((text, content[start::passes]))
    if batch:
        yield batch


def _collate(
    rows: Sequence[np.ndarray], batch: list[tuple[int, np.ndarray]], masking: Masking
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return masked ids, attention mask and the true ids where masked (-1 elsewhere), all (b, width) int64."""
    ids, mask = padded([rows[text] for text, _ in batch], masking.pad_id)
    targets = torch.full_like(ids, -1)
    for row, (_, columns) in enumerate(batch):
        places = torch.from_numpy(columns)
        targets[row, places] = ids[row, places]
        ids[row, places] = masking.mask_id
    return ids, mask, targets


def padded(rows: Sequence[np.ndarray], filler: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return rows of numbers filled up to the longest, and a mask of what is no filling, both (b, width) int64."""
    width = max(map(len, rows))
    values = np.full((len(rows), width), filler, np.int64)
    mask = np.zeros((len(rows), width), np.int64)
    for i, row in enumerate(rows):
        values[i, : len(row)], mask[i, : len(row)] = row, 1
    return torch.from_numpy(values), torch.from_numpy(mask)


def _tensor_names(encoder: Encoder) -> set[str] | None:
    """Return the names of the tensors in an encoder's safetensors files; None: it has no such file."""
    index = encoder.path / "model.safetensors.index.json"
    if index.exists():
        return set(json.loads(index.read_text(encoding="utf-8"))["weight_map"])
    path = encoder.path / "model.safetensors"
    if not path.exists():
        return None
    with safe_open(path, framework="np") as file:
        return set(file.keys())
