"""How a sweep stands, from its files: what its command says at the end, and ends with."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from raybert.errors import ExitCode
from raybert.sweeping.folder.failures import FailedRun, FailureGroup, group_failures
from raybert.sweeping.folder.layout import SweepFolder
from raybert.sweeping.folder.pool_texts import PoolTexts
from raybert.sweeping.plan.specs import RunSpec


@dataclass(frozen=True)
class Outcome:
    """How a sweep ended, read from its files.

    Attributes:
        folder: of the results.
        num_complete: trials with a result.
        num_failed: trials with a recorded failure.
        num_pending: trials that the same command would run.
        errors: distinct failures, most frequent first.
        texts: of the pool, as long as who ran the sweep has them in memory; None: not, or they are to be shown nowhere.
    """

    folder: Path
    num_complete: int
    num_failed: int
    num_pending: int
    errors: tuple[FailureGroup, ...]
    texts: PoolTexts | None = field(default=None, repr=False, compare=False)

    @property
    def exit_code(self) -> ExitCode:
        """What its command ends with."""
        if self.num_pending:
            return ExitCode.INTERRUPTED
        if not self.num_failed:
            return ExitCode.DONE
        return ExitCode.SOME_FAILED if self.num_complete else ExitCode.FAILED


@dataclass(frozen=True)
class SuggestionCounts:
    """How the suggestions of a search stand, whose runs are no trials of the plan.

    Attributes:
        num_complete: finished or pruned.
        num_pending: that the same command would run.
        failures: every failed suggestion, and what arms could not begin for.
    """

    num_complete: int = 0
    num_pending: int = 0
    failures: tuple[FailedRun, ...] = ()


def read_outcome(
    folder: SweepFolder, trials: Sequence[RunSpec], suggestions: SuggestionCounts | None = None
) -> Outcome:
    """Return how things stand, from the trials' files and the search before them."""
    suggestions = suggestions or SuggestionCounts()
    counts = Counter(folder.trial(spec.trial_id).status() for spec in trials)
    failed = [*folder.failed(spec.summary() for spec in trials), *suggestions.failures]
    return Outcome(
        folder=folder.path,
        num_complete=counts["complete"] + suggestions.num_complete,
        num_failed=len(failed),
        num_pending=counts["pending"] + suggestions.num_pending,
        errors=group_failures(failed),
    )
