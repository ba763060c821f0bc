"""The section `crosseval` of a pretraining file."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from raybert.config.section import Section


class CrossevalConfig(Section):
    """How surprised each model is by each corpus: what is masked, on which documents, and how sure it is."""

    models: dict[str, str | tuple[str, ...]] | None = Field(
        None,
        min_length=1,
        description="name -> folder (or hub id) of a masked language model, or a list of them: seeds of one model; "
        "default: those that `raybert pretrain` has trained in the study's folder",
    )
    domains: dict[str, str] = Field(
        default_factory=dict,
        description="model -> corpus that it was trained on; default: the corpus of its name, if there is one",
    )
    of: tuple[str, ...] | None = Field(None, min_length=1, description="corpora to measure on; default: all")
    split: Literal["validation", "test"] = Field("test", description="split of the corpora")
    documents: int | None = Field(None, gt=1, description="documents of a corpus, the first ones; default: all")
    mask_share: float = Field(0.15, gt=0, lt=1, description="share of the words that are masked, all their pieces")
    max_length: int = Field(128, ge=4, le=32768, description="pieces read at once; longer documents are read in parts")
    pseudo_perplexity: int = Field(
        200, ge=0, description="documents of a corpus of which each piece is masked alone; 0: not measured"
    )
    resamples: int = Field(2000, ge=100, le=100_000, description="bootstrap resamples of documents behind intervals")
    seed: int = Field(0, ge=0, description="of masks and resamples, the same for all models")

    @model_validator(mode="after")
    def _names_are_there(self) -> CrossevalConfig:
        for name in self.domains if self.models is not None else ():
            if name not in (self.models or {}):
                raise ValueError(f"domains: must name models of `crosseval.models`, got '{name}'")
        return self
