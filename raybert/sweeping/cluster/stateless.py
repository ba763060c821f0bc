"""What of ours Ray Tune holds, and must not take along into its snapshots."""

from __future__ import annotations

from typing import Any

from ray.tune.search import Searcher


class Stateless:
    """Base of callbacks, searchers and schedulers that Tune's snapshots leave empty.

    Tune pickles them about once a minute, and nothing is ever restored from there: a sweep continues from its own
    files. What they hold (locks, a terminal, studies) could not be pickled.
    """

    def __getstate__(self) -> dict[str, Any]:
        """Leave everything out."""
        return {}


class StatelessSearcher(Stateless, Searcher):
    """Base of what hands out runs: it has no metric of its own, keeps nothing, and restores nothing."""

    def set_search_properties(self, metric: str | None, mode: str | None, config: dict[str, Any], **spec: Any) -> bool:
        """Tell Tune that all is well: with False it would refuse to run."""
        return True

    def save(self, checkpoint_path: str) -> None:
        """Keep nothing."""

    def restore(self, checkpoint_path: str) -> None:
        """Restore nothing."""
