"""Readability of a text: how long its words and sentences are."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from raybert.selection.text_signal import TextSignal

_SENTENCE_END = re.compile(r"[.!?…]+(?=\s|$)|\n{2,}")
_LETTER = re.compile(r"[^\W_]")


def count_units(text: str) -> tuple[int, int, int]:
    """Return letters and digits, words (separated by white space, with at least one of these), and sentences.

    A sentence ends at full stops, question or exclamation marks before white space, or at an empty line; there is at
    least one.
    """
    words = [word for word in text.split() if _LETTER.search(word)]
    characters = sum(len(_LETTER.findall(word)) for word in words)
    sentences = sum(1 for part in _SENTENCE_END.split(text) if _LETTER.search(part))
    return characters, len(words), max(1, sentences)


def automated_readability_index(text: str) -> float:
    """Return 4.71 characters / words + 0.5 words / sentences - 21.43 (school grades; NaN without words).

    Source: Smith & Senter 1967, "Automated Readability Index", AMRL-TR-66-220.
    """
    characters, words, sentences = count_units(text)
    return 4.71 * characters / words + 0.5 * words / sentences - 21.43 if words else math.nan


def coleman_liau_index(text: str) -> float:
    """Return 0.0588 L - 0.296 S - 15.8, L letters and S sentences per 100 words (school grades; NaN without words).

    Source: Coleman & Liau 1975, "A computer readability formula designed for machine scoring".
    """
    characters, words, sentences = count_units(text)
    return 5.88 * characters / words - 29.6 * sentences / words - 15.8 if words else math.nan


def readability_statistics(texts: Sequence[str]) -> np.ndarray:
    """Return (n, 2) float32 ARI and Coleman-Liau index of each text."""
    rows = [(automated_readability_index(text), coleman_liau_index(text)) for text in texts]
    return np.array(rows, np.float32).reshape(len(rows), 2)


class Readability(TextSignal):
    """School grades that reading the text takes: automated readability index and Coleman-Liau index."""

    name = "readability"
    columns = ("ari", "coleman_liau")

    def compute(self, texts: Sequence[str], labels: np.ndarray) -> np.ndarray:
        return readability_statistics(texts)

    def identity(self) -> dict[str, Any]:
        """Return its name, and a rule that was once another: the texts of a pair had no sentence end between them."""
        return {"scorer": "readability", "pairs": "sentences of their own"}
