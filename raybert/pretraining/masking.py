"""Which word pieces a model has to guess: drawn anew in every pass, the same on any rank and after any restart."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from raybert.errors import ModelError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast


@dataclass(frozen=True)
class Masking:
    """How word pieces are masked.

    Of the pieces that are not special each is chosen with probability `share`; a chosen one becomes [MASK] with
    probability `mask`, a random piece that is not special with probability `random`, and stays as it is otherwise.
    The draws are of a stream that belongs to (seed, pass, sequence) alone.

    Attributes:
        share: of pieces that are chosen, or of words, whose pieces are then all chosen.
        mask: of the chosen, replaced by [MASK].
        random: of the chosen, replaced by any ordinary piece.
        whole_words: whether words are chosen in place of pieces.
        mask_id: of [MASK].
        ordinary: (v,) int64, ids of the pieces that are not special.
        is_special: (V,) bool, by id.

    Source: Devlin et al. 2019, "BERT", section 3.1 and A.1; drawn anew as in Liu et al. 2019, "RoBERTa", section 4.1.
    """

    share: float
    mask: float
    random: float
    whole_words: bool
    mask_id: int
    ordinary: np.ndarray
    is_special: np.ndarray

    @classmethod
    def of(
        cls,
        tokenizer: PreTrainedTokenizerFast,
        share: float = 0.15,
        mask: float = 0.8,
        random: float = 0.1,
        *,
        whole_words: bool = False,
    ) -> Masking:
        """Return the masking of a tokenizer's pieces.

        Raises:
            ModelError: the tokenizer has no [MASK].
        """
        if tokenizer.mask_token_id is None:
            raise ModelError("tokenizer: must have a mask token for masked language modelling, has none")
        is_special = np.zeros(len(tokenizer), bool)
        is_special[[number for number in tokenizer.all_special_ids if number < len(is_special)]] = True
        is_special[tokenizer.mask_token_id] = True
        return cls(
            share, mask, random, whole_words, int(tokenizer.mask_token_id), np.flatnonzero(~is_special), is_special
        )

    def draw(
        self, seed: int, number: int, sequence: int, ids: np.ndarray, begins_word: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return what the model reads of a sequence, and which pieces it must guess.

        Args:
            seed: of the run.
            number: of the pass.
            sequence: its row.
            ids: (m,) its pieces.
            begins_word: (m,) whether each is the first of its word.

        Returns:
            (m,) ids; (m,) bool.
        """
        bits = np.random.Philox(key=[seed, number], counter=[0, 0, sequence, 0])
        chance, fate, other = np.random.Generator(bits).random((3, len(ids)))
        if self.whole_words:
            chance = chance[np.maximum.accumulate(np.where(begins_word, np.arange(len(ids)), 0))]
        chosen = (chance < self.share) & ~self.is_special[ids]
        read = np.where(chosen & (fate < self.mask), self.mask_id, ids)
        becomes_random = chosen & (fate >= self.mask) & (fate < self.mask + self.random)
        read[becomes_random] = self.ordinary[(other[becomes_random] * len(self.ordinary)).astype(np.int64)]
        return read, chosen
