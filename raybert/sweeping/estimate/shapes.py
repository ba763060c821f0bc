"""Model shapes: trials of one shape take the same time for a step, whatever they train on and for how long."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from raybert.config import TrainConfig
from raybert.config.data import AFTER_LOADING
from raybert.files import content_key
from raybert.sweeping.plan.specs import RunSpec

_TRAIN_KEYS = {
    *("batch_size", "micro_batch_size", "gradient_checkpointing", "compile", "precision", "loss", "averaging"),
    "optimizer",
}
"""Keys of `train` that decide how long a step takes."""


@dataclass(frozen=True)
class Shape:
    """What is probed once.

    Attributes:
        key: content hash of what decides about the time of a step.
        spec: the longest of its trials, which is probed.
        num_steps: optimizer steps of all its trials.
    """

    key: str
    spec: RunSpec
    num_steps: int

    @property
    def label(self) -> str:
        """What it is, in words."""
        config = self.spec.config
        train, kind = config.train, " (IRIS)" if config.model.kind == "iris" else ""
        kind = f" ({config.model.kind})" if config.model.is_own else kind
        parts = [f"{config.model.encoder}{kind}, {config.data.max_length} word pieces, batch {train.batch_size}"]
        if train.micro_batch_size is not None:
            parts.append(f"micro-batch {train.micro_batch_size}")
        if train.gradient_checkpointing:
            parts.append("gradient checkpointing")
        return ", ".join([*parts, f"precision {train.precision}"])


def shape_key(spec: RunSpec) -> str:
    """Return what trials with equally expensive steps share. The folds of a source do."""
    config = spec.config
    return content_key(
        {
            "data": config.data.model_dump(mode="json", exclude={"folds", *AFTER_LOADING}),
            "encoder": config.model.data_part(),
            "model": config.model.model_dump(mode="json", exclude={"dropout"}),
            "train": config.train.identity(without=TrainConfig.model_fields.keys() - _TRAIN_KEYS),
            "resources": config.resources.model_dump(mode="json", exclude={"concurrent_trials"}),
        }
    )


def group_shapes(specs: Iterable[RunSpec]) -> list[Shape]:
    """Return the shapes of trials, those with the most steps first."""
    groups: dict[str, list[RunSpec]] = {}
    for spec in specs:
        groups.setdefault(shape_key(spec), []).append(spec)
    shapes = [
        Shape(key, max(group, key=lambda spec: spec.total_steps), sum(spec.total_steps for spec in group))
        for key, group in groups.items()
    ]
    return sorted(shapes, key=lambda shape: -shape.num_steps)
