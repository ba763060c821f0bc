"""The section `selection`, and how strategies are written."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import ConfigDict, Field, field_validator, model_validator

from raybert.config.section import Section
from raybert.errors import ConfigError

Budget = Annotated[
    int | float,
    Field(
        description="examples to train on: a whole number, or a fraction of the pool in (0, 1], rounded, at least one"
    ),
]


class ProxyConfig(Section):
    """The small training runs whose outputs score the pool."""

    epochs: float = Field(1, gt=0, description="passes over what it trains on")
    examples: int | None = Field(
        None, ge=2, description="that it trains on, a stratified draw of the pool; default: the whole pool"
    )
    num_seeds: int = Field(1, ge=1, le=20, description="proxies per sweep seed, averaged")
    folds: int | None = Field(
        None, ge=2, le=20, description="cross-fit: every example is scored by proxies that did not train on it"
    )
    per_seed: bool = Field(True, description="own proxies for every sweep seed; false: seed 0 serves all")
    learning_rate: float | None = Field(None, gt=0, description="default: that of `train`")

    @model_validator(mode="after")
    def _folds_or_a_sample(self) -> ProxyConfig:
        if self.folds is not None and self.examples is not None:
            raise ValueError(
                f"examples: must be left out with folds (each proxy trains on all but one), got {self.examples:,} and "
                f"folds: {self.folds}"
            )
        return self


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
    """The language model behind the signal `perplexity`."""

    stands_for: ClassVar[str] = "model"

    model: str | None = Field(
        None,
        min_length=1,
        description="local folder or hub id of a language model; default: the encoder, if it has a masked-LM head",
    )
    kind: Literal["masked", "causal"] = Field(
        "masked",
        description="masked: pseudo-perplexity, each word piece from all others, in `mask_every` passes; causal: "
        "perplexity, each one from those before it, in one pass",
    )
    revision: str | None = Field(None, description="git revision of a hub model")
    mask_every: int | None = Field(
        8,
        ge=1,
        description="of the kind masked: mask every m-th word piece, in m passes; null: one at a time, exact",
    )

    @model_validator(mode="after")
    def _causal_model_is_named(self) -> PerplexityConfig:
        if self.kind == "causal" and self.model is None:
            raise ValueError("model: must name a causal language model with `kind: causal`; the encoder is none")
        return self

    def identity(self) -> dict[str, Any]:
        """Return what tells the values of two settings apart, as JSON; of `masked` as before there were kinds."""
        other = "kind" if self.kind == "masked" else "mask_every"
        return self.model_dump(mode="json", exclude={other})

    @property
    def model_key(self) -> str:
        """What tells two models apart."""
        return f"{self.kind} {self.model} {self.revision}"


class TrainingLossConfig(Section):
    """The training runs whose losses are the signal `loss`."""

    stands_for: ClassVar[str] = "of"

    of: Literal["proxy", "dynamics"] = Field(
        "proxy", description="the proxies, or the run behind the dynamics, which takes more passes"
    )


class DropoutConfig(Section):
    """Passes of a proxy with dropout, which give the signal `dropout_probs` (`bald`)."""

    stands_for: ClassVar[str] = "passes"

    passes: int = Field(10, ge=2, le=200, description="over the pool, each with dropout of its own")


class KnnShapleyConfig(Section):
    """The nearest-neighbour classifier behind the signal `knn_shapley`."""

    stands_for: ClassVar[str] = "neighbours"

    neighbours: int = Field(5, ge=1, description="K, that vote")


class DataOobConfig(Section):
    """The models on bootstrap samples behind the signal `data_oob`."""

    stands_for: ClassVar[str] = "models"

    models: int = Field(100, ge=10, le=10_000, description="bootstrap samples of the pool, a linear model on each")


class ScorersConfig(Section):
    """Settings of single scorers."""

    perplexity: PerplexityConfig = PerplexityConfig()
    dynamics: DynamicsConfig = DynamicsConfig()
    heldout: HeldoutConfig = HeldoutConfig()
    irreducible: IrreducibleConfig = IrreducibleConfig()
    loss: TrainingLossConfig = TrainingLossConfig()
    dropout: DropoutConfig = DropoutConfig()
    knn_shapley: KnnShapleyConfig = KnnShapleyConfig()
    data_oob: DataOobConfig = DataOobConfig()
    sample: float | None = Field(
        None,
        gt=0,
        lt=1,
        description="share of the pool that goes through a model for probs, perplexity, dropout_probs and the like; "
        "the rest gets the mean of its nearest neighbours by the encoder's embeddings, and runs say how well that "
        "agrees; default: all of it",
    )


class EmbeddingConfig(Section):
    """The embeddings of the pool."""

    stands_for: ClassVar[str] = "of"

    of: Literal["encoder", "proxy"] = Field("encoder", description="the frozen encoder, or the seed's proxy")
    pooling: Literal["mean", "cls"] = Field("mean", description="over word pieces, or the first one")

    def identity(self) -> dict[str, Any]:
        """Return what the embeddings depend on, as JSON; ids of finished trials hold it."""
        return {"source": self.of, "pooling": self.pooling}


class SignalConfig(Section):
    """A signal of a user's own by name, with its parameters beside it."""

    stands_for: ClassVar[str] = "name"
    model_config = ConfigDict(extra="allow", frozen=True)

    name: str = Field(min_length=1, description="registered name, or `module:Class`")

    @property
    def parameters(self) -> dict[str, Any]:
        """The keys that belong to the signal itself."""
        return dict(self.model_extra or {})


class SelectionConfig(Section):
    """How many examples are chosen, and what the scores come from."""

    in_words: ClassVar[Mapping[str, str]] = {"budget": "a whole number >= 1 or a fraction in (0, 1]"}

    budget: Budget = 0.1
    proxy: ProxyConfig = ProxyConfig()
    embedding: EmbeddingConfig = EmbeddingConfig()
    scorers: ScorersConfig = ScorersConfig()
    signals: tuple[SignalConfig, ...] = Field(
        (),
        description="signals of your own that are not at their defaults, or that no strategy's module registers: "
        "names, or mappings of a name and its parameters",
    )
    store: str | None = Field(
        None,
        min_length=1,
        description="folder of the score store, seen by all nodes; default: shared by all sweeps of this machine, "
        "or on more nodes the results folder",
    )
    scoring_batch_tokens: int = Field(16384, ge=128, description="word pieces per forward pass while scoring")

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

    stands_for: ClassVar[str] = "name"
    model_config = ConfigDict(extra="allow", frozen=True)

    name: str = Field(min_length=1, description="registered name, or `module:Class` of your own")
    label: str | None = Field(None, min_length=1, description="name in tables and plots")

    @property
    def parameters(self) -> dict[str, Any]:
        """The keys that belong to the strategy itself."""
        return dict(self.model_extra or {})
