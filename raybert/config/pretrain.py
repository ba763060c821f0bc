"""The sections `model` and `pretrain` of a pretraining file: what is trained, and how."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from pydantic import Field, SerializerFunctionWrapHandler, ValidationError, model_serializer, model_validator

from raybert.config.checkpoints import CheckpointsConfig
from raybert.config.optimization import OptimizerConfig, ScheduleConfig
from raybert.config.section import Section
from raybert.config.train import AveragingConfig, TrainConfig
from raybert.errors import ConfigError

_MOST_WARMUP = 1000
_WARMUP_FRACTION = 0.1
_OF_THE_LOOP = (
    "batch_size", "micro_batch_size", "gradient_checkpointing", "compile", "optimizer", "learning_rate", "layer_decay",
    "weight_decay", "final_weight_decay", "betas", "epsilon", "schedule", "averaging", "max_grad_norm", "precision",
    "eval_every", "checkpoint_seconds", "checkpoints",
)  # fmt: skip
"""Keys that mean what they mean in `train`."""


_MOST_SEEDS = 10_000
"""More is a seed, not a number of seeds."""


def as_seeds(given: Any) -> Any:
    """Return the seeds 0, 1, ... of a number of them, and everything else as it is, if its seeds are distinct.

    Raises:
        ValueError: they are not, or the number is no number of seeds.
    """
    if isinstance(given, int) and not isinstance(given, bool):
        if not 1 <= given <= _MOST_SEEDS:
            raise ValueError(f"must be a number of seeds in 1..{_MOST_SEEDS} or a list of seeds, got {given}")
        return tuple(range(given))
    are_seeds = isinstance(given, (list, tuple)) and all(isinstance(seed, int) for seed in given)
    if are_seeds and (len(set(given)) < len(given) or any(seed < 0 for seed in given)):
        raise ValueError(f"must be distinct and >= 0, got {list(given)}")
    return given


class PretrainedModelConfig(Section):
    """The model that is pretrained: a new one, or an encoder that goes on."""

    stands_for: ClassVar[str] = "encoder"

    kind: Literal["bert", "modernbert"] = Field("modernbert", description="architecture of a new model")
    size: Literal["tiny", "mini", "small", "base"] = Field(
        "tiny", description="layers x width: tiny 2 x 128, mini 4 x 256, small 4 x 512, base 12 x 768"
    )
    config: dict[str, Any] = Field(
        default_factory=dict, description="keys of the architecture's configuration over those of the size"
    )
    encoder: str | None = Field(
        None, min_length=1, description="folder of an encoder to go on from, with its tokenizer; default: a new model"
    )
    attention: Literal["auto", "sdpa", "eager", "unpadded"] = Field(
        "auto",
        description="how attention is computed, as `model.attention` of a sweep; unpadded: without padding and masks, "
        "for GPUs; auto: sdpa, or eager for short sequences on a CPU",
    )

    @model_validator(mode="after")
    def _new_or_not(self) -> PretrainedModelConfig:
        given = sorted(self.model_fields_set & {"kind", "size", "config"})
        if self.encoder is not None and given:
            raise ValueError(f"{given[0]}: must be left out beside `encoder`, which has its own, got a value")
        return self

    @model_serializer(mode="wrap")
    def _as_read(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out what may not be given, so that a written file reads back."""
        document: dict[str, Any] = write(self)
        return document if self.encoder is None else {"encoder": document["encoder"]}


class MaskedConfig(Section):
    """Masked language modelling."""

    stands_for: ClassVar[str] = "share"

    share: float = Field(0.15, gt=0, lt=1, description="of the word pieces that the model must guess")
    mask: float = Field(0.8, ge=0, le=1, description="of these, replaced by [MASK]")
    random: float = Field(0.1, ge=0, le=1, description="of these, replaced by a random piece; the rest stays")
    whole_words: bool = Field(False, description="choose words, whose pieces are masked together")

    @model_validator(mode="after")
    def _shares_of_one(self) -> MaskedConfig:
        if self.mask + self.random > 1 + 1e-9:
            raise ValueError(f"mask: must be <= {1 - self.random:g} (1 - random), got {self.mask:g}")
        return self


class ContrastiveConfig(Section):
    """SimCSE: two dropout views of a sentence are to be nearer than others of its group."""

    weight: float = Field(1.0, gt=0, description="factor of its loss beside that of masked language modelling")
    temperature: float = Field(0.05, gt=0, description="that cosines are divided by")
    sentences: Literal["documents", "lines"] = Field(
        "documents", description="what a sentence is; lines: every line of a document becomes a document"
    )
    group: int = Field(
        16, ge=1, description="packed sequences whose sentences are each other's negatives, in one forward pass"
    )
    dropout: float = Field(0.1, gt=0, lt=1, description="of the encoder, which makes the two views")


class PretrainLengthConfig(Section):
    """How long a model is pretrained; exactly one of these."""

    steps: int | None = Field(None, gt=0, description="optimizer steps T")
    epochs: float | None = Field(None, gt=0, description="passes over the corpus")
    tokens: int | float | None = Field(None, gt=0, description="word pieces of train, to the nearest step above")
    hours: float | None = Field(
        None, gt=0, description="on this machine: the first steps are timed, T follows, and is kept for restarts"
    )

    @model_validator(mode="after")
    def _exactly_one(self) -> PretrainLengthConfig:
        given = [name for name, value in self if value is not None]
        if len(given) != 1:
            raise ValueError(
                f"must have exactly one of steps, epochs, tokens and hours, got {', '.join(given) or 'none'}"
            )
        return self


class PretrainStoppingConfig(Section):
    """When a run may end before T: validation loss gets no better."""

    stands_for: ClassVar[str] = "patience"

    patience: int | None = Field(3, ge=1, description="evaluations without a lower validation loss; null: never")
    min_change: float = Field(0.0, ge=0, description="least change that counts")


class PretrainConfig(Section):
    """How models are pretrained."""

    masked: MaskedConfig | None = Field(MaskedConfig(), description="masked language modelling; null: without")
    contrastive: ContrastiveConfig | None = Field(None, description="contrastive objective; default: without")
    max_length: int = Field(128, ge=8, description="word pieces of a packed sequence, special ones included")
    length: PretrainLengthConfig = PretrainLengthConfig(epochs=3.0)
    batch_size: int = Field(64, gt=0, description="packed sequences per optimizer step, over all workers")
    micro_batch_size: int | Literal["auto"] | None = Field(
        None, description="sequences per forward pass and worker, accumulated; auto: the most that fit into memory"
    )
    gradient_checkpointing: bool = Field(False, description="as of `train`")
    compile: bool = Field(False, description="as of `train`")
    optimizer: OptimizerConfig = OptimizerConfig()
    learning_rate: float = Field(5e-4, gt=0, description="peak learning rate")
    layer_decay: float = Field(1.0, gt=0, le=1, description="as of `train`")
    weight_decay: float = Field(0.01, ge=0, description="as of `train`")
    final_weight_decay: float | None = Field(None, ge=0, description="as of `train`")
    betas: tuple[float, float] = Field((0.9, 0.999), description="as of `train`")
    epsilon: float = Field(1e-8, gt=0, description="as of `train`")
    schedule: ScheduleConfig = ScheduleConfig()
    warmup_fraction: float | None = Field(
        None, ge=0, le=1, description="share of T with linear warm-up; default: a tenth, at most 1,000 steps"
    )
    warmup_steps: int | None = Field(None, ge=0, description="steps with linear warm-up, in place of the share")
    averaging: AveragingConfig = AveragingConfig()
    max_grad_norm: float | None = Field(1.0, gt=0, description="gradient clipping; null: none")
    precision: Literal["auto", "fp32", "tf32", "bf16", "fp16"] = Field("auto", description="as of `train`")
    eval_every: int | Literal["epoch"] | None = Field(
        None, description="steps between evaluations; default: ceil(T/10)"
    )
    evaluate_on: int = Field(
        1000, gt=0, description="packed sequences of validation at most, the same ones for every seed"
    )
    early_stopping: PretrainStoppingConfig | None = Field(
        PretrainStoppingConfig(), description="end before T; null: never"
    )
    checkpoint_seconds: float = Field(60, ge=0, description="as of `train`")
    checkpoints: CheckpointsConfig = CheckpointsConfig()

    @model_validator(mode="after")
    def _something_is_learned(self) -> PretrainConfig:
        if self.masked is None and self.contrastive is None:
            raise ValueError("masked: must not be null without `contrastive`: nothing would be learned")
        if self.warmup_steps is not None and self.warmup_fraction is not None:
            raise ValueError("must have `warmup_steps` or `warmup_fraction`, not both")
        group, size = 1 if self.contrastive is None else self.contrastive.group, self.micro_batch_size
        if isinstance(size, int) and size < group:
            raise ValueError(
                f"micro_batch_size: must be >= contrastive.group ({group}), whose sequences go through the model "
                f"together, got {size}"
            )
        try:
            self.as_train(1)
        except ConfigError as error:
            raise ValueError(str(error)) from None
        return self

    def warmup(self, total_steps: int) -> int:
        """Return the steps of warm-up of T."""
        if self.warmup_steps is not None:
            return min(self.warmup_steps, total_steps)
        if self.warmup_fraction is not None:
            return math.ceil(self.warmup_fraction * total_steps)
        return min(_MOST_WARMUP, math.ceil(_WARMUP_FRACTION * total_steps))

    def as_train(self, total_steps: int) -> TrainConfig:
        """Return the same as the training loop takes it; the best evaluation is that of the lowest validation loss.

        Args:
            total_steps: T.

        Raises:
            ConfigError: a key has a value that the loop does not take.
        """
        document: Mapping[str, Any] = self.model_dump(mode="json", include=set(_OF_THE_LOOP))
        stopping = {} if self.early_stopping is None else self.early_stopping.model_dump(mode="json")
        try:
            return TrainConfig.model_validate(
                {
                    **document,
                    "length": {"steps": total_steps},
                    "warmup_steps": self.warmup(total_steps),
                    "best_metric": "loss",
                    "early_stopping": stopping,
                }
            )
        except ValidationError as error:  # of rules between keys: each alone has been checked here
            first = error.errors()[0]
            place = ".".join(map(str, first["loc"]))
            rule = first["msg"].removeprefix("Value error, ")
            raise ConfigError(f"{place}{': ' if rule.startswith('must') else '.'}{rule}" if place else rule) from None
