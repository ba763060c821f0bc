"""How a metric is written for people: shares in percent and points, everything else in its own unit."""

from __future__ import annotations

import math
from dataclasses import dataclass

from raybert.config import metric_of


@dataclass(frozen=True)
class Scale:
    """Numbers of one metric in words.

    Attributes:
        metric: its name, in `METRICS` or of a user's own.
    """

    metric: str

    @property
    def words(self) -> str:
        """Its name for people."""
        return metric_of(self.metric).words

    @property
    def axis_words(self) -> str:
        """Its name at an axis: of an error or a loss with the reminder that less is better."""
        return self.words if self.sign > 0 else f"{self.words} (less is better)"

    @property
    def is_percent(self) -> bool:
        """Whether it is a share, which is written in percent."""
        return (metric_of(self.metric).lowest, metric_of(self.metric).highest) == (0.0, 1.0)

    @property
    def sign(self) -> float:
        """1 where more is better, else -1."""
        return -1.0 if metric_of(self.metric).lower_is_better else 1.0

    @property
    def lowest(self) -> float:
        """The smallest value that there can be."""
        return metric_of(self.metric).lowest

    @property
    def highest(self) -> float:
        """The largest; may be infinite."""
        return metric_of(self.metric).highest

    @property
    def largest_difference(self) -> float:
        """The largest absolute difference of two values; may be infinite."""
        return self.highest - self.lowest

    def value(self, number: float) -> str:
        """Return a value: `75.6` (percent) or `0.417`."""
        return f"{_plain(100 * number, 1):.1f}" if self.is_percent else f"{_plain(number, 3):.3f}"

    def difference(self, number: float) -> str:
        """Return a difference with its sign: `+3.4` (points) or `-0.021`."""
        return f"{_plain(100 * number, 1):+.1f}" if self.is_percent else f"{_plain(number, 3):+.3f}"

    def margin(self, number: float) -> str:
        """Return a margin: `0.5 points`, or `0.005` of what is no share."""
        if not self.is_percent:
            return f"{number:.3g}"
        return f"{100 * number:.3g} point{'' if round(100 * number, 9) == 1 else 's'}"

    @property
    def points(self) -> str:
        """What follows a difference in a sentence: ` points`, or nothing."""
        return " points" if self.is_percent else ""


def _plain(number: float, digits: int) -> float:
    """Return a rounded number, zero without a sign."""
    return round(number, digits) + 0.0


def interval_words(low: float, high: float, scale: Scale, *, of_difference: bool = False) -> str:
    """Return ` [72.6, 78.4]` for what stands before it, or nothing where there is no interval."""
    if math.isnan(low):
        return ""
    words = scale.difference if of_difference else scale.value
    return f" [{words(low)}, {words(high)}]"
