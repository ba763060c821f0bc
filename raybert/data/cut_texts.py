"""Texts cut to what their first (or last) word pieces are made of, before they are encoded.

A text of ten million characters takes gigabytes to encode, of which a model sees 128 pieces. What is cut here gives the
same pieces as the whole text, for one of four reasons, tried in this order:

1. *Words*: tokenizers make the pieces of every word (pre-token) alone. Cut between two words, all words but the last
   few are as they were.
2. *Compared*: of a text that is short enough the whole is encoded, and the cut compared with it.
3. *All cuts*: a word that goes on for ever (no spaces, or a tokenizer that knows no words) is segmented alike by BPE,
   Unigram and WordPiece up to any place where two pieces meet, whatever comes after it. Of L places in a row, L being
   the longest piece, one is such a place in the whole text: what all L cuts have in common, the whole has.
4. *Long runs* of what makes one piece or none (spaces, what a normalizer deletes, a word too long for WordPiece) are
   shortened where pieces do not depend on their length; then the text is cut.

What none of them can cut is left whole.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from tokenizers import Encoding, Tokenizer

CHARACTERS_AT_ONCE = 200_000
"""An encoding takes up to 300 bytes a character."""
_CHARACTERS_PER_PIECE = 8
_SHORTEST = 256
_LONGEST_WHOLE = 65_536
_UNSURE_WORDS = 3
_UNSURE_CHARACTERS = 32
_UNSURE_PIECES = 16
_MOST_CUTS = 512
_LONG_RUN = 8192
_KEPT_OF_RUN = 1024
_BETWEEN_WORDS = re.compile(r"(?<=[^\W_]) (?=[^\W_])")
"""A space between letters or digits: nothing composes, merges or deletes across it."""
_SEARCHED = 256
_NO_SPACES = re.compile(r"\S+")


@dataclass(frozen=True)
class TextCutter:
    """Cuts texts to what their first or last word pieces are made of.

    Attributes:
        backend: without truncation and padding.
        num_pieces: how many pieces have to be those of the whole text; what is cut has as many at least.
        from_end: the last ones, not the first.
    """

    backend: Tokenizer
    num_pieces: int
    from_end: bool = False

    @property
    def first_size(self) -> int:
        """Characters that are tried first."""
        return max(_SHORTEST, _CHARACTERS_PER_PIECE * self.num_pieces)

    def cut(self, texts: Sequence[str]) -> list[str]:
        """Return the texts, long ones cut."""
        found = list(texts)
        long = [place for place, text in enumerate(texts) if len(text) > 1.5 * self.first_size]
        for place, part in self._cut_between_words({place: texts[place] for place in long}):
            found[place] = part
            long.remove(place)
        for place in long:
            found[place] = self._cut_hard(texts[place])
        return found

    def count(self, text: str) -> int:
        """Return the number of word pieces of a text, part by part."""
        places = [0]
        while (place := self._between_words(text, places[-1] + _LONGEST_WHOLE // 4, forward=True)) is not None:
            places.append(place)
        parts = [text[start:end] for start, end in zip(places, [*places[1:], len(text)], strict=True)]
        if len(parts) == 1 or not self._are_words_apart(*parts[:2]):
            return len(self._ids(text))
        return sum(len(self._ids(part)) for part in parts)

    def _are_words_apart(self, part: str, rest: str) -> bool:
        """Return whether two parts of a text are encoded alone as they are together, in words of their own."""
        together = self.backend.encode(part + rest, add_special_tokens=False)
        place = next((i for i, (start, _) in enumerate(together.offsets) if start >= len(part)), len(together))
        if not 0 < place < len(together) or together.word_ids[place - 1] == together.word_ids[place]:
            return False
        return bool(together.ids == self._ids(part) + self._ids(rest))

    def _cut_between_words(self, texts: dict[int, str]) -> Iterator[tuple[int, str]]:
        """Yield place and part of every text that can be cut between words; parts grow until they have all pieces."""
        size, left = self.first_size, dict(texts)
        while left and size <= max(_LONGEST_WHOLE, self.first_size):
            parts = {place: part for place, text in left.items() if (part := self._part_of_words(text, size))}
            for places in batches_of(list(parts), [len(part) for part in parts.values()]):
                encodings = self.backend.encode_batch([parts[place] for place in places], add_special_tokens=False)
                for place, encoding in zip(places, encodings, strict=True):
                    if self._num_settled(encoding, len(parts[place])) >= self.num_pieces:
                        yield place, parts[place]
                        del left[place]
            size *= 2
            left = {place: text for place, text in left.items() if len(text) > size}

    def _part_of_words(self, text: str, size: int) -> str | None:
        place = self._between_words(text, size, forward=not self.from_end)
        return None if place is None else text[place:] if self.from_end else text[:place]

    def _between_words(self, text: str, size: int, *, forward: bool) -> int | None:
        """Return the place of a space between words, about `size` characters from the start or from the end."""
        start = size if forward else max(0, len(text) - size - _SEARCHED)
        match = _BETWEEN_WORDS.search(text, start, start + _SEARCHED)
        return match.start() if match else None

    def _num_settled(self, encoding: Encoding, length: int) -> int:
        """Return how many pieces lie in words that are far enough from where the text was cut."""
        words, offsets = [word or 0 for word in encoding.word_ids], encoding.offsets
        count = len(words)
        if self.from_end:
            first = 0
            while first < count and (words[first] < words[0] + _UNSURE_WORDS or offsets[first][0] < self._unsure):
                first += 1
            return count - first
        while count and (words[count - 1] > words[-1] - _UNSURE_WORDS or offsets[count - 1][1] > length - self._unsure):
            count -= 1
        return count

    @cached_property
    def _unsure(self) -> int:
        """Characters at a cut that are not to be trusted: an added word may have spaces inside."""
        added = self.backend.get_added_tokens_decoder().values()
        return _UNSURE_CHARACTERS + max((len(token.content) for token in added), default=0)

    def _cut_hard(self, text: str) -> str:
        """Return a text that has no words to cut between, cut another way."""
        if len(text) <= _LONGEST_WHOLE:
            return self._cut_compared(text)
        # Towards the end nothing is settled by what comes before: segmentation goes from left to right.
        part = None if self.from_end else self._cut_anywhere(text)
        if part is None:
            shortened = self._without_long_runs(text)
            if len(shortened) < len(text):
                return self.cut([shortened])[0]
        return self._cut_compared(text) if part is None else part

    def _cut_compared(self, text: str) -> str:
        """Return a part that gives the same pieces as the whole text, which is encoded."""
        wanted = self._wanted(self._ids(text))
        size = self.first_size if len(wanted) == self.num_pieces else len(text)
        while size < len(text):
            part = self._take(text, size)
            if self._wanted(self._ids(part)) == wanted:
                return part
            size *= 4
        return text

    def _cut_anywhere(self, text: str) -> str | None:
        """Return a part whose pieces all cuts in a row agree on, of which the whole text's segmentation has one."""
        enough = self.num_pieces + _UNSURE_PIECES
        size = 2 * self.first_size
        while size + self._num_cuts < min(len(text), 4 * _LONGEST_WHOLE):
            common = self._ids(text[: size + self._num_cuts])
            for place in range(size + self._num_cuts - 1, size - 1, -1):
                if len(common) < enough:
                    break
                common = _common_start(common, self._ids(text[:place]))
            if len(common) >= enough:
                return text[: size + self._num_cuts]
            size *= 4
        return None

    @cached_property
    def _num_cuts(self) -> int:
        """Cuts in a row of which the segmentation of any text has one; WordPiece gives a word up as a whole."""
        longest = max(map(len, self.backend.get_vocab()), default=1)
        longest_word = getattr(self.backend.model, "max_input_chars_per_word", 0)
        return int(min(max(longest, longest_word) + 2, _MOST_CUTS))

    def _without_long_runs(self, text: str) -> str:
        """Return a text whose long runs of invisible characters, or without spaces, are shortened."""
        for find_runs in (_invisible, _without_spaces):
            kept, end = [], 0
            for start, stop in find_runs(text):
                if stop - start > _LONG_RUN and self._is_length_free(text, start, stop):
                    kept += [text[end:start], _shortened(text[start:stop], _KEPT_OF_RUN)]
                    end = stop
            text = "".join([*kept, text[end:]])
        return text

    def _is_length_free(self, text: str, start: int, stop: int) -> bool:
        """Return whether a run gives the same pieces whatever its length, between what surrounds it, and all over."""
        before, run, after = text[max(0, start - _SEARCHED) : start], text[start:stop], text[stop : stop + _SEARCHED]
        lengths = (_KEPT_OF_RUN, _KEPT_OF_RUN + 1, 2 * _KEPT_OF_RUN, 3 * _KEPT_OF_RUN + 7)
        ids = [self._ids(before + _shortened(run, length) + after) for length in lengths]
        # Whatever is in its middle must make no difference: a space between what is deleted does.
        ids.append(self._ids(before + run[:_KEPT_OF_RUN] + run[-_KEPT_OF_RUN:] + after))
        if any(row != ids[0] for row in ids):
            return False
        places = range(0, len(run) - _KEPT_OF_RUN, _LONG_RUN)
        parts = (self._ids(run[place : place + _LONG_RUN + _KEPT_OF_RUN]) for place in places)
        first = next(parts)
        return all(part == first for part in parts)

    def _take(self, text: str, size: int) -> str:
        return text[-size:] if self.from_end else text[:size]

    def _ids(self, text: str) -> list[int]:
        (encoding,) = self.backend.encode_batch_fast([text], add_special_tokens=False)
        ids: list[int] = encoding.ids
        return ids

    def _wanted(self, ids: list[int]) -> list[int]:
        return ids[-self.num_pieces :] if self.from_end else ids[: self.num_pieces]


def batches_of(items: Sequence[int], sizes: Sequence[int]) -> Iterator[list[int]]:
    """Yield the items in order, so many at once that their sizes stay below `CHARACTERS_AT_ONCE`; one at least."""
    batch: list[int] = []
    total = 0
    for item, size in zip(items, sizes, strict=True):
        if batch and total + size > CHARACTERS_AT_ONCE:
            yield batch
            batch, total = [], 0
        batch.append(item)
        total += size
    if batch:
        yield batch


def _shortened(run: str, length: int) -> str:
    """Return the ends of a run, and between them one of each character that it has."""
    return run[:length] + "".join(dict.fromkeys(run)) + run[-length:]


def _common_start(one: list[int], other: list[int]) -> list[int]:
    length = next((place for place, pair in enumerate(zip(one, other, strict=False)) if pair[0] != pair[1]), None)
    return one[: min(len(one), len(other)) if length is None else length]


def _without_spaces(text: str) -> Iterator[tuple[int, int]]:
    return (match.span() for match in _NO_SPACES.finditer(text))


def _invisible(text: str) -> Iterator[tuple[int, int]]:
    """Yield runs of white space, control and format characters, and marks: what tokenizers may delete or join."""
    kinds = {char for char in set(text) if char.isspace() or unicodedata.category(char)[0] in "CM"}
    if kinds:
        yield from (match.span() for match in re.finditer("[" + re.escape("".join(sorted(kinds))) + "]+", text))
