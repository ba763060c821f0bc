"""The section `corpora` of a pretraining file: where documents come from, and how corpora are mixed."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from raybert.config.data import DataConfig
from raybert.config.section import Section

_OF_SOURCES = {"config", "revision", "text", "group", "documents", "validation_fraction", "test_fraction"}
"""Keys that a mix has not."""


class CorpusConfig(Section):
    """A corpus: documents of a source, or a mix of other corpora."""

    stands_for: ClassVar[str] = "source"

    source: str | None = Field(
        None,
        min_length=1,
        description="as of `data.source`; besides, a txt file, a folder with train.txt (and validation.txt, test.txt), "
        "a folder of txt files, or `prose`: docstrings of installed packages that share nothing with `docstrings`",
    )
    config: str | None = Field(None, description="configuration of a hub dataset")
    revision: str | None = Field(None, description="git revision of a hub dataset")
    text: str = Field("text", description="column of the text")
    group: str | None = Field(
        None, description="column of the group that no cut tears up; of txt files also `file`: a file stays together"
    )
    documents: Literal["lines", "paragraphs", "files"] = Field(
        "lines", description="what a document is in a txt file: a line, what blank lines part, or the file"
    )
    validation_fraction: float = Field(0.1, gt=0, lt=1, description="share of documents held out if there is no split")
    test_fraction: float = Field(0.1, gt=0, lt=1, description="share of documents held out if there is no split")
    split_seed: int = Field(0, ge=0, description="seed of the cut, and of which documents are drawn")
    train_words: int | None = Field(
        None, gt=0, description="words of the train split, by drawn documents; default: all"
    )
    of: tuple[str, ...] | None = Field(
        None, min_length=1, description="corpora of the file that this one is mixed of, in place of `source`"
    )
    words: Literal["equal", "all"] = Field(
        "equal", description="of a mix: every part gives as many words as the smallest, or all that it has"
    )

    @model_validator(mode="after")
    def _one_origin(self) -> CorpusConfig:
        if (self.source is None) == (self.of is None):
            raise ValueError("must have one of `source` and `of`, got " + ("neither" if self.of is None else "both"))
        given = self.model_fields_set
        if self.of is not None:
            reading = given & _OF_SOURCES
            if reading:
                raise ValueError(f"{min(reading)}: must be left out of a mix, whose parts have their own, got a value")
            if len(set(self.of)) != len(self.of):
                raise ValueError(f"of: must name every part once, got {', '.join(self.of)}")
        elif "words" in given:
            raise ValueError(f"words: must be left out of what is no mix (`of`), got '{self.words}'")
        elif self.validation_fraction + self.test_fraction >= 1:
            raise ValueError(
                "validation_fraction: must leave documents for train, "
                f"got {self.validation_fraction:g} beside test_fraction {self.test_fraction:g}"
            )
        return self

    @model_serializer(mode="wrap")
    def _as_read(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out what may not be given, so that a written file reads back."""
        left_out = {"words"} if self.of is None else {"source", *_OF_SOURCES}
        return {key: value for key, value in write(self).items() if key not in left_out}

    def as_data(self) -> DataConfig:
        """Return the source as the readers of sweeps take it."""
        assert self.source is not None
        label = "label" if self.text != "label" else "-"  # a corpus has none, but a data section must name one
        return DataConfig(
            source=self.source,
            config=self.config,
            revision=self.revision,
            text=self.text,
            label=label,
            group=self.group,
        )
