"""The section `tokenizer` of a pretraining file."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from raybert.config.section import Section


class TokenizerConfig(Section):
    """How texts are cut into pieces: a tokenizer that is trained, or one that is there."""

    stands_for: ClassVar[str] = "folder"

    folder: str | None = Field(
        None,
        min_length=1,
        description="folder of a tokenizer (or a model with one) to take as it is; default: train one",
    )
    kind: Literal["wordpiece", "byte_bpe"] = Field(
        "wordpiece",
        description="wordpiece: as BERT's; byte_bpe: pairs of bytes, as of RoBERTa and ModernBERT: no text is unknown",
    )
    vocabulary: int = Field(8192, ge=32, le=1_000_000, description="most pieces, special ones included")
    lowercase: bool | None = Field(
        None, description="whether texts are lower-cased (and accents taken off by wordpiece); default: for wordpiece"
    )
    min_frequency: int = Field(2, ge=1, description="how often a pair must occur to become a piece")
    special: tuple[str, ...] = Field(
        (), description="special tokens besides [PAD], [UNK], [CLS], [SEP] and [MASK], e.g. '[SPEAKER]'"
    )
    of: tuple[str, ...] | None = Field(
        None, min_length=1, description="corpora whose train split it is trained on; default: all that are no mix"
    )

    @model_validator(mode="after")
    def _is_trained_or_there(self) -> TokenizerConfig:
        beside = self.model_fields_set - {"folder"}
        if self.folder is not None and beside:
            raise ValueError(f"{min(beside)}: must be left out beside `folder`, a tokenizer as it is, got a value")
        if len(set(self.special)) != len(self.special) or not all(token.strip() for token in self.special):
            raise ValueError(f"special: must be distinct tokens with letters, got {', '.join(map(repr, self.special))}")
        if self.kind == "byte_bpe" and "vocabulary" in beside and self.vocabulary < 256 + 5 + len(self.special):
            raise ValueError(
                f"vocabulary: must be >= {261 + len(self.special)} (bytes, special tokens), got {self.vocabulary}"
            )
        return self

    @model_serializer(mode="wrap")
    def _as_read(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out what may not be given, so that a written file reads back."""
        document: dict[str, Any] = write(self)
        if self.folder is not None:
            return {"folder": document["folder"]}
        return document

    @property
    def is_lowercase(self) -> bool:
        """Whether a tokenizer that is trained lower-cases."""
        return self.kind == "wordpiece" if self.lowercase is None else self.lowercase

    def identity(self) -> dict[str, Any]:
        """Return what decides the vocabulary, the texts apart, as JSON."""
        return {**self.model_dump(mode="json", exclude={"of"}), "lowercase": self.is_lowercase}
