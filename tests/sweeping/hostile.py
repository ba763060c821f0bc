"""Strategies that misbehave, for the tests of what a sweep makes of it."""

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

from raybert.selection.pool import Pool, Selection
from raybert.selection.scorers.lexical import Lexical
from raybert.selection.scorers.scorer import ScoreFunction, ScoringData
from raybert.selection.scorers.text import TextScorer
from raybert.selection.strategies.baselines import Random


@dataclass(frozen=True)
class Hostile(Random):
    """Chooses like `random`, but not before it has misbehaved some times.

    Attributes:
        folder: where it remembers how often.
        times: how often.
        by: `hang` or `die`.
    """

    name = "hostile"
    folder: str = ""
    times: int = 1
    by: str = "hang"

    def choose(self, pool: Pool, budget: int) -> Selection:
        past = Path(self.folder) / f"{self.by}-{self.times}"
        num_past = int(past.read_text()) if past.exists() else 0
        if num_past < self.times:
            past.write_text(str(num_past + 1))
            if self.by == "die":
                os.kill(os.getpid(), signal.SIGKILL)
            hang_on_purpose()
        return super().choose(pool, budget)


class HangingScorer(TextScorer):
    """Counts words, but not before it has hung some times: in an actor if `uses_model`, else in a task."""

    def __init__(self, folder: Path, times: int, uses_model: bool) -> None:
        lexical = TextScorer.of(Lexical())
        super().__init__(lexical.signal, lexical.stamp)
        self.folder, self.times, self.uses_model = folder, times, uses_model

    def load(self, scoring_data: ScoringData) -> ScoreFunction:
        num_past = len(list(self.folder.glob("*.hung")))
        if num_past < self.times:
            (self.folder / f"{num_past}.hung").touch()
            hang_on_purpose()
        return super().load(scoring_data)


def hang_on_purpose() -> None:
    while True:
        time.sleep(60)
