"""The keys `train.checkpoints` and `train.start`: what of a run is kept on the way, and what a run begins from."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from raybert.config.section import Section


class CheckpointsConfig(Section):
    """Checkpoints that stay, each with its model and all that training goes on from. No result depends on them."""

    stands_for: ClassVar[str] = "every"

    every: int | Literal["epoch"] | None = Field(
        None,
        description="optimizer steps between checkpoints that stay, or `epoch`: at the end of a pass; the last one is "
        "at the end of the run; null: none but the best model",
    )
    keep_last: int | None = Field(
        None, ge=1, description="how many of them stay, with the one of the best evaluation; null: all"
    )

    @property
    def is_active(self) -> bool:
        """Whether any are kept."""
        return self.every is not None

    @field_validator("every")
    @classmethod
    def _every_positive(cls, every: int | str | None) -> int | str | None:
        if isinstance(every, int) and every < 1:
            raise ValueError(f"must be >= 1, epoch or null, got {every}")
        return every

    @model_validator(mode="after")
    def _keeps_what_there_is(self) -> CheckpointsConfig:
        if self.keep_last is not None and self.every is None:
            raise ValueError("keep_last: must be left out without `every`, which makes checkpoints")
        return self


class StartConfig(Section):
    """The checkpoint that a run begins from; `raybert train --resume-from` sets it."""

    checkpoint: str | None = Field(
        None, description="folder of a checkpoint, or of a model; default: the encoder's weights and a new head"
    )
    digest: str | None = Field(None, description="of its content, on which the results depend")
    weights_only: bool = Field(
        False, description="take the weights, and train as from the start; else optimizer, schedule and order go on"
    )

    @model_validator(mode="after")
    def _begins_from_something(self) -> StartConfig:
        for key, is_set in (("weights_only", self.weights_only), ("digest", self.digest is not None)):
            if is_set and self.checkpoint is None:
                raise ValueError(f"{key}: must be left out without `checkpoint`, which the run begins from")
        return self
