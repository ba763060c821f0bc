"""The schema of a sweep file: one frozen model per section, one described field per key."""

from __future__ import annotations

import math
from collections.abc import Mapping
from numbers import Integral
from typing import Any, ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from raybert.config.data import DataConfig
from raybert.config.encoder_pretraining import SweepPretrainConfig
from raybert.config.metrics import METRICS
from raybert.config.model import ModelConfig
from raybert.config.own_metrics import check_is_metric
from raybert.config.resources import LimitsConfig, ResourcesConfig
from raybert.config.section import Section, read_percent
from raybert.config.selection import SelectionConfig, StrategyConfig
from raybert.config.task_rules import check_task, with_defaults_of_task
from raybert.config.tasks import REGRESSION
from raybert.config.track import TrackConfig
from raybert.config.train import TrainConfig
from raybert.config.tune import TuneConfig

_MOST_SEEDS = 10_000
"""More is a seed, not a number of seeds."""
DEFAULT_MARGIN = 0.005
"""Of `sweep.margin`: half a point."""
_LARGEST_MARGIN = 0.1
"""Of the range of a metric, or of a loss without an upper end: what loses more is as good as nothing."""


class ReportConfig(Section):
    """What the page of results (`report.html`) shows."""

    texts: bool = Field(
        True,
        description="show the beginnings of the texts of some kept and dropped examples; false: their ids, labels and "
        "scores alone, for results that go to people who must not read the data",
    )


class SweepConfig(Section):
    """What is compared: strategies x seeds x grid."""

    in_words: ClassVar[Mapping[str, str]] = {
        "strategies": "a list of strategies: names, or mappings of a name and its parameters",
        "seeds": f"a number of seeds in 1..{_MOST_SEEDS} or a list of seeds",
        "grid": "a mapping of dotted keys to lists of values, e.g. {train.learning_rate: [1.0e-5, 1.0e-4]}",
        "compare": "a list of pairs of two labels, e.g. [[all, loss_threshold]]",
    }

    strategies: tuple[StrategyConfig, ...] = Field(
        (StrategyConfig(name="all"), StrategyConfig(name="random")),
        min_length=1,
        description="names, or mappings of a name and its parameters",
    )
    seeds: tuple[int, ...] = Field((0, 1, 2), min_length=1, description="how many (0, 1, ...), or a list of seeds")
    equal: Literal["auto", "steps", "passes", "examples"] = Field(
        "auto",
        description="what the trials of a budget have in common: steps (T optimizer steps), passes (`train.length."
        "epochs` passes over whatever a strategy keeps), examples (as many as `random`, or `all`, sees in T steps); "
        "auto: passes for strategies without a budget that plan every pass (loss_threshold, infobatch), else steps",
    )
    grid: dict[str, tuple[Any, ...]] = Field(
        default_factory=dict, description="dotted key -> values; every combination is run"
    )
    compare: tuple[tuple[str, str], ...] = Field(
        (),
        description="pairs of labels, [baseline, strategy], that verdicts, `equal_cost` and pair plots are about; "
        "default: every strategy with `random`, one that draws anew before each pass with `random_epoch` where that is "
        "there, one without a budget, or without a `random`, with `all`",
    )
    margin: float = Field(
        DEFAULT_MARGIN,
        gt=0,
        description="what a strategy may lose on test and still be as good as `all`, and may differ by and still make "
        "no difference, in units of `train.best_metric`: 0.005 (or 0.5%) is half a point of a share, and 0.005 of a "
        "loss; results by a metric of another unit take the default; to be chosen before the results are seen; changes "
        "no trial",
    )
    tune: TuneConfig | None = Field(
        None, description="search for every strategy's best hyperparameters before the comparison; default: none"
    )
    refit: bool = Field(
        False,
        description="train the best configuration once more on train and validation, for best/; the test split is "
        "evaluated once for it",
    )
    keep_best: int | None = Field(
        None, ge=1, description="models kept of all trials of the sweep, by validation; default: all"
    )
    report: ReportConfig = ReportConfig()

    plots: tuple[Literal["png", "svg"], ...] = Field(
        ("png", "svg"),
        description="formats of the plots; []: none are written; may change from start to start, and `raybert report` "
        "goes by the folder's",
    )

    @field_validator("seeds", mode="before")
    @classmethod
    def _count_to_seeds(cls, seeds: Any) -> Any:
        if isinstance(seeds, Integral) and not isinstance(seeds, bool):
            if not 1 <= int(seeds) <= _MOST_SEEDS:
                raise ValueError(f"must be {cls.in_words['seeds']}")
            return tuple(range(int(seeds)))
        return seeds

    @field_validator("seeds")
    @classmethod
    def _seeds_distinct(cls, seeds: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(seeds)) < len(seeds) or min(seeds) < 0:
            raise ValueError("must be distinct and >= 0")
        return seeds

    @model_validator(mode="after")
    def _tuning_has_its_own_seeds(self) -> SweepConfig:
        shared = sorted(set(self.tune.seeds) & set(self.seeds)) if self.tune is not None else []
        if shared:
            raise ValueError(
                f"seeds: must not hold {shared[0]}, which `tune` uses: nothing is compared on its own tuning seed"
            )
        return self

    @field_validator("compare")
    @classmethod
    def _pairs_of_two(cls, pairs: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
        for one, other in pairs:
            if one == other:
                raise ValueError(f"must pair two different strategies, got [{one}, {other}]")
        return tuple(dict.fromkeys(pairs))

    @field_validator("grid")
    @classmethod
    def _grid_not_empty(cls, grid: dict[str, tuple[Any, ...]]) -> dict[str, tuple[Any, ...]]:
        for key, values in grid.items():
            if not values:
                raise ValueError(f"`{key}` must have at least one value")
        return {key: tuple(map(read_percent, values)) for key, values in grid.items()}


class MonitorConfig(Section):
    """What is measured while training: steps between two measurements; null: off. The results stay the same."""

    gradient_norm: int | None = Field(
        None,
        ge=1,
        description="steps between norms of the gradient before clipping, of the model and per layer; reads it once",
    )
    weights: int | None = Field(
        None,
        ge=1,
        description="steps between norms of weights and of their update, and the ratio; needs memory for one more copy "
        "of the trained weights during the step",
    )
    activations: int | None = Field(
        None,
        ge=1,
        description="steps between mean, std, excess kurtosis and dead units of every layer's outputs; hooks on one "
        "micro-batch, some passes over each output in float32",
    )
    weight_histograms: int | None = Field(
        None, ge=1, description="steps between histograms of every layer's weight matrices; some passes over them"
    )
    attention_entropy: int | None = Field(
        None,
        ge=1,
        description="steps between entropies of every attention head, in nats; one more forward pass of at most 8 "
        "rows, in float32 without fused attention",
    )
    throughput: int | None = Field(
        None,
        ge=1,
        description="steps between examples/s, tokens/s, padding share and MFU, over the steps since the last; waits "
        "for the device",
    )
    loss_spikes: float | None = Field(
        None,
        gt=0,
        description="k: record steps whose mean loss is above median + k * MAD of the 100 before, with their examples; "
        "looks at every step, nothing more is computed on the device; 10 is a good start",
    )
    tensorboard: bool = Field(
        False,
        description="write TensorBoard events: loss and learning rate of every step, the metrics of every evaluation, "
        "and what else is measured; needs `pip install raybert[monitor]`",
    )

    @property
    def is_active(self) -> bool:
        """Whether anything is measured, or written besides the tables of the run."""
        return self.tensorboard or any(value is not None for name, value in self if name != "tensorboard")


class RaybertConfig(Section):
    """A sweep file."""

    in_words: ClassVar[Mapping[str, str]] = {
        "name": "a name of letters, digits, '.', '_' and '-', that begins with a letter or digit"
    }

    name: str = Field("sweep", pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", description="folder below runs/")
    data: DataConfig = DataConfig()
    model: ModelConfig = ModelConfig()
    pretrain: SweepPretrainConfig | None = Field(
        None,
        description="go on with the pretraining of `model.encoder`, once for all trials, before anything is scored or "
        "trained with it; default: it is used as it is",
    )
    train: TrainConfig = TrainConfig()
    monitor: MonitorConfig = MonitorConfig()
    selection: SelectionConfig = SelectionConfig()
    sweep: SweepConfig = SweepConfig()
    track: TrackConfig = TrackConfig()
    resources: ResourcesConfig = ResourcesConfig()
    limits: LimitsConfig = LimitsConfig()

    def __repr__(self) -> str:
        """Return the file in a line; `raybert.render` has every key."""
        strategies, seeds = len(self.sweep.strategies), len(self.sweep.seeds)
        return f"<RaybertConfig '{self.name}': {self.data.source}, {strategies} strategies, {seeds} seeds>"

    @model_validator(mode="before")
    @classmethod
    def _defaults_of_the_kind(cls, document: Any) -> Any:
        """Fill in what IRIS trains with where the file says nothing."""
        model = document.get("model") if isinstance(document, Mapping) else None
        if not isinstance(model, Mapping) or model.get("kind") != "iris":
            return document
        train = document.get("train") or {}
        if not isinstance(train, Mapping):
            return document
        length = train.get("length") or {}
        filled = {**_IRIS_TRAINING, **train}
        if isinstance(length, Mapping) and not {"epochs", "steps"} & length.keys():
            filled["length"] = {"epochs": 50.0, **length}
        if train.get("warmup_steps") is not None and "warmup_fraction" not in train:
            filled.pop("warmup_fraction")
        return {**document, "train": filled}

    @model_validator(mode="before")
    @classmethod
    def _defaults_of_the_task(cls, document: Any) -> Any:
        return with_defaults_of_task(document)

    @model_validator(mode="after")
    def _fits_its_task(self) -> RaybertConfig:
        check_task(self.data, self.model, self.train, self.sweep.tune)
        return self

    @model_validator(mode="after")
    def _iris_has_no_tuned_encoder(self) -> RaybertConfig:
        if self.model.kind == "iris" and self.selection.embedding.of == "proxy":
            raise ValueError("selection.embedding.of: must be encoder with `model.kind: iris`, which tunes none")
        if self.model.kind == "iris" and self.data.pair_truncation is not None:
            raise ValueError("data.pair_truncation: must be left out with `model.kind: iris`, which reads texts apart")
        if self.model.kind == "iris" and self.data.extra_tests:
            raise ValueError(
                "data.extra_tests: must be left out with `model.kind: iris`; `raybert evaluate` measures its models on "
                "other files"
            )
        if self.model.kind == "iris" and (self.monitor.activations or self.monitor.attention_entropy):
            raise ValueError("monitor: activations and attention_entropy must be null with `model.kind: iris`")
        return self

    @model_validator(mode="after")
    def _a_sample_has_neighbours(self) -> RaybertConfig:
        share = self.selection.scorers.sample
        if share is not None and self.model.kind == "iris":
            raise ValueError(f"selection.scorers.sample: must be left out with `model.kind: iris`, got {share:g}")
        if share is not None and self.selection.embedding.of == "proxy":
            raise ValueError(
                "selection.scorers.sample: must be left out with `selection.embedding.of: proxy`, which needs "
                f"the proxy on the whole pool to find neighbours, got {share:g}"
            )
        return self

    @model_validator(mode="after")
    def _pretraining_has_an_encoder(self) -> RaybertConfig:
        if self.pretrain is None:
            return self
        if self.model.kind != "encoder":
            raise ValueError(
                "pretrain: must be left out with `model.kind: " + self.model.kind + "`: an encoder that is fine-tuned "
                "as a whole is pretrained"
            )
        if self.model.trust_remote_code:
            raise ValueError(
                "pretrain: must be left out with `model.trust_remote_code: true`: a model whose code comes with it is "
                "not known to have a head of masked language modelling"
            )
        return self

    @model_validator(mode="after")
    def _iris_reads_no_changed_texts(self) -> RaybertConfig:
        if self.model.kind == "iris" and self.data.augment is not None:
            raise ValueError(
                "data.augment: must be left out with `model.kind: iris`, whose chunks are embedded once, before "
                f"training, got {self.data.augment.name}"
            )
        return self

    @model_validator(mode="after")
    def _a_search_has_a_known_metric(self) -> RaybertConfig:
        if self.sweep.tune is not None:
            check_is_metric("sweep.tune.metric", self.sweep.tune.metric, self.train.metrics)
        return self

    @model_validator(mode="after")
    def _a_margin_is_small(self) -> RaybertConfig:
        name, margin = self.train.best_metric, self.sweep.margin
        own = {one.name: one.metric for one in self.train.metrics}
        metric = own.get(name) or METRICS.get(name)
        if metric is None:
            return self
        whole = metric.highest - metric.lowest
        if metric.tasks == {REGRESSION} and not math.isfinite(whole):  # in a unit that only the data know
            return self
        most = _LARGEST_MARGIN * (whole if math.isfinite(whole) else 1.0)
        if margin > most and (math.isfinite(whole) or name in METRICS):  # of one's own without ends nobody knows more
            raise ValueError(
                f"sweep.margin: must be <= {most:g} of {metric.words}, got {margin:g}; write 0.5% or 0.005 for half a "
                "point"
            )
        return self

    @model_validator(mode="after")
    def _a_refit_has_one_pool(self) -> RaybertConfig:
        if self.sweep.refit and self.data.folds is not None:
            raise ValueError("sweep.refit: must be false with `data.folds`: every fold has its own pool, got true")
        return self

    @model_validator(mode="after")
    def _passes_are_given(self) -> RaybertConfig:
        if self.sweep.equal == "passes" and self.train.length.steps is not None:
            raise ValueError(
                f"sweep.equal: must not be passes with `train.length.steps` ({self.train.length.steps}), which says "
                "how many steps are trained; give `train.length.epochs` in its place, or leave `equal` out"
            )
        return self

    @model_validator(mode="after")
    def _compiled_models_have_no_hooks(self) -> RaybertConfig:
        if self.train.compile and self.monitor.activations:
            raise ValueError("monitor.activations: must be null with `train.compile`, which passes hooks by")
        return self


_IRIS_TRAINING: dict[str, Any] = {
    "learning_rate": 1e-3,
    "weight_decay": 1e-4,
    "schedule": "constant",
    "warmup_fraction": 0.0,
    "precision": "fp32",
    "early_stopping": {"patience": 5},
}
