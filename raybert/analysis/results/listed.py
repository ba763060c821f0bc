"""Names and counts in a sentence."""

from __future__ import annotations

from collections.abc import Iterable

_MOST_NAMES = 4


def listed(names: Iterable[object]) -> str:
    """Return `a, b and c`; of more than four names three, and how many more there are.

    Args:
        names: one at least.
    """
    shown = [str(name) for name in names]
    if len(shown) > _MOST_NAMES:
        shown[_MOST_NAMES - 1 :] = [f"{len(shown) - _MOST_NAMES + 1} more"]
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}"


def count_words(number: int, noun: str) -> str:
    """Return `1 test` or `3 tests`; `1 more` and `3 more` as they are."""
    return f"{number} {noun}{'' if number == 1 or noun == 'more' else 's'}"
