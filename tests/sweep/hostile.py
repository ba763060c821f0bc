"""Strategies that misbehave, for the tests of what a sweep makes of it."""

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

from raybert.selection.strategies.baselines import Random
from raybert.selection.strategy import Pool, Selection


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


def hang_on_purpose() -> None:
    while True:
        time.sleep(60)
