"""The section `data.augment`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from pydantic import Field, model_validator

from raybert.config.section import Section

KEY = "data.augment.name"
_RATE = 0.1


class AugmentConfig(Section):
    """How the chosen examples are changed while they are trained on; nothing else ever sees changed texts."""

    stands_for: ClassVar[str] = "name"
    in_words: ClassVar[Mapping[str, str]] = {"name": "token_dropping, word_swapping, or `module:function` of your own"}

    name: str = Field(
        pattern=r"^(token_dropping|word_swapping|[\w.]+:\w+)$",
        description="token_dropping (word pieces are left out), word_swapping (words change places), or "
        "`module:function` of your own: (text, label, generator) -> text, and for pairs (text, text_pair) in place of "
        "text",
    )
    rate: float = Field(
        _RATE,
        gt=0,
        lt=1,
        description="token_dropping: chance of each word piece to be left out; word_swapping: swaps of two words "
        "for each one of a text, at least one swap",
    )
    each_pass: bool = Field(
        True, description="change an example anew in every pass; false: in the same way in all of them"
    )

    @model_validator(mode="after")
    def _rate_belongs_to_ours(self) -> AugmentConfig:
        if self.is_own and self.rate != _RATE:
            raise ValueError("rate: must be left out with a function of your own, which knows how much it changes")
        return self

    @property
    def is_own(self) -> bool:
        """Whether it is a function of the user's own."""
        return ":" in self.name

    def describe(self) -> str:
        """Return it in words, for notes."""
        rate = "" if self.is_own else f" (rate {self.rate:g})"
        return f"{self.name}{rate}, {'anew in every pass' if self.each_pass else 'the same way in all passes'}"
