"""What a training run is asked to do."""

from __future__ import annotations

from dataclasses import dataclass, field

from raybert.config import MonitorConfig, TrainConfig
from raybert.files import json_digest
from raybert.training.length import RunLength


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
    """

    config: TrainConfig
    total_steps: int
    seed: int
    last_step: int | None = None
    evaluate_test: bool = True
    monitor: MonitorConfig = field(default_factory=MonitorConfig)
    passes: float | None = None
    examples: int | None = None

    @property
    def end(self) -> int:
        """The position at which training is over: the step after which it is, where the length is in steps."""
        return self.total_steps if self.last_step is None else self.last_step

    @property
    def length(self) -> RunLength:
        """What the position of the run follows."""
        return RunLength(self.total_steps, self.config.batch_size, self.passes, self.examples)

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
            **({} if self.passes is None else {"passes": self.passes}),
            **({} if self.examples is None else {"examples": self.examples}),
        }
        return json_digest(settings)
