"""How a run at work is doing, in the same words in its log, on the terminal and in `raybert status`."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class LastEvaluation:
    """What an evaluation says to somebody who watches.

    Attributes:
        metric: by which the best evaluation is chosen.
        value: of it, on validation; None: unknown, or not a number.
        train_loss: since the evaluation before.
        learning_rate: of the last step.
        examples_per_second: since the evaluation before, with what evaluating and choosing took; None: unknown.
        perplexity: of a masked language model, on validation; None: it is none, or not a number.
    """

    metric: str
    value: float | None
    train_loss: float | None
    learning_rate: float | None
    examples_per_second: float | None
    perplexity: float | None = None

    def __str__(self) -> str:
        parts = [
            f"loss {_in_words(self.train_loss, '.3f')}",
            f"validation {self.metric} {_in_words(self.value, '.3f')}",
        ]
        if self.perplexity is not None:
            parts.append(f"perplexity {self.perplexity:.1f}")
        if self.learning_rate is not None:  # logs of before have none
            parts.append(f"rate {self.learning_rate:.3g}")
        if self.examples_per_second is not None:
            parts.append(f"{pace_in_words(self.examples_per_second)} examples/s")
        return ", ".join(parts)


def last_evaluation(rows: Sequence[Mapping[str, Any]], metric: str) -> LastEvaluation | None:
    """Return what the newest of some evaluations says; None: there are none.

    Args:
        rows: of one run, oldest first; two are enough.
        metric: by which its best one is chosen.
    """
    if not rows:
        return None
    row = rows[-1]
    return LastEvaluation(
        metric,
        _number(row.get(f"validation_{metric}")),
        _number(row.get("train_loss")),
        _number(row.get("learning_rate")),
        _examples_per_second(row, rows[-2] if len(rows) > 1 else None),
        _number(row.get("validation_perplexity")),
    )


def place_in_words(row: Mapping[str, Any], total_steps: int, passes: float | None, examples: int | None) -> str:
    """Return where a run is at an evaluation, counted as its length is.

    Args:
        row: the evaluation.
        total_steps: T of the run.
        passes: E, if it ends after so many; None: it does not.
        examples: N, if it ends after so many; None: it does not.
    """
    if passes is not None:
        return f"pass {row['pass']:.4g}/{passes:g}"
    if examples is not None:
        return f"example {row['examples_seen']:,}/{examples:,}"
    return f"step {row['step']:,}/{total_steps:,}"


def pace_in_words(per_second: float) -> str:
    """Return how many a second, in as many digits as say something."""
    return f"{per_second:,.0f}" if per_second >= 10 else f"{per_second:.2g}"


def _examples_per_second(row: Mapping[str, Any], before: Mapping[str, Any] | None) -> float | None:
    """Return the pace between two evaluations that follow each other, or from the beginning to the first one."""
    if before is None:
        before = {"evaluation": 0, "examples_seen": 0, "seconds": 0.0}
    if row.get("evaluation") != before.get("evaluation", 0) + 1:
        return None
    examples, seconds = (
        (_number(row.get(key)) or 0.0) - (_number(before.get(key)) or 0.0) for key in ("examples_seen", "seconds")
    )
    return examples / seconds if examples > 0 and seconds > 0 else None


def _number(value: Any) -> float | None:
    is_number = isinstance(value, (int, float)) and math.isfinite(value)
    return float(value) if is_number else None


def _in_words(value: float | None, digits: str) -> str:
    return "not a number" if value is None else format(value, digits)
