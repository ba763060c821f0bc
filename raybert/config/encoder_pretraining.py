"""The section `pretrain` of a sweep file: how the encoder goes on with pretraining before trials fine-tune it."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field, model_validator

from raybert.config.corpora import CorpusConfig
from raybert.config.pretrain import PretrainConfig, PretrainLengthConfig
from raybert.config.section import Section

POOL = "pool"
"""The corpus that is made of the texts of the pool."""
_OF_A_SOURCE = ("config", "revision", "text", "group", "documents", "train_words", "test_fraction")
_EPOCHS = 3.0
OF_NO_RESULT = ("micro_batch_size", "checkpoint_seconds", "checkpoints")
"""Keys that change no weights."""


class SweepCorpusConfig(Section):
    """What the encoder is pretrained on."""

    stands_for: ClassVar[str] = "source"

    source: str = Field(
        POOL,
        min_length=1,
        description="pool: the texts of the train split, before anything is selected of it, and no others; else as of "
        "`data.source`; besides, a txt file, a folder with train.txt (and validation.txt, test.txt), a folder of txt "
        "files, or `prose`: docstrings of installed packages",
    )
    config: str | None = Field(None, description="configuration of a hub dataset")
    revision: str | None = Field(None, description="git revision of a hub dataset")
    text: str = Field("text", description="column of the text")
    group: str | None = Field(None, description="column of the group that no cut tears up; of txt files also `file`")
    documents: Literal["lines", "paragraphs", "files"] = Field(
        "lines", description="what a document is in a txt file: a line, what blank lines part, or the file"
    )
    train_words: int | None = Field(
        None, gt=0, description="words that are trained on, by drawn documents; default: all"
    )
    validation_fraction: float = Field(
        0.1, gt=0, lt=1, description="share of documents that perplexity is measured on, if there is no split"
    )
    test_fraction: float = Field(
        0.01, gt=0, lt=1, description="share of documents that are left out, if there is no split; of the pool none are"
    )
    split_seed: int = Field(0, ge=0, description="seed of the cut, and of which documents are drawn")

    @model_validator(mode="after")
    def _the_pool_is_as_it_is(self) -> SweepCorpusConfig:
        changed = [key for key in _OF_A_SOURCE if getattr(self, key) != type(self).model_fields[key].default]
        if self.is_pool and changed:
            raise ValueError(f"{changed[0]}: must be left out without a `source`: `data` says what the pool is")
        if not self.is_pool and self.validation_fraction + self.test_fraction >= 1:
            raise ValueError(
                f"validation_fraction: must leave documents to train on, got {self.validation_fraction:g} beside "
                f"test_fraction {self.test_fraction:g}"
            )
        return self

    @property
    def is_pool(self) -> bool:
        """Whether it is the texts of the pool."""
        return self.source == POOL

    def as_corpus(self) -> CorpusConfig:
        """Return the corpus of a pretraining file that is the same."""
        return CorpusConfig.model_validate(self.model_dump(mode="json"))


class SweepPretrainLengthConfig(PretrainLengthConfig):
    """How long the encoder is pretrained; at most one of these, by default 3 epochs."""

    steps: int | None = Field(None, ge=0, description="optimizer steps T; 0: the encoder stays as it is")
    hours: float | None = Field(None, description="must be left out: the same file must give the same encoder")

    @model_validator(mode="after")
    def _exactly_one(self) -> SweepPretrainLengthConfig:
        given = [name for name, value in self if value is not None]
        if len(given) > 1:
            raise ValueError(f"must have one of steps, epochs and tokens, got {', '.join(given)}")
        if self.hours is not None:
            raise ValueError(
                "must be steps, epochs or tokens, so that the same file gives the same encoder everywhere, got hours"
            )
        return self

    def settled(self) -> PretrainLengthConfig:
        """Return what is meant."""
        given = {name: value for name, value in self if value is not None}
        return PretrainLengthConfig.model_validate(given or {"epochs": _EPOCHS})


class SweepPretrainConfig(PretrainConfig):
    """How the encoder goes on with pretraining before anything is scored or trained with it."""

    corpus: SweepCorpusConfig = SweepCorpusConfig()
    seed: int = Field(0, ge=0, description="of order, masks and dropout, and of a head that is new")
    length: SweepPretrainLengthConfig = SweepPretrainLengthConfig()
    learning_rate: float = Field(1e-4, gt=0, description="peak learning rate")

    @property
    def is_on(self) -> bool:
        """Whether the encoder is another one afterwards."""
        return self.length.steps != 0

    def as_file(self) -> PretrainConfig:
        """Return the section `pretrain` of a pretraining file that trains the same."""
        document = self.model_dump(mode="json", exclude={"corpus", "seed", "length"})
        return PretrainConfig.model_validate({**document, "length": self.length.settled()})

    def identity(self) -> dict[str, Any]:
        """Return what decides about the weights beside encoder and corpus, as JSON; empty: it changes none."""
        if not self.is_on:
            return {}
        return self.as_file().model_dump(mode="json", exclude=set(OF_NO_RESULT)) | {"seed": self.seed}

    def data_part(self) -> dict[str, Any]:
        """Return what decides about the encoder and the corpus that a data set has with it, as JSON."""
        return {"corpus": self.corpus.model_dump(mode="json"), **self.identity()}
