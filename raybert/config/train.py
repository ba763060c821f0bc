"""The section `train`: length, loss, optimisation, evaluation."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from typing import Any, ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from raybert.config.checkpoints import CheckpointsConfig, StartConfig
from raybert.config.metrics import MetricName, words_of_lower
from raybert.config.optimization import OptimizerConfig, ScheduleConfig
from raybert.config.own_metrics import MetricConfig, check_is_metric, declare_own
from raybert.config.section import Section
from raybert.config.tasks import LOSSES, REGRESSION


class LengthConfig(Section):
    """How long a trial trains: optimizer steps T, given directly or by epochs."""

    epochs: float | None = Field(None, gt=0, description="passes over the budget (default 3, unless `steps`)")
    min_steps: int = Field(
        100, ge=0, description="lower bound of T when it is given by epochs, unless the whole pool takes less for them"
    )
    steps: int | None = Field(None, gt=0, description="T itself; excludes `epochs`")

    @model_validator(mode="after")
    def _exclusive(self) -> LengthConfig:
        if self.epochs is not None and self.steps is not None:
            raise ValueError("must have `epochs` or `steps`, not both")
        return self

    def resolve(self, budget: int, pool: int, batch_size: int) -> int:
        """Return the optimizer steps T for a budget, the same for every strategy at that budget.

        T = min(max(min_steps, ceil(epochs * ceil(budget / batch_size))), ceil(epochs * ceil(pool / batch_size))).
        """
        if self.steps is not None:
            return self.steps
        wanted = max(self.min_steps, math.ceil(self.num_epochs * math.ceil(budget / batch_size)))
        return max(1, min(wanted, self.most_steps(pool, batch_size)))

    @property
    def num_epochs(self) -> float:
        """Passes over the budget, where T is not given."""
        return 3.0 if self.epochs is None else self.epochs

    def most_steps(self, pool: int, batch_size: int) -> int:
        """Return the steps of so many epochs of the whole pool, which no T that is given by epochs exceeds."""
        return math.ceil(self.num_epochs * math.ceil(pool / batch_size))


class LossConfig(Section):
    """What training minimises."""

    stands_for: ClassVar[str] = "name"
    in_words: ClassVar[Mapping[str, str]] = {
        "name": "cross_entropy, bce, focal, mse, huber, or `module:callable` of your own"
    }

    name: str = Field(
        "cross_entropy",
        pattern=r"^(cross_entropy|bce|focal|mse|huber|[\w.]+:\w+)$",
        description="cross_entropy, bce (two classes, on the difference of logits), focal, or `module:callable` of "
        "your own: (logits, labels) -> one loss per example; `data.task: multi_label`: bce (its default) or focal, the "
        "mean over labels; regression: mse (its default) or huber, of standardised numbers",
    )
    label_smoothing: float = Field(0.0, ge=0, lt=1, description="share of the label spread over all classes")
    class_weights: Literal["none", "inverse", "effective"] = Field(
        "none", description="inverse: n / (C n_c); effective: (1 - beta) / (1 - beta^n_c), scaled to sum C"
    )
    beta: float = Field(0.999, gt=0, lt=1, description="of class_weights: effective")
    weights_from: Literal["pool", "selection"] = Field(
        "pool",
        description="labels that weights are counted from; `selection` balances anew what a strategy un-balanced",
    )
    pos_weight: float | Literal["auto"] | None = Field(
        None, description="bce: factor of class 1, or of every label; auto: negatives / positives, at most 100"
    )
    gamma: float = Field(2.0, ge=0, description="focal: how much confident examples count less")
    alpha: float | Literal["inverse", "balanced"] | None = Field(
        None,
        description="focal: weight of class 1 (class 0 has 1 - alpha); inverse: n_neg / n; balanced: n_pos / n, which "
        "weighs the rare class down",
    )
    delta: float = Field(
        1.0, gt=0, description="huber: error, in standard deviations of the pool, from which on it counts linearly"
    )

    @model_validator(mode="after")
    def _keys_belong_to_the_loss(self) -> LossConfig:
        for key, owner in (("pos_weight", "bce"), ("alpha", "focal")):
            value = getattr(self, key)
            if value is None:
                continue
            if self.name != owner:
                raise ValueError(f"{key}: must be left out, it belongs to the loss {owner}")
            if not isinstance(value, str) and (value <= 0 or (key == "alpha" and value >= 1)):
                raise ValueError(f"{key}: must be {'in (0, 1)' if key == 'alpha' else '> 0'}, got {value}")
        if ":" in self.name and self.label_smoothing:
            raise ValueError("label_smoothing: must be left out with a loss of your own, which smooths itself")
        if self.name in LOSSES[REGRESSION]:
            for key, default in (("label_smoothing", 0.0), ("class_weights", "none")):
                if getattr(self, key) != default:
                    raise ValueError(f"{key}: must be left out, it does not belong to the loss {self.name}")
        if self.delta != 1.0 and self.name != "huber":
            raise ValueError("delta: must be left out, it belongs to the loss huber")
        return self


class AveragingConfig(Section):
    """An average of the weights, which is evaluated and kept in place of the last ones."""

    stands_for: ClassVar[str] = "kind"

    kind: Literal["none", "ema", "swa"] = Field("none", description="ema: exponential; swa: the plain mean")
    decay: float = Field(0.999, gt=0, lt=1, description="ema: share of the average that each step keeps")
    start: float = Field(0.75, ge=0, lt=1, description="share of T after which averaging begins")


_METRIC_IN_WORDS = "the name of a metric (docs: reference/metrics), or of one of `train.metrics`"


class EarlyStoppingConfig(Section):
    """When a run may end before T."""

    stands_for: ClassVar[str] = "patience"
    in_words: ClassVar[Mapping[str, str]] = {"metric": _METRIC_IN_WORDS}

    patience: int | None = Field(None, ge=1, description="evaluations without a better metric; default: never")
    min_change: float = Field(0.0, ge=0, description="least change that counts as better")
    metric: MetricName | None = Field(None, description="validation metric that is watched; default: `best_metric`")
    direction: Literal["auto", "higher", "lower"] = Field(
        "auto", description=f"which change is better; auto: lower for {words_of_lower()}, else higher"
    )


_WARMUP_FRACTION = 0.1
_OF_NO_RESULT = ("checkpoint_seconds", "checkpoints")
_OF_ADAMW: Mapping[str, tuple[Any, str]] = {"betas": ((0.9, 0.999), "betas"), "epsilon": (1e-8, "eps")}
"""Keys of AdamW alone -> their default, and what other optimizers call the like of it."""
_LATER = ("metrics",)
"""Keys that finished trials of before know nothing of: the ids of those that do not use them stay."""


class TrainConfig(Section):
    """The training loop."""

    in_words: ClassVar[Mapping[str, str]] = {
        "best_metric": _METRIC_IN_WORDS,
        "metrics": "a list of metrics of your own, each `module:callable` or a section",
    }

    length: LengthConfig = LengthConfig()
    loss: LossConfig = LossConfig()
    batch_size: int = Field(32, gt=0, description="examples per optimizer step, over all workers")
    micro_batch_size: int | Literal["auto"] | None = Field(
        None,
        description="examples per forward pass and worker, which are accumulated; auto: the most that fit into memory",
    )
    gradient_checkpointing: bool = Field(
        False, description="compute activations anew in the backward pass: less memory, about a third more time"
    )
    compile: bool = Field(False, description="torch.compile the model; the first steps are slow")
    optimizer: OptimizerConfig = OptimizerConfig()
    learning_rate: float = Field(5e-5, gt=0, description="peak learning rate; the default is one for AdamW")
    head_learning_rate: float | None = Field(
        None, gt=0, description="of what is outside the encoder; default: the same"
    )
    layer_decay: float = Field(
        1.0, gt=0, le=1, description="factor of the learning rate from each layer to the one below"
    )
    weight_decay: float = Field(
        0.01,
        ge=0,
        description="decay, decoupled where the optimizer's is (adamw, adafactor, lion); not on biases and norms",
    )
    final_weight_decay: float | None = Field(
        None, ge=0, description="weight decay at T, reached in a straight line; default: it stays"
    )
    betas: tuple[float, float] = Field(
        _OF_ADAMW["betas"][0], description="AdamW's running-average coefficients; of others: `optimizer.options`"
    )
    epsilon: float = Field(
        _OF_ADAMW["epsilon"][0], gt=0, description="AdamW's denominator term; of others: `optimizer.options`"
    )
    schedule: ScheduleConfig = ScheduleConfig()
    warmup_fraction: float = Field(
        _WARMUP_FRACTION, ge=0, le=1, description="share of T with linear warm-up, rounded up"
    )
    warmup_steps: int | None = Field(
        None, ge=0, description="steps with linear warm-up, in place of the share; at most T"
    )
    averaging: AveragingConfig = AveragingConfig()
    max_grad_norm: float | None = Field(1.0, gt=0, description="gradient clipping; null: none")
    precision: Literal["auto", "fp32", "tf32", "bf16", "fp16"] = Field(
        "auto",
        description="auto: bf16 where the hardware has it, fp16 on older GPUs, else fp32; tf32: fp32 whose matrix "
        "products are rounded, on GPUs from Ampere on",
    )
    eval_every: int | Literal["epoch"] | None = Field(
        None,
        description="steps between evaluations, or `epoch`: at the end of a pass; default: ceil(T/10); once at T",
    )
    best_metric: MetricName = Field(
        "accuracy",
        description=f"validation metric that chooses the best evaluation; {words_of_lower()}: lowest, others: highest",
    )
    metrics: tuple[MetricConfig, ...] = Field(
        (), description="metrics of your own, which `best_metric` and all that names a metric may name"
    )
    early_stopping: EarlyStoppingConfig = EarlyStoppingConfig()
    checkpoint_seconds: float = Field(
        60, ge=0, description="least time between two `checkpoint/last`; 0: at every evaluation"
    )
    checkpoints: CheckpointsConfig = CheckpointsConfig()
    start: StartConfig = StartConfig()

    def warmup(self, total_steps: int) -> int:
        """Return the steps of warm-up of T."""
        if self.warmup_steps is not None:
            return min(self.warmup_steps, total_steps)
        return math.ceil(self.warmup_fraction * total_steps)

    def identity(self, without: Collection[str]) -> dict[str, Any]:
        """Return what the results of a run depend on; keys that are newer than the ids of runs only where they are set.

        Args:
            without: keys that the results do not depend on.
        """
        part = self.model_dump(mode="json", exclude={*_OF_NO_RESULT, *without})
        part = {key: value for key, value in part.items() if key not in _LATER or value}
        if self.optimizer == OptimizerConfig():
            part.pop("optimizer", None)
        if part.get("loss", {}).get("delta") == LossConfig.model_fields["delta"].default:
            part["loss"].pop("delta")
        if "schedule" in part:
            part["schedule"] = self.schedule.identity()
        if self.start == StartConfig():
            part.pop("start", None)
        elif "start" in part:
            part["start"].pop("checkpoint")  # what counts is its content
        return part

    @model_validator(mode="after")
    def _keys_of_adamw(self) -> TrainConfig:
        for key, (default, name) in _OF_ADAMW.items():
            if self.optimizer.name != "adamw" and getattr(self, key) != default:
                raise ValueError(
                    f"{key}: must be left out with the optimizer {self.optimizer.name}, it is of adamw; what it has "
                    f"of the kind is in `optimizer.options`, e.g. {{{name}: ...}}"
                )
        return self

    def __setstate__(self, state: dict[Any, Any]) -> None:
        """Take the place of one of another process, in which its metrics were declared."""
        super().__setstate__(state)
        declare_own(self.metrics)

    @model_validator(mode="after")
    def _metrics_are_known(self) -> TrainConfig:
        declare_own(self.metrics)
        check_is_metric("best_metric", self.best_metric, self.metrics)
        check_is_metric("early_stopping.metric", self.early_stopping.metric, self.metrics)
        return self

    @model_validator(mode="after")
    def _one_warmup(self) -> TrainConfig:
        # A resolved file holds both keys.
        if self.warmup_steps is not None and self.warmup_fraction != _WARMUP_FRACTION:
            raise ValueError("must have `warmup_steps` or `warmup_fraction`, not both")
        return self

    @field_validator("betas")
    @classmethod
    def _betas_in_range(cls, betas: tuple[float, float]) -> tuple[float, float]:
        if not all(0 <= beta < 1 for beta in betas):
            raise ValueError("must both be in [0, 1)")
        return betas

    @field_validator("micro_batch_size")
    @classmethod
    def _micro_batch_positive(cls, size: int | str | None) -> int | str | None:
        if isinstance(size, int) and size < 1:
            raise ValueError(f"must be >= 1, auto or null, got {size}")
        return size

    @field_validator("eval_every")
    @classmethod
    def _eval_every_positive(cls, every: int | str | None) -> int | str | None:
        if isinstance(every, int) and every < 1:
            raise ValueError("must be >= 1")
        return every
