"""What a training run is asked to do."""

from __future__ import annotations

from dataclasses import dataclass, field

from raybert.config import MonitorConfig, TrainConfig
from raybert.files import json_digest


@dataclass(frozen=True)
class FitRequest:
    """How to train, apart from the model, its data, what passes choose, and where it runs.

    Attributes:
        config: the train section.
        total_steps: optimizer steps T.
        seed: of order and dropout.
        last_step: training ends here, before T, which the schedules of rates still refer to; None: at T.
        evaluate_test: False never reads the test split.
        monitor: what is measured on the way, into the folder that holds the checkpoint folder; nothing else changes.
    """

    config: TrainConfig
    total_steps: int
    seed: int
    last_step: int | None = None
    evaluate_test: bool = True
    monitor: MonitorConfig = field(default_factory=MonitorConfig)

    @property
    def end(self) -> int:
        """The step after which training is over."""
        return self.total_steps if self.last_step is None else self.last_step

    def run_key(self, data_fingerprint: str, world_size: int) -> str:
        """Identify what a checkpoint continues: all that the weights after a step depend on, but for the model.

        Args:
            data_fingerprint: of the data.
            world_size: ranks that share a batch.
        """
        settings = {
            "train": self.config.model_dump(mode="json", exclude={"checkpoint_seconds", "micro_batch_size"}),
            "total_steps": self.total_steps,
            "seed": self.seed,
            "data": data_fingerprint,
            "world_size": world_size,
        }
        return json_digest(settings)
