"""A masked language model in a folder, asked for the probability of pieces where they are masked."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from raybert.errors import ModelError
from raybert.models.quiet import quiet_transformers
from raybert.pretraining.masked_model import MaskedModel
from raybert.pretraining.packing import identity_of, special_pieces
from raybert.training.inference import eval_mode

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

_TOKENS_PER_FORWARD = 8192
_AT_ONCE = 4096
"""Sequences that are sorted by length together."""


@dataclass(frozen=True)
class MaskedSequence:
    """What a model reads, and what it is asked.

    Attributes:
        ids: (m,) int64 pieces, some of them [MASK].
        at: (k,) places that are asked for.
        pieces: (k,) int64, what stands there.
    """

    ids: np.ndarray
    at: np.ndarray
    pieces: np.ndarray


@dataclass(frozen=True)
class LanguageModel:
    """A masked language model and its tokenizer.

    Attributes:
        name: folder or hub id.
        tokenizer: a fast one, with a mask token.
        model: on the device to use, in eval mode, float32.
        longest: most pieces that it reads, special ones included.
        tokenizer_key: the same for tokenizers that cut every text alike.
        frame: special pieces that begin a text, and that end it.
    """

    name: str
    tokenizer: PreTrainedTokenizerFast
    model: MaskedModel
    longest: int
    tokenizer_key: str
    frame: tuple[list[int], list[int]]

    @property
    def vocabulary(self) -> int:
        """Pieces among which it chooses."""
        return int(self.model.config.vocab_size)

    def framed(self, ids: Sequence[int]) -> tuple[list[int], int]:
        """Return pieces between the special ones that begin and end a text, and how many begin it."""
        before, after = self.frame
        return [*before, *ids, *after], len(before)

    def log_probabilities(self, sequences: Iterable[MaskedSequence]) -> list[np.ndarray]:
        """Return of every sequence (k,) float64: the log-probabilities of what stands at the places asked for."""
        found: list[np.ndarray] = []
        stream = iter(sequences)
        while part := list(islice(stream, _AT_ONCE)):
            answers: list[np.ndarray] = [np.zeros(0)] * len(part)
            for rows in _batches([len(one.ids) for one in part]):
                logits = self._logits([part[row] for row in rows]).log_softmax(dim=-1)
                pieces = torch.from_numpy(np.concatenate([part[row].pieces for row in rows])).to(logits.device)
                values = logits.gather(1, pieces[:, None])[:, 0].double().cpu().numpy()
                ends = np.cumsum([len(part[row].at) for row in rows])
                for row, answer in zip(rows, np.split(values, ends[:-1]), strict=True):
                    answers[row] = answer
            found += answers
        return found

    def distributions(self, sequences: Sequence[MaskedSequence]) -> list[np.ndarray]:
        """Return of every sequence (k, V) float32 log-probabilities of all pieces at the places asked for."""
        return [self._logits([one]).log_softmax(dim=-1).cpu().numpy() for one in sequences]

    def _logits(self, sequences: Sequence[MaskedSequence]) -> torch.Tensor:
        """Return (places of all, V) float32."""
        width = max(len(one.ids) for one in sequences)
        ids = np.full((len(sequences), width), self.tokenizer.pad_token_id, np.int64)
        segments = np.full((len(sequences), width), -1, np.int64)
        for row, one in enumerate(sequences):
            ids[row, : len(one.ids)] = one.ids
            segments[row, : len(one.ids)] = 0
        places = np.tile(np.arange(width), (len(sequences), 1))
        at = np.concatenate([row * width + one.at for row, one in enumerate(sequences)])
        device = next(self.model.parameters()).device
        inputs = (torch.tensor(array, device=device) for array in (ids, segments, places, at))
        with torch.inference_mode(), eval_mode(self.model):
            _, logits = self.model(*inputs)
        assert logits is not None
        answer: torch.Tensor = logits.float()
        return answer


def load_language_model(name: str | Path) -> LanguageModel:
    """Return the masked language model in a folder (or with a hub id), on a GPU if there is one.

    Raises:
        ModelError: there is none, it has no head that predicts pieces, or no fast tokenizer with a mask token.
    """
    from transformers import AutoModelForMaskedLM, AutoTokenizer

    place = str(Path(name).expanduser()) if Path(name).expanduser().exists() else str(name)
    try:
        with quiet_transformers():
            tokenizer = AutoTokenizer.from_pretrained(place)
            mlm, info = AutoModelForMaskedLM.from_pretrained(place, output_loading_info=True, dtype=torch.float32)
    except (OSError, ValueError, KeyError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ModelError(
            f"'{name}': must be the folder of a masked language model, cannot be loaded: {reason}"
        ) from None
    missing = sorted(info["missing_keys"])
    if missing:
        raise ModelError(
            f"'{name}': must have a head that predicts pieces, but lacks {missing[0]} (an encoder alone, or a "
            "classifier); name what `raybert pretrain` or a masked language model has saved"
        )
    if tokenizer.mask_token_id is None:
        raise ModelError(f"'{name}': its tokenizer must have a mask token, has none")
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model = MaskedModel(mlm.to(device).eval())
    positions = int(getattr(mlm.config, "max_position_embeddings", 0) or 512)
    return LanguageModel(
        str(name),
        tokenizer,
        model,
        positions - model.first_place,
        identity_of(tokenizer),
        special_pieces(tokenizer),
    )


def _batches(lengths: Sequence[int]) -> Iterable[list[int]]:
    """Yield rows of similar length, so many that all their pieces, padding included, are not too many."""
    order = np.argsort(lengths, kind="stable").tolist()
    start = 0
    while start < len(order):
        end = start + 1
        while end < len(order) and lengths[order[end]] * (end + 1 - start) <= _TOKENS_PER_FORWARD:
            end += 1
        yield order[start:end]
        start = end
