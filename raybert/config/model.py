"""The section `model`: encoder, head, IRIS."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from raybert.config.section import Section


class HeadConfig(Section):
    """The layers from the pooled text to the logits."""

    stands_for: ClassVar[str] = "name"

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
    combine: Literal["concat", "mean"] = Field("concat", description="of what the queries retrieved")
    interaction: bool = Field(True, description="for pairs: products of the first text with what is retrieved")
    dropout: float = Field(0.1, ge=0, lt=1, description="before the classifier")
    diversity_weight: float = Field(
        0.1,
        ge=0,
        description="of the penalty that keeps queries apart, added once to the loss of a step: the sum over pairs of "
        "queries of what their cosine is above `diversity_margin`; 0: none",
    )
    diversity_margin: float = Field(0.4, ge=-1, le=1, description="cosine of two queries from which they are penalised")

    @model_validator(mode="after")
    def _windows_overlap(self) -> IrisConfig:
        if self.stride > self.chunk_tokens:
            raise ValueError(f"stride: must be <= chunk_tokens ({self.chunk_tokens}), got {self.stride}")
        return self


OWN_FACTS = ("num_classes", "encoder", "vocab_size")
"""What a model of a user's own is told beside its options, where its signature names it."""
_CHUNKING = {"chunk_tokens", "stride", "max_chunks"}
_LATER = ("diversity_weight", "diversity_margin")
"""Keys of IRIS that ids of finished trials do not hold: they are part of an id where they are not at their default."""


class ModelConfig(Section):
    """The encoder that every trial fine-tunes."""

    stands_for: ClassVar[str] = "encoder"
    in_words: ClassVar[Mapping[str, str]] = {"kind": "encoder, iris, or `module:callable` of your own"}

    kind: str = Field(
        "encoder",
        pattern=r"^(encoder|iris|[\w.]+:\w+)$",
        description="encoder: fine-tuned as a whole; iris: frozen, with a retrieval classifier for long documents; "
        "where `train` says nothing it trains 50 epochs at a constant 1e-3, fp32, patience 5; `module:callable`: a "
        "model of your own, whose texts the tokenizer of `encoder` cuts",
    )
    options: dict[str, Any] = Field({}, description="keyword arguments of a model of your own")
    iris: IrisConfig = IrisConfig()

    encoder: str = Field(
        "raybert-tiny",
        min_length=1,
        description="`raybert-tiny`, `raybert-tiny-random`, a local transformers folder, or a hub id",
    )
    revision: str | None = Field(None, description="git revision of a hub model")
    trust_remote_code: bool = Field(False, description="run Python code that comes with a hub model")
    attention: Literal["auto", "sdpa", "eager", "flash_attention_2", "unpadded"] = Field(
        "auto",
        description="how the encoder computes attention, as transformers calls it: sdpa (torch's fused kernels), eager "
        "(plain matrix products), flash_attention_2 (package `flash-attn`, a GPU, bf16 or fp16), unpadded (texts end "
        "to end without padding, for GPUs); auto: as transformers chooses",
    )
    dropout: float | None = Field(None, ge=0, lt=1, description="override every dropout of the encoder")
    pooling: Literal["cls", "mean", "max", "attention"] | None = Field(
        None, description="of a text's word pieces, for a head of ours; default: as the architecture does it"
    )
    head: HeadConfig | None = Field(
        None, description="default: the architecture's own (`pooling` alone makes it linear)"
    )
    freeze_embeddings: bool = Field(False, description="whether embeddings are not trained")
    freeze_layers: int = Field(0, ge=0, description="layers that are not trained, from the embeddings on")

    @model_validator(mode="after")
    def _keys_belong_to_the_kind(self) -> ModelConfig:
        if self.kind != "iris" and "iris" in self.model_fields_set and self.iris != IrisConfig():
            raise ValueError("iris: must be left out without `kind: iris`")
        if self.options and not self.is_own:
            raise ValueError("options: must be left out without a model of your own (`kind: module:callable`)")
        if self.is_own:
            self._check_own()
        if self.kind != "iris":
            return self
        if self.attention != "auto":
            raise ValueError("attention: must be left out with `kind: iris`, whose encoder is frozen")
        for key in ("dropout", "pooling", "freeze_embeddings", "freeze_layers"):
            if getattr(self, key):
                raise ValueError(f"{key}: must be left out with `kind: iris`, whose encoder is frozen")
        if self.head is not None and self.head.name == "residual":
            raise ValueError("head: must be linear or mlp with `kind: iris`, got residual")
        return self

    def _check_own(self) -> None:
        for key in ("dropout", "pooling", "head", "freeze_embeddings", "freeze_layers", "attention"):
            if getattr(self, key) != type(self).model_fields[key].default:
                raise ValueError(f"{key}: must be left out with a model of your own, which gets its own `options`")
        for key in OWN_FACTS:
            if key in self.options:
                raise ValueError(f"options.{key}: must be left out, raybert gives it")

    @property
    def is_own(self) -> bool:
        """Whether the model is a user's own, `module:callable`."""
        return ":" in self.kind

    def data_part(self) -> dict[str, Any]:
        """Return what decides about the data: the tokenizer's encoder, and how documents are cut; as JSON."""
        part = self.model_dump(mode="json", include={"encoder", "revision", "trust_remote_code"})
        if self.kind == "iris":
            part |= {"kind": self.kind, **self.iris.model_dump(mode="json", include=_CHUNKING)}
        return part

    def task(self) -> dict[str, Any]:
        """Return what a trial's model adds to the encoder's files, as JSON; it decides nothing about the data."""
        others = {"kind", "iris"} if self.kind == "encoder" else set()
        others |= {"attention"} if self.attention == "auto" else set()  # ids of finished trials know nothing of it
        others |= {"iris"} if self.is_own else {"options"}
        part = self.model_dump(mode="json", exclude={"encoder", "revision", "trust_remote_code", *others})
        if self.kind == "iris":  # ids of finished trials hold the name that `combine` had
            defaults = IrisConfig()
            part["iris"] = {
                "pool" if key == "combine" else key: value
                for key, value in part["iris"].items()
                if key not in _LATER or value != getattr(defaults, key)
            }
        return part

    @property
    def has_own_head(self) -> bool:
        """Whether pooling and head are ours, not the architecture's."""
        return self.head is not None or self.pooling is not None
