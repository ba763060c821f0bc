"""Whether a model knows more than which class is the most frequent one."""

from __future__ import annotations

_MARGIN = 0.1
"""Accuracy above the share of the largest class from which on rankings by a model's outputs mean something."""
_PART = 0.2
"""Of what the largest class leaves open: above 90 % nobody can be 10 points better."""
_LEVEL = 0.05


def is_weak(hits: int, number: int, majority: float) -> bool:
    """Tell whether so many right answers are hardly more than always saying the most frequent class gives.

    They are if they are fewer than 10 points above it (or than a fifth of what it leaves open, if that is less), or if
    they are within chance: the exact one-sided binomial test at 5 %.

    Args:
        hits: right answers.
        number: of examples.
        majority: share of the most frequent class.
    """
    from scipy.special import bdtrc  # scipy.stats would be slow to import, and says the same

    if majority >= 1.0:
        return False
    if hits / number < majority + min(_MARGIN, _PART * (1 - majority)):
        return True
    return float(bdtrc(hits - 1, number, majority)) > _LEVEL
