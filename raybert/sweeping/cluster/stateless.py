"""What of ours Ray Tune holds, and must not take along into its snapshots."""

from __future__ import annotations

from typing import Any


class Stateless:
    """Base of callbacks, searchers and schedulers that Tune's snapshots leave empty.

    Tune pickles them about once a minute, and nothing is ever restored from there: a sweep continues from its own
    files. What they hold (locks, a terminal, studies) could not be pickled.
    """

    def __getstate__(self) -> dict[str, Any]:
        """Leave everything out."""
        return {}
