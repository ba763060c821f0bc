"""What a trial writes into its log while it runs: what it is, every evaluation, and a sign now and then between two."""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from raybert.config import sign_of
from raybert.polling import Throttle
from raybert.selection.pool import Selection
from raybert.sweeping.folder.last_evaluation import last_evaluation, pace_in_words, place_in_words
from raybert.sweeping.folder.trial_log import BEGINNING
from raybert.sweeping.plan.specs import RunSpec

SECONDS_BETWEEN_SIGNS = 30.0
"""Without an evaluation, after which a line says how far the trial is."""


@dataclass
class Journal:
    """Words about a run at work, for its log; made where it begins, and again by each process that trains for it.

    Attributes:
        metric: by which its best evaluation is chosen.
        total_steps: T.
        passes: E, if it ends after so many.
        examples: N, if it ends after so many.
        rows: the newest evaluation.
        best: value of the best one.
        step: of the last sign.
        signs: when the next one is due.
    """

    metric: str
    total_steps: int
    passes: float | None = None
    examples: int | None = None
    rows: list[Mapping[str, Any]] = field(default_factory=list)
    best: float = math.nan
    step: int | None = None
    signs: Throttle = field(default_factory=lambda: Throttle(SECONDS_BETWEEN_SIGNS))

    @classmethod
    def of(cls, spec: RunSpec) -> Journal:
        """Return that of a run."""
        return cls(spec.config.train.best_metric, spec.total_steps, spec.passes, spec.examples)

    def anew(self) -> Journal:
        """Return one for another process."""
        return replace(self, rows=[], best=math.nan, step=None, signs=Throttle(SECONDS_BETWEEN_SIGNS))

    def evaluated(
        self, log: logging.Logger, row: Mapping[str, Any], earlier: Callable[[], Sequence[Mapping[str, Any]]]
    ) -> None:
        """Log an evaluation.

        Args:
            log: of the trial.
            row: the evaluation.
            earlier: returns the evaluations in the trial's file, asked for once in a process that goes on with a run.
        """
        number = row["evaluation"]
        if not self.rows and number > 1:
            for old in earlier():
                if old["evaluation"] < number:
                    self._learn(old)
        is_best = self._learn(row)
        news = last_evaluation(self.rows, self.metric)
        place = place_in_words(row, self.total_steps, self.passes, self.examples)
        log.info(
            "evaluation %d at %s, %s examples seen: %s%s",
            number,
            place,
            f"{row['examples_seen']:,}",
            news,
            "; the best so far" if is_best else "",
        )
        self.signs.is_due(force=True)
        self.step = None

    def stepped(self, log: logging.Logger, step: int) -> None:
        """Log how far the run is, if nothing was said for long."""
        if self.step is None:  # of this process, or since an evaluation: from here on it is counted
            self.step = step
            self.signs.is_due(force=True)
            return
        seconds = self.signs.seconds_since()
        if self.signs.is_due():
            pace = pace_in_words((step - self.step) / seconds)
            log.info("step %s of %s, %s steps/s", f"{step:,}", f"{self.total_steps:,}", pace)
            self.step = step

    def _learn(self, row: Mapping[str, Any]) -> bool:
        """Take in an evaluation; return whether it is the best so far."""
        self.rows = [*self.rows[-1:], row]
        value = row.get(f"validation_{self.metric}")
        if not isinstance(value, (int, float)):
            return False
        is_best = math.isnan(self.best) or sign_of(self.metric) * value > sign_of(self.metric) * self.best
        self.best = float(value) if is_best else self.best
        return is_best


def log_beginning(log: logging.Logger, spec: RunSpec, why_again: str | None) -> None:
    """Log which run an attempt is at, and why there is another one.

    Args:
        log: of the trial.
        spec: of the run.
        why_again: None: it begins for the first time.
    """
    log.info(
        "%s %s, %s: %s %s, process %d on %s",
        BEGINNING,
        spec.label,
        spec.replicate,
        spec.role,
        spec.trial_id,
        os.getpid(),
        os.uname().nodename,
    )
    if why_again is not None:
        log.warning("begun again: %s", why_again)
    length = f"{spec.total_steps:,} steps"
    if spec.passes is not None:
        length = f"{spec.passes:g} passes, at most {length}"
    elif spec.examples is not None:
        length = f"until {spec.examples:,} examples are seen"
    grid = "".join(f", {key}={value}" for key, value in spec.grid.items())
    train = spec.config.train
    log.info(
        "trains on %s of %s examples, %s, learning rate %g, batches of %d%s",
        f"{spec.num_chosen:,}",
        f"{spec.pool_size:,}",
        length,
        train.learning_rate,
        train.batch_size,
        grid,
    )


def log_choice(log: logging.Logger, spec: RunSpec, chosen: Selection | None, seconds: float) -> None:
    """Log what was chosen before training, or that the strategy chooses while it trains."""
    if chosen is None:
        log.info("chooses from %s examples while it trains", f"{spec.pool_size:,}")
        return
    refilled = f", {chosen.refilled:,} taken back from what a filter dropped" if chosen.refilled else ""
    log.info(
        "selected %s of %s examples in %.2f s%s", f"{len(chosen.positions):,}", f"{spec.pool_size:,}", seconds, refilled
    )
