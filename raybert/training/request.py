"""What a training run is asked to do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

from raybert.config import MonitorConfig, TrainConfig
from raybert.data.augment import Augmentation
from raybert.files import json_digest
from raybert.training.length import RunLength
from raybert.training.measures.losses import LossFunction


@dataclass(frozen=True)
class OwnParts:
    """Objects that a script gives in place of what the configuration describes; a sweep has none.

    Attributes:
        loss: (logits, labels) -> one loss per example; None: that of the configuration.
        class_weights: (C,) weights of the classes; None: by the rule of the configuration.
        optimizer: over the model's parameters; None: that of the configuration.
        scheduler: of its learning rates (torch), stepped after every optimizer step, or with the best metric of every
            evaluation where it waits for a plateau; None: the schedule of the configuration, from the rates that the
            optimizer begins with.
        identity: what all this is, as JSON: a checkpoint of other parts is refused.
    """

    loss: LossFunction | None = None
    class_weights: tuple[float, ...] | None = None
    optimizer: torch.optim.Optimizer | None = None
    scheduler: Any = None
    identity: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class FitRequest:
    """How to train, apart from the model, its data, what passes choose, and where it runs.

    Attributes:
        config: the train section.
        total_steps: optimizer steps T; of a run by passes or examples the length of its schedule.
        seed: of order and dropout.
        last_step: training ends at this position, before T, which the schedules of rates still refer to; None: at T.
        evaluate_test: False never reads the test split.
        monitor: what is measured on the way, into the folder that holds the checkpoint folder; nothing else changes.
        passes: E, of a run that ends after so many passes over whatever its planner keeps; None: it does not.
        examples: N, of a run that ends after so many examples; None: it does not.
        own: objects in place of what `config` describes.
        augmentation: changes the examples that are trained on; None: they stay as they are.
        num_workers: that the run was begun for, whose checkpoints it goes on from; None: as many as there are.
    """

    config: TrainConfig
    total_steps: int
    seed: int
    last_step: int | None = None
    evaluate_test: bool = True
    monitor: MonitorConfig = field(default_factory=MonitorConfig)
    passes: float | None = None
    examples: int | None = None
    own: OwnParts = OwnParts()
    augmentation: Augmentation | None = None
    num_workers: int | None = None

    @property
    def end(self) -> int:
        """The position at which training is over: the step after which it is, where the length is in steps."""
        return self.total_steps if self.last_step is None else self.last_step

    @property
    def length(self) -> RunLength:
        """What the position of the run follows."""
        return RunLength(self.total_steps, self.config.batch_size, self.passes, self.examples)

    def settings(self, data_fingerprint: str, world_size: int) -> dict[str, Any]:
        """Return all that the weights after a step depend on, but for the model and what passes choose.

        Args:
            data_fingerprint: of the data.
            world_size: ranks that share a batch.
        """
        return {
            "train": self.config.identity(without=("micro_batch_size",)),
            "total_steps": self.total_steps,
            "seed": self.seed,
            "data": data_fingerprint,
            "world_size": self.num_workers or world_size,
            **({} if self.passes is None else {"passes": self.passes}),
            **({} if self.examples is None else {"examples": self.examples}),
            **({"own": dict(self.own.identity)} if self.own.identity else {}),
            **({} if self.augmentation is None else {"augment": self.augmentation.identity()}),
        }

    def run_key(self, data_fingerprint: str, world_size: int) -> str:
        """Identify what a checkpoint continues: the digest of `settings`."""
        return json_digest(self.settings(data_fingerprint, world_size))
