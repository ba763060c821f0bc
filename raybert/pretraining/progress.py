"""What a pretraining tells of itself while it is at work."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class PretrainingProgress:
    """Who is told; this one says nothing."""

    def note(self, text: str) -> None:
        """Learn what a user should know, in one line."""

    def phase(self, text: str) -> None:
        """Learn that something goes on before any model is trained."""

    def found(self, name: str, summary: Mapping[str, Any]) -> None:
        """Learn that a model was finished before."""

    def preparing(self, name: str) -> None:
        """Learn that documents of a model are tokenized and packed."""

    def started(self, name: str, total_steps: int, ran_on: str) -> None:
        """Learn that a model's training begins, or goes on.

        Args:
            name: corpus and seed.
            total_steps: T.
            ran_on: device and precision, in words.
        """

    def stepped(self, step: int) -> None:
        """Learn that a step is done; must be quick."""

    def evaluated(self, row: Mapping[str, Any]) -> None:
        """Learn of an evaluation."""

    def ended(self, name: str, summary: Mapping[str, Any]) -> None:
        """Learn that a model is finished."""

    def failed(self, name: str, why: str) -> None:
        """Learn that a model cannot be trained."""
