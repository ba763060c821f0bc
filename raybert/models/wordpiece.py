"""A WordPiece vocabulary that is the same wherever and however often it is made (see `merges`)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from raybert.models.merges import most_frequent_pairs

CONTINUED = "##"


def wordpiece_vocabulary(words: Counter[str], size: int, special: Iterable[str], min_frequency: int = 2) -> list[str]:
    """Return the pieces in order of id: special ones, characters, then merges, most frequent pair first.

    Args:
        words: word -> how often it occurs.
        size: most pieces; characters are kept even if they alone are more.
        special: pieces that come first.
        min_frequency: pairs rarer than this are not merged.

    Source: Sennrich et al. 2016, arXiv 1508.07909, algorithm 1 (pair merges by frequency), written with WordPiece's
    continuation prefix, as the trainer of `tokenizers` does.
    """
    characters = sorted({piece for word in words for piece in _characters(word)})
    vocabulary = dict.fromkeys([*special, *characters])
    if len(vocabulary) < size:
        for _, merged in most_frequent_pairs(words, _characters, _join, min_frequency):
            vocabulary.setdefault(merged)
            if len(vocabulary) >= size:
                break
    return list(vocabulary)


def _characters(word: str) -> list[str]:
    return [word[0], *(CONTINUED + character for character in word[1:])]


def _join(left: str, right: str) -> str:
    return left + right.removeprefix(CONTINUED)
