"""How often words occur in texts, as a tokenizer cuts them before it looks for pieces; in a stream of texts."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

_PART_CHARACTERS = 65_536
_LONGEST_PART = 1_000_000
_WORD_BEGINS = re.compile(r"[\s!-/:-@\[-`{-~\u4e00-\u9fff]")
"""Where a word ends whatever is around it: at white space, punctuation, and Chinese characters, words of their own."""
_LONGEST_WORD = 10_000
"""WordPiece uses no piece for words of more than 100 characters, and counting the pairs of long ones takes memory."""
_BEFORE_BLANKS = re.compile(r"(?<=\S)(?=[ \t\n\r])")
"""Where every pre-tokenizer used here cuts, whatever stands on either side; blanks go with what follows them."""


def count_words(texts: Iterable[str], pre_tokenizer: Any, normalizer: Any = None) -> Counter[str]:
    """Return word -> how often it occurs, in the order of the words; the order of the texts does not matter.

    What stands between blanks is cut once however often it occurs: 8.8 million words of English are 318,156 such parts.

    Args:
        texts: any number of them.
        pre_tokenizer: of `tokenizers`, one that cuts before blanks.
        normalizer: of `tokenizers`, one that changes no blank into something else; None: texts stay as they are.
    """
    between: Counter[str] = Counter()
    for text in texts:
        for part in _parts(text):
            between.update(_BEFORE_BLANKS.split(part))
    words: Counter[str] = Counter()
    for part, count in between.items():
        normal = part if normalizer is None else normalizer.normalize_str(part)
        for word, _ in pre_tokenizer.pre_tokenize_str(normal):
            if len(word) <= _LONGEST_WORD:
                words[word] += count
    return Counter({word: words[word] for word in sorted(words)})


def _parts(text: str) -> Iterator[str]:
    """Yield a text in parts between whole words: normalizing takes 50 bytes a character, words another hundred."""
    start = 0
    while start + _PART_CHARACTERS < len(text):
        window = (start + _PART_CHARACTERS, start + _LONGEST_PART)
        match = _BEFORE_BLANKS.search(text, *window) or _WORD_BEGINS.search(text, *window)
        end = match.start() if match else min(start + _LONGEST_PART, len(text))  # in a word that is too long anyway
        yield text[start:end]
        start = end
    yield text[start:]
