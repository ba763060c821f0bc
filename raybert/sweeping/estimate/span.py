"""A quantity that is not known exactly: its expected value between a low and a high one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from raybert.sweeping.plan import placement

_BOUNDS = ("low", "expected", "high")


@dataclass(frozen=True)
class Span:
    """Low, expected and high value of a quantity; sums of spans assume that all are low, or high, together."""

    low: float
    expected: float
    high: float

    @classmethod
    def exactly(cls, value: float) -> Span:
        """Return a known quantity."""
        return cls(value, value, value)

    @classmethod
    def of_times(cls, seconds: Sequence[float]) -> Span:
        """Return the mean of measured times between their quartiles: a cautious range of the mean of many."""
        low, high = np.quantile(seconds, [0.25, 0.75])
        mean = float(np.mean(seconds))
        return cls(min(float(low), mean), mean, max(float(high), mean))

    def __add__(self, other: Span) -> Span:
        return Span(self.low + other.low, self.expected + other.expected, self.high + other.high)

    def __mul__(self, factor: float | Span) -> Span:
        by = factor if isinstance(factor, Span) else Span.exactly(factor)
        return Span(self.low * by.low, self.expected * by.expected, self.high * by.high)


NOTHING = Span.exactly(0.0)


def total(spans: Iterable[Span]) -> Span:
    """Return the sum."""
    return sum(spans, NOTHING)


def makespan(durations: Sequence[Span], slots: int) -> Span:
    """Return how long trials take together that start in order, each as soon as one of the slots is free."""
    return Span(*(placement.makespan([getattr(d, bound) for d in durations], slots) for bound in _BOUNDS))
