"""A WordPiece vocabulary that is the same wherever and however often it is made.

The trainers of `tokenizers` 0.23 are not: three runs over the same 400 texts gave vocabularies of 1,433, 1,433 and
1,434 pieces, also with one thread. An encoder that is different on every machine cannot be compared, so the merges
are counted here, with ties broken by the pieces themselves.
"""

from __future__ import annotations

import heapq
from collections import Counter, defaultdict
from collections.abc import Iterable
from itertools import pairwise

CONTINUED = "##"

Pair = tuple[str, str]


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
    pieces = {word: _characters(word) for word in sorted(words)}
    vocabulary = dict.fromkeys([*special, *sorted({piece for parts in pieces.values() for piece in parts})])
    counts: Counter[Pair] = Counter()
    places: defaultdict[Pair, set[str]] = defaultdict(set)
    for word, parts in pieces.items():
        _count(word, parts, words[word], counts, places)
    heap = [(-count, pair) for pair, count in counts.items()]
    heapq.heapify(heap)
    while heap and len(vocabulary) < size:
        negative, pair = heapq.heappop(heap)
        if counts[pair] != -negative:
            continue  # counted anew since; the newer entry is in the heap
        if -negative < min_frequency:
            break
        merged = pair[0] + pair[1].removeprefix(CONTINUED)
        vocabulary.setdefault(merged)
        touched: set[Pair] = set()
        for word in sorted(places[pair]):
            old = pieces[word]
            touched.update(_count(word, old, -words[word], counts, places))
            pieces[word] = _merge(old, pair, merged)
            touched.update(_count(word, pieces[word], words[word], counts, places))
        for changed in touched:
            if counts[changed] > 0:
                heapq.heappush(heap, (-counts[changed], changed))
    return list(vocabulary)


def _characters(word: str) -> list[str]:
    return [word[0], *(CONTINUED + character for character in word[1:])]


def _count(
    word: str, parts: list[str], amount: int, counts: Counter[Pair], places: defaultdict[Pair, set[str]]
) -> list[Pair]:
    """Add the pairs of a word to the counts (or, with a negative amount, take them out), and return them."""
    pairs = list(pairwise(parts))
    for pair in pairs:
        counts[pair] += amount
        if amount > 0:
            places[pair].add(word)
        else:
            places[pair].discard(word)
    return pairs


def _merge(parts: list[str], pair: Pair, merged: str) -> list[str]:
    """Return the pieces of a word with every occurrence of a pair joined, from the left."""
    joined: list[str] = []
    i = 0
    while i < len(parts):
        if i + 1 < len(parts) and (parts[i], parts[i + 1]) == pair:
            joined.append(merged)
            i += 2
        else:
            joined.append(parts[i])
            i += 1
    return joined
