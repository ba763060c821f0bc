"""Lexical diversity of a text: MATTR, HD-D and MTLD over its words."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from raybert.selection.text_signal import TextSignal

_WORD = re.compile(r"\w+(?:['\u2019\-]\w+)*")
SHORTEST, SHORTEST_HDD, SHORTEST_MTLD = 5, 42, 50
"""Words under which a text has no rank, and under which HD-D and MTLD say nothing about it."""


def word_tokens(text: str) -> list[str]:
    """Return the lower-cased words of a text: letters, digits and underscores, with inner hyphens and apostrophes."""
    return _WORD.findall(text.lower())


def ttr(tokens: Sequence[str]) -> float:
    """Return distinct words over words; NaN without words."""
    return len(set(tokens)) / len(tokens) if tokens else math.nan


def mattr(tokens: Sequence[str], window: int = 50) -> float:
    """Return the mean type-token ratio over all windows of consecutive words; that of the text if it is shorter.

    Source: Covington & McFall 2010, "Cutting the Gordian Knot: The Moving-Average Type-Token Ratio".
    """
    if len(tokens) <= window:
        return ttr(tokens)
    counts = Counter(tokens[:window])
    types = total = len(counts)
    for leaving, entering in zip(tokens, tokens[window:], strict=False):
        counts[leaving] -= 1
        types -= counts[leaving] == 0
        types += counts[entering] == 0
        counts[entering] += 1
        total += types
    return total / window / (len(tokens) - window + 1)


def hdd(tokens: Sequence[str], draws: int = 42) -> float:
    """Return the expected share of types in a random draw of words: sum of [1 - hypergeom.pmf(0; N, f, draws)] / draws.

    A text of at most `draws` words is drawn whole, so its value is its type-token ratio.

    Source: McCarthy & Jarvis 2010, "MTLD, vocd-D, and HD-D", doi 10.3758/BRM.42.2.381.
    """
    total = len(tokens)
    if total <= draws:
        return ttr(tokens)
    # P(no occurrence of a type of f words) = C(N - f, draws) / C(N, draws), by types of equal f.
    absent = [1.0]
    for count in range(max(Counter(tokens).values())):
        absent.append(absent[-1] * max(0, total - draws - count) / (total - count))
    return sum(1.0 - absent[count] for count in Counter(tokens).values()) / draws


def mtld(tokens: Sequence[str], threshold: float = 0.72) -> float:
    """Return the mean length of word runs that keep a type-token ratio above a threshold, over both directions.

    A factor closes at a ratio at or under the threshold; the rest counts as (1 - ratio) / (1 - threshold) of one; a
    text without any factor has its number of words. NaN without words.

    Source: McCarthy & Jarvis 2010.
    """
    if not tokens:
        return math.nan
    return (_factor_length(tokens, threshold) + _factor_length(tokens[::-1], threshold)) / 2


def _factor_length(tokens: Sequence[str], threshold: float) -> float:
    factors, length = 0.0, 0
    types: set[str] = set()
    for token in tokens:
        length += 1
        types.add(token)
        if len(types) <= threshold * length:
            factors, length = factors + 1, 0
            types.clear()
    if length:
        factors += (1 - len(types) / length) / (1 - threshold)
    return len(tokens) / factors if factors else float(len(tokens))


def lexical_score(lexical: np.ndarray, weights: tuple[float, float, float] = (1.0, 1.0, 1.0)) -> np.ndarray:
    """Return (n,) float64 weighted mean of the ranks of MATTR, HD-D and MTLD among texts of similar length, in 0..1.

    Ranks are within deciles of the number of words; texts of one length are never in two. HD-D under 42 words and
    MTLD under 50 do not count, and the other weights make up for them. Texts under 5 words, and those of whose
    measures none with a weight counts, are NaN and not -inf: NaN ranks last in every direction, -inf would be the
    first of `easy`, and nothing is known about them.

    Args:
        lexical: (n, 4) MATTR, HD-D, MTLD, number of words.
        weights: of the three.
    """
    counts = lexical[:, 3]
    values = lexical[:, :3].astype(np.float64)
    values[counts < SHORTEST_HDD, 1] = np.nan
    values[counts < SHORTEST_MTLD, 2] = np.nan
    values[counts < SHORTEST] = np.nan
    deciles = _length_deciles(counts)
    ranks = np.full(values.shape, np.nan)
    for decile in np.unique(deciles):
        rows = np.flatnonzero(deciles == decile)
        for column in range(3):
            known = rows[np.isfinite(values[rows, column])]
            ranks[known, column] = _mean_ranks(values[known, column])
    shares = np.where(np.isnan(ranks), 0.0, np.asarray(weights, np.float64))
    total = shares.sum(axis=1)
    weighted = np.where(np.isnan(ranks), 0.0, ranks * shares).sum(axis=1)
    return np.asarray(np.divide(weighted, total, out=np.full(len(values), np.nan), where=total > 0))


def _length_deciles(counts: np.ndarray) -> np.ndarray:
    """Return (n,) the decile 0..9 of each count, by the share of smaller counts: equals stay together."""
    ordered = np.sort(counts)
    return np.asarray(np.searchsorted(ordered, counts, side="left") * 10 // max(1, len(counts)))


def _mean_ranks(values: np.ndarray) -> np.ndarray:
    """Return ranks scaled to 0..1, equal values share their mean rank; a single value has 0.5."""
    if len(values) < 2:
        return np.full(len(values), 0.5)
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    mean_rank = np.cumsum(counts) - (counts + 1) / 2
    return np.asarray(mean_rank[inverse] / (len(values) - 1))


def lexical_statistics(texts: Sequence[str]) -> np.ndarray:
    """Return (n, 4) float32 MATTR, HD-D, MTLD and number of words of each text."""
    rows = [(mattr(words), hdd(words), mtld(words), len(words)) for words in map(word_tokens, texts)]
    return np.array(rows, np.float32).reshape(len(rows), 4)


class Lexical(TextSignal):
    """Diversity of the words (MATTR, HD-D, MTLD) and their number."""

    name = "lexical"
    columns = ("mattr", "hdd", "mtld", "words")

    def compute(self, texts: Sequence[str], labels: np.ndarray) -> np.ndarray:
        return lexical_statistics(texts)

    def identity(self) -> dict[str, Any]:
        """Return its name: it has no parameters, and stored values are kept from version to version."""
        return {"scorer": "lexical"}
