"""What a masked language model thinks of words in a gap, and of whole sentences.

The log-probability of a word in a template is that of its pieces where *all* of them are masked at once, summed: as
many [MASK] as pieces, and no piece gives another away. Of a word of one piece it is the model's probability at the gap.
How many gaps there are tells the model the word's length in pieces, so words of several pieces are somewhat too
probable beside those of one.

A sentence of a pair is scored by the pieces that both have, each masked alone while all others are seen.

Source: Nangia et al. 2020, "CrowS-Pairs", arXiv 2010.00133, section 4 (pseudo-log-likelihood of the unmodified tokens).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

import numpy as np

from raybert.config.probes import MASK
from raybert.pretraining.language_model import LanguageModel, MaskedSequence


@dataclass(frozen=True)
class WordInGap:
    """A word in the gap of a template.

    Attributes:
        sequence: the template with the word's pieces masked.
        has_unknown: whether one of them is [UNK].
    """

    sequence: MaskedSequence
    has_unknown: bool

    @property
    def num_pieces(self) -> int:
        """Pieces of the word."""
        return len(self.sequence.at)


def word_in_gap(model: LanguageModel, template: str, word: str) -> WordInGap:
    """Return a word in the gap of a template, its pieces masked, and with them a piece that is the blank before it."""
    start = template.index(MASK)
    text = template.replace(MASK, word.strip())
    end = start + len(word.strip())
    start = len(template[:start].rstrip())
    cut = model.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
    asked = np.array([first < end and last > start for first, last in cut["offset_mapping"]], bool)
    ids = np.array(cut["input_ids"], np.int64)
    return WordInGap(_masked(model, ids, asked), bool((ids[asked] == model.tokenizer.unk_token_id).any()))


def log_probabilities_in_gaps(model: LanguageModel, words: Sequence[WordInGap]) -> np.ndarray:
    """Return (n,) log-probabilities of words in gaps, in nat."""
    answers = model.log_probabilities(word.sequence for word in words)
    return np.array([answer.sum() for answer in answers])


def gap_alone(model: LanguageModel, template: str, words: Sequence[str]) -> MaskedSequence:
    """Return a template with one masked piece in its gap, as a word of one piece leaves it if there is one.

    Tokenizers that put the blank before a word into its piece would else leave a blank of its own before the gap.
    """
    for word in words:
        found = word_in_gap(model, template, word)
        if found.num_pieces == 1:
            return found.sequence
    cut = model.tokenizer(template.replace(MASK, str(model.tokenizer.mask_token)), add_special_tokens=False)
    ids = np.array(cut["input_ids"], np.int64)
    return _masked(model, ids, ids == model.tokenizer.mask_token_id)


def top_pieces(model: LanguageModel, log_probabilities: np.ndarray, count: int) -> list[tuple[str, float]]:
    """Return the most probable pieces of a gap as text, special ones left out, with their probabilities.

    Args:
        model: whose pieces they are.
        log_probabilities: (V,).
        count: how many.
    """
    special = set(model.tokenizer.all_special_ids)
    order = np.argsort(-log_probabilities[: len(model.tokenizer)], kind="stable")
    best = [int(number) for number in order[: count + len(special)] if int(number) not in special][:count]
    return [(model.tokenizer.decode([number]).strip(), float(np.exp(log_probabilities[number]))) for number in best]


def pair_scores(model: LanguageModel, pairs: Sequence[tuple[str, str]]) -> np.ndarray:
    """Return (n, 3): of each pair the sums over the pieces that both sentences have, and how many these are."""
    sequences: list[MaskedSequence] = []
    owners: list[tuple[int, int]] = []
    scores = np.zeros((len(pairs), 3))
    for number, pair in enumerate(pairs):
        both = [model.tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"] for text in pair]
        same = [
            block
            for block in SequenceMatcher(None, both[0], both[1], autojunk=False).get_matching_blocks()
            if block.size
        ]
        scores[number, 2] = sum(block.size for block in same)
        for side, ids in enumerate(both):
            starts = [(block.a, block.b)[side] for block in same]
            places = [start + step for start, block in zip(starts, same, strict=True) for step in range(block.size)]
            array = np.array(ids, np.int64)
            for place in places:
                sequences.append(_masked(model, array, np.arange(len(ids)) == place))
                owners.append((number, side))
    for (number, side), answer in zip(owners, model.log_probabilities(sequences), strict=True):
        scores[number, side] += answer.sum()
    return scores


def _masked(model: LanguageModel, ids: np.ndarray, is_masked: np.ndarray) -> MaskedSequence:
    read = np.where(is_masked, model.tokenizer.mask_token_id, ids)
    framed, begin = model.framed(read.tolist())
    return MaskedSequence(np.array(framed, np.int64), begin + np.flatnonzero(is_masked), ids[is_masked])
