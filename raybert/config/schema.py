"""The schema of a sweep file: one frozen model per section, one described field per key."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from raybert.errors import ConfigError

Budget = Annotated[
    int | float,
    Field(description="examples to train on: a whole number, or a fraction of the pool in (0, 1]"),
]


class Section(BaseModel):
    """A section of the sweep file: unknown keys are refused, values never change."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, protected_namespaces=())


class DataConfig(Section):
    """Where the texts come from and how they are cut into splits."""

    source: str = Field(
        "docstrings",
        min_length=1,
        description="built-in corpus (`docstrings`), path of a parquet/csv/jsonl file, folder with one file "
        "per split, or hub id",
    )
    subset: str | None = Field(None, description="configuration name of a hub dataset, e.g. `sst2` of `glue`")
    revision: str | None = Field(None, description="git revision of a hub dataset")
    text: str = Field("text", description="column of the text")
    text_pair: str | None = Field(None, description="column of the second text, for pairs")
    label: str = Field("label", description="column of the label: whole numbers or strings")
    id: str | None = Field(None, description="column of unique example ids; default: a hash of the content")
    group: str | None = Field(None, description="column of the group that must not be split up")
    max_length: int = Field(128, ge=4, le=32768, description="word pieces per example, special ones included")
    train_examples: int | None = Field(None, gt=0, description="examples in the pool; default: all")
    validation_examples: int | None = Field(None, gt=0, description="validation examples; default: all")
    test_examples: int | None = Field(None, gt=0, description="test examples; default: all")
    validation_fraction: float = Field(
        0.1, gt=0, lt=1, description="share held out if there is no such split; with `folds`, of the other folds"
    )
    test_fraction: float = Field(
        0.2, gt=0, lt=1, description="share held out if there is no such split; not used with `folds`"
    )
    folds: int | None = Field(
        None,
        ge=2,
        le=20,
        description="cross-validation: all rows of the source are cut into so many folds, each is the test split once",
    )
    split_seed: int = Field(0, ge=0, description="seed of splits and of subsampling, shared by all trials")


class HeadConfig(Section):
    """The layers from the pooled text to the logits."""

    name: Literal["linear", "mlp", "residual"] = Field(
        "linear", description="linear; mlp: hidden layers with GELU; residual: blocks of norm, linear, GELU and a skip"
    )
    sizes: tuple[Annotated[int, Field(gt=0)], ...] = Field((256,), min_length=1, description="mlp: hidden sizes")
    blocks: int = Field(2, ge=1, description="residual: number of blocks")
    dropout: float = Field(0.1, ge=0, lt=1, description="before every linear layer, or after every block")

    @model_validator(mode="after")
    def _keys_belong_to_the_head(self) -> HeadConfig:
        for key, owner in (("sizes", "mlp"), ("blocks", "residual")):
            if key in self.model_fields_set and self.name != owner and getattr(self, key) != _HEAD_DEFAULTS[key]:
                raise ValueError(f"{key}: must be left out, it belongs to the head {owner}")
        return self


_HEAD_DEFAULTS: dict[str, Any] = {"sizes": (256,), "blocks": 2}


class IrisConfig(Section):
    """IRIS: learned queries that retrieve chunks of a long document (`model.kind: iris`)."""

    chunk_tokens: int = Field(128, ge=8, description="word pieces of a chunk")
    stride: int = Field(96, ge=1, description="word pieces from the start of a chunk to that of the next")
    max_chunks: int = Field(512, ge=1, description="of a document; of more an even subsample is kept")
    num_queries: int = Field(8, ge=1, description="N, learned")
    top_k: int = Field(12, ge=1, description="most chunks that a query retrieves")
    temperature: float = Field(0.1, gt=0, description="of the softmax over what is retrieved")
    pool: Literal["concat", "mean"] = Field("concat", description="of what the queries retrieved")
    interaction: bool = Field(True, description="for pairs: products of the first text with what is retrieved")
    dropout: float = Field(0.1, ge=0, lt=1, description="before the classifier")

    @model_validator(mode="after")
    def _windows_overlap(self) -> IrisConfig:
        if self.stride > self.chunk_tokens:
            raise ValueError(f"stride: must be <= chunk_tokens ({self.chunk_tokens}), got {self.stride}")
        return self


_CHUNKING = {"chunk_tokens", "stride", "max_chunks"}


class ModelConfig(Section):
    """The encoder that every trial fine-tunes."""

    kind: Literal["encoder", "iris"] = Field(
        "encoder",
        description="encoder: fine-tuned as a whole; iris: frozen, with a retrieval classifier for long documents; "
        "where `train` says nothing it trains 50 epochs at a constant 1e-3, fp32, patience 5",
    )
    iris: IrisConfig = IrisConfig()

    encoder: str = Field(
        "raybert-tiny", min_length=1, description="`raybert-tiny`, a local transformers folder, or a hub id"
    )
    revision: str | None = Field(None, description="git revision of a hub model")
    trust_remote_code: bool = Field(False, description="run Python code that comes with a hub model")
    dropout: float | None = Field(None, ge=0, lt=1, description="override every dropout of the encoder")
    pooling: Literal["cls", "mean", "max", "attention"] | None = Field(
        None, description="of a text's word pieces, for a head of ours; default: as the architecture does it"
    )
    head: HeadConfig | None = Field(
        None, description="default: the architecture's own (`pooling` alone makes it linear)"
    )
    freeze_embeddings: bool = Field(False, description="whether embeddings are not trained")
    freeze_layers: int = Field(0, ge=0, description="layers that are not trained, from the embeddings on")

    @field_validator("head", mode="before")
    @classmethod
    def _name_to_head(cls, head: Any) -> Any:
        return {"name": head} if isinstance(head, str) else head

    @model_validator(mode="after")
    def _keys_belong_to_the_kind(self) -> ModelConfig:
        if self.kind == "encoder":
            if "iris" in self.model_fields_set and self.iris != IrisConfig():
                raise ValueError("iris: must be left out without `kind: iris`")
            return self
        for key in ("dropout", "pooling", "freeze_embeddings", "freeze_layers"):
            if getattr(self, key):
                raise ValueError(f"{key}: must be left out with `kind: iris`, whose encoder is frozen")
        if self.head is not None and self.head.name == "residual":
            raise ValueError("head: must be linear or mlp with `kind: iris`, got residual")
        return self

    def data_part(self) -> dict[str, Any]:
        """Return what decides about the data: the tokenizer's encoder, and how documents are cut; as JSON."""
        part = self.model_dump(mode="json", include={"encoder", "revision", "trust_remote_code"})
        if self.kind == "iris":
            part |= {"kind": self.kind, **self.iris.model_dump(mode="json", include=_CHUNKING)}
        return part

    def task(self) -> dict[str, Any]:
        """Return what a trial's model adds to the encoder's files, as JSON; it decides nothing about the data."""
        others = {"kind", "iris"} if self.kind == "encoder" else set()
        return self.model_dump(mode="json", exclude={"encoder", "revision", "trust_remote_code", *others})

    @property
    def has_own_head(self) -> bool:
        """Whether pooling and head are ours, not the architecture's."""
        return self.head is not None or self.pooling is not None


class LengthConfig(Section):
    """How long a trial trains: optimizer steps T, given directly or by epochs."""

    epochs: float | None = Field(None, gt=0, description="passes over the budget (default 3, unless `steps`)")
    min_steps: int = Field(100, ge=0, description="lower bound of T when it is given by epochs")
    steps: int | None = Field(None, gt=0, description="T itself; excludes `epochs`")

    @model_validator(mode="after")
    def _exclusive(self) -> LengthConfig:
        if self.epochs is not None and self.steps is not None:
            raise ValueError("must have `epochs` or `steps`, not both")
        return self

    def resolve(self, budget: int, pool: int, batch_size: int) -> int:
        """Return the optimizer steps T for a budget, the same for every strategy at that budget.

        T = max(min_steps, epochs * ceil(budget / batch_size)), never above that of the whole pool.
        """
        if self.steps is not None:
            return self.steps
        epochs = 3.0 if self.epochs is None else self.epochs
        wanted = max(self.min_steps, math.ceil(epochs * math.ceil(budget / batch_size)))
        full = math.ceil(epochs * math.ceil(pool / batch_size))
        return max(1, min(wanted, full))


class LossConfig(Section):
    """What training minimises."""

    name: str = Field(
        "cross_entropy",
        pattern=r"^(cross_entropy|bce|focal|[\w.]+:\w+)$",
        description="cross_entropy, bce (two classes, on the difference of logits), focal, or `module:callable` of "
        "your own: (logits, labels) -> one loss per example",
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
        None, description="bce: factor of class 1; auto: negatives / positives, at most 100"
    )
    gamma: float = Field(2.0, ge=0, description="focal: how much confident examples count less")
    alpha: float | Literal["inverse", "balanced"] | None = Field(
        None,
        description="focal: weight of class 1 (class 0 has 1 - alpha); inverse: n_neg / n; balanced: n_pos / n, which "
        "weighs the rare class down",
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
        return self


class AveragingConfig(Section):
    """An average of the weights, which is evaluated and kept in place of the last ones."""

    kind: Literal["none", "ema", "swa"] = Field("none", description="ema: exponential; swa: the plain mean")
    decay: float = Field(0.999, gt=0, lt=1, description="ema: share of the average that each step keeps")
    start: float = Field(0.75, ge=0, lt=1, description="share of T after which averaging begins")


MetricName = Literal[
    "accuracy",
    "macro_f1",
    "weighted_f1",
    "macro_precision",
    "macro_recall",
    "macro_specificity",
    "f1",
    "precision",
    "recall",
    "specificity",
    "mcc",
    "auc_roc",
    "auc_pr",
    "brier",
    "ece",
    "loss",
]
LOWER_IS_BETTER = frozenset({"loss", "brier", "ece"})
TWO_CLASSES_ONLY = frozenset({"f1", "precision", "recall", "specificity"})


class EarlyStoppingConfig(Section):
    """When a run may end before T."""

    patience: int | None = Field(None, ge=1, description="evaluations without a better metric; default: never")
    min_change: float = Field(0.0, ge=0, description="least change that counts as better")
    metric: MetricName | None = Field(None, description="validation metric that is watched; default: `best_metric`")
    direction: Literal["auto", "higher", "lower"] = Field(
        "auto", description="which change is better; auto: lower for loss, brier and ece, else higher"
    )


_WARMUP_FRACTION = 0.1


class TrainConfig(Section):
    """The training loop."""

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
    learning_rate: float = Field(5e-5, gt=0, description="peak learning rate of AdamW")
    head_learning_rate: float | None = Field(
        None, gt=0, description="of what is outside the encoder; default: the same"
    )
    layer_decay: float = Field(
        1.0, gt=0, le=1, description="factor of the learning rate from each layer to the one below"
    )
    weight_decay: float = Field(0.01, ge=0, description="decoupled decay; not on biases and norms")
    final_weight_decay: float | None = Field(
        None, ge=0, description="weight decay at T, reached in a straight line; default: it stays"
    )
    betas: tuple[float, float] = Field((0.9, 0.999), description="AdamW's running-average coefficients")
    epsilon: float = Field(1e-8, gt=0, description="AdamW's denominator term")
    schedule: Literal["linear", "cosine", "constant", "inverse_sqrt", "one_cycle"] = Field(
        "linear", description="of the learning rate after warm-up, over the steps done / T"
    )
    warmup_fraction: float = Field(_WARMUP_FRACTION, ge=0, le=1, description="share of T with linear warm-up")
    warmup_steps: int | None = Field(None, ge=0, description="steps with linear warm-up, in place of the share")
    averaging: AveragingConfig = AveragingConfig()
    max_grad_norm: float | None = Field(1.0, gt=0, description="gradient clipping; null: none")
    precision: Literal["auto", "fp32", "tf32", "bf16", "fp16"] = Field(
        "auto",
        description="auto: bf16 where the hardware has it, fp16 on older GPUs, else fp32; tf32: fp32 whose matrix "
        "products are rounded, on GPUs from Ampere on",
    )
    eval_every: int | Literal["epoch"] | None = Field(
        None, description="steps between evaluations, or `epoch`; default T/10"
    )
    best_metric: MetricName = Field(
        "accuracy",
        description="validation metric that chooses the best evaluation; loss, brier and ece: lowest, others: highest",
    )
    early_stopping: EarlyStoppingConfig = EarlyStoppingConfig()
    checkpoint_seconds: float = Field(
        60, ge=0, description="least time between two `checkpoint/last`; 0: at every evaluation"
    )

    def warmup(self, total_steps: int) -> int:
        """Return the steps of warm-up of T."""
        if self.warmup_steps is not None:
            return min(self.warmup_steps, total_steps)
        return math.ceil(self.warmup_fraction * total_steps)

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


class ProxyConfig(Section):
    """The small training runs whose outputs score the pool."""

    epochs: float = Field(1, gt=0, description="passes over the whole pool")
    num_seeds: int = Field(1, ge=1, le=20, description="proxies per sweep seed, averaged")
    folds: int | None = Field(
        None, ge=2, le=20, description="cross-fit: every example is scored by proxies that did not train on it"
    )
    per_seed: bool = Field(True, description="own proxies for every sweep seed; false: seed 0 serves all")
    learning_rate: float | None = Field(None, gt=0, description="default: that of `train`")


class DynamicsConfig(Section):
    """The training run whose checkpoints give the training dynamics of the pool."""

    epochs: int = Field(3, ge=3, description="passes over the whole pool; one makes dynamics degenerate")
    checkpoints: int = Field(6, ge=5, description="at equal distances, the last one at the end; at least one an epoch")

    @model_validator(mode="after")
    def _a_checkpoint_an_epoch(self) -> DynamicsConfig:
        if self.checkpoints < self.epochs:
            raise ValueError(f"checkpoints: must be >= epochs ({self.epochs}), got {self.checkpoints}")
        return self


class HeldoutConfig(Section):
    """The cross-fitted proxies behind out-of-fold probabilities (`label_errors`)."""

    folds: int = Field(5, ge=2, le=20, description="m; each proxy trains on all but one fold")
    epochs: float = Field(2, gt=0, description="passes of each proxy over its folds")


class IrreducibleConfig(Section):
    """The twin models behind the irreducible loss (`rho_loss`): each trains on one half and scores the other."""

    epochs: float = Field(3, gt=0, description="passes of each twin over its half")


class PerplexityConfig(Section):
    """The masked language model behind the signal `perplexity`."""

    model: str | None = Field(
        None,
        min_length=1,
        description="local folder or hub id of a masked LM; default: the encoder, if it has the head",
    )
    revision: str | None = Field(None, description="git revision of a hub model")
    mask_every: int | None = Field(
        8, ge=1, description="mask every m-th word piece, in m passes; null: one at a time, exact"
    )


class ScorersConfig(Section):
    """Settings of single scorers."""

    perplexity: PerplexityConfig = PerplexityConfig()
    dynamics: DynamicsConfig = DynamicsConfig()
    heldout: HeldoutConfig = HeldoutConfig()
    irreducible: IrreducibleConfig = IrreducibleConfig()


class EmbeddingConfig(Section):
    """The embeddings of the pool."""

    source: Literal["encoder", "proxy"] = Field("encoder", description="the frozen encoder, or the seed's proxy")
    pooling: Literal["mean", "cls"] = Field("mean", description="over word pieces, or the first one")


class SelectionConfig(Section):
    """How many examples are chosen, and what the scores come from."""

    budget: Budget = 0.1
    proxy: ProxyConfig = ProxyConfig()
    embedding: EmbeddingConfig = EmbeddingConfig()
    scorers: ScorersConfig = ScorersConfig()
    store: str | None = Field(
        None,
        min_length=1,
        description="folder of the score store, seen by all nodes; default: shared by all sweeps of this machine, "
        "or on more nodes the results folder",
    )
    scoring_batch_tokens: int = Field(16384, ge=128, description="word pieces per forward pass while scoring")

    @field_validator("budget", mode="before")
    @classmethod
    def _budget_is_a_number(cls, budget: Any) -> Any:
        if isinstance(budget, bool):  # YAML's yes, no, true, false
            raise ValueError("must be a whole number >= 1 or a fraction in (0, 1]")
        return budget

    @field_validator("budget")
    @classmethod
    def _budget_in_range(cls, budget: int | float) -> int | float:
        if budget <= 0 or (isinstance(budget, float) and budget > 1):
            raise ValueError("must be a whole number >= 1 or a fraction in (0, 1]")
        return budget

    def resolve(self, pool: int) -> int:
        """Return the budget in examples for a pool of that size.

        Raises:
            ConfigError: the pool is smaller than the budget.
        """
        if isinstance(self.budget, float):
            return max(1, round(self.budget * pool))
        if self.budget > pool:
            raise ConfigError(f"selection.budget: must be in 1..{pool} (pool size), got {self.budget}")
        return self.budget


class StrategyConfig(Section):
    """A strategy by name, with its own parameters beside it."""

    model_config = ConfigDict(extra="allow", frozen=True)

    name: str = Field(min_length=1, description="registered name, or `module:Class` of your own")
    label: str | None = Field(None, min_length=1, description="name in tables and plots")

    @property
    def parameters(self) -> dict[str, Any]:
        """The keys that belong to the strategy itself."""
        return dict(self.model_extra or {})


class SweepConfig(Section):
    """What is compared: strategies x seeds x grid."""

    strategies: tuple[StrategyConfig, ...] = Field(
        (StrategyConfig(name="all"), StrategyConfig(name="random")),
        min_length=1,
        description="names, or mappings of a name and its parameters",
    )
    seeds: tuple[int, ...] = Field((0, 1, 2), min_length=1, description="how many (0, 1, ...), or a list of seeds")
    grid: dict[str, tuple[Any, ...]] = Field(
        default_factory=dict, description="dotted key -> values; every combination is run"
    )
    keep_best: int | None = Field(
        None, ge=1, description="models kept of all trials of the sweep, by validation; default: all"
    )

    @field_validator("strategies", mode="before")
    @classmethod
    def _names_to_mappings(cls, entries: Any) -> Any:
        if isinstance(entries, (list, tuple)):
            return [{"name": entry} if isinstance(entry, str) else entry for entry in entries]
        return entries

    @field_validator("seeds", mode="before")
    @classmethod
    def _count_to_seeds(cls, seeds: Any) -> Any:
        if isinstance(seeds, int) and not isinstance(seeds, bool):
            if seeds < 1:
                raise ValueError("must be a number of seeds >= 1 or a list of seeds")
            return tuple(range(seeds))
        return seeds

    @field_validator("seeds")
    @classmethod
    def _seeds_distinct(cls, seeds: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(seeds)) < len(seeds) or min(seeds) < 0:
            raise ValueError("must be distinct and >= 0")
        return seeds

    @field_validator("grid")
    @classmethod
    def _grid_not_empty(cls, grid: dict[str, tuple[Any, ...]]) -> dict[str, tuple[Any, ...]]:
        for key, values in grid.items():
            if not values:
                raise ValueError(f"`{key}` must have at least one value")
        return grid


class ResourcesConfig(Section):
    """What one trial occupies on the cluster."""

    workers_per_trial: int = Field(1, ge=1, description="data-parallel workers of a trial")
    cpus_per_worker: int = Field(1, ge=1, description="CPU cores (and torch threads) of a worker")
    gpus_per_worker: float = Field(0, ge=0, description="GPUs of a worker; a fraction shares one GPU")
    concurrent_trials: int | None = Field(None, ge=1, description="upper bound; default: what fits")


class LimitsConfig(Section):
    """What a sweep may use up."""

    disk_gb: float | None = Field(
        None, gt=0, description="gigabytes of checkpoints: models are deleted from the worst on; default: no limit"
    )


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
    tensorboard: bool = Field(False, description="also write TensorBoard events; needs `pip install raybert[monitor]`")

    @property
    def is_active(self) -> bool:
        """Whether anything is measured."""
        return any(value is not None for name, value in self if name != "tensorboard")


class RaybertConfig(Section):
    """A sweep file."""

    name: str = Field("sweep", pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", description="folder below runs/")
    data: DataConfig = DataConfig()
    model: ModelConfig = ModelConfig()
    train: TrainConfig = TrainConfig()
    monitor: MonitorConfig = MonitorConfig()
    selection: SelectionConfig = SelectionConfig()
    sweep: SweepConfig = SweepConfig()
    resources: ResourcesConfig = ResourcesConfig()
    limits: LimitsConfig = LimitsConfig()

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
        if "warmup_steps" in train:
            filled.pop("warmup_fraction")
        return {**document, "train": filled}

    @model_validator(mode="after")
    def _iris_has_no_tuned_encoder(self) -> RaybertConfig:
        if self.model.kind == "iris" and self.selection.embedding.source == "proxy":
            raise ValueError("selection.embedding.source: must be encoder with `model.kind: iris`, which tunes none")
        if self.model.kind == "iris" and (self.monitor.activations or self.monitor.attention_entropy):
            raise ValueError("monitor: activations and attention_entropy must be null with `model.kind: iris`")
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
