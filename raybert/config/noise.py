"""The section `data.noise`."""

from __future__ import annotations

from pydantic import Field, model_validator

from raybert.config.section import Section


class NoiseConfig(Section):
    """Noise that is planted in the pool, and remembered: how much of it does each strategy keep?"""

    flip: float = Field(0.0, ge=0, lt=1, description="share of the pool that gets the label of another class")
    shuffle_words: float = Field(0.0, ge=0, lt=1, description="share of the pool whose words change places")
    duplicate: float = Field(
        0.0, ge=0, lt=1, description="copies of examples that are added to the pool, as a share of it"
    )
    seed: int = Field(0, ge=0, description="of which examples, and of what becomes of them; shared by all trials")

    @model_validator(mode="after")
    def _something_is_left_as_it_was(self) -> NoiseConfig:
        if self.flip + self.shuffle_words + self.duplicate > 1:
            raise ValueError(
                "flip, shuffle_words and duplicate: must be at most 1 together, as no example is of two kinds, got "
                f"{self.flip + self.shuffle_words + self.duplicate:g}"
            )
        return self

    @property
    def is_planted(self) -> bool:
        """Whether there is any."""
        return self.flip + self.shuffle_words + self.duplicate > 0
