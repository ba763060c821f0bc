"""A trained model from its folder alone: texts in, probabilities out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import pyarrow as pa
import torch
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from raybert.config import DataConfig
from raybert.data.chunks import ChunkSettings, ChunkTable, chunk_column
from raybert.data.examples import BatchMaker, ExampleTable
from raybert.data.token_store import TokenStore
from raybert.data.tokens import PairTruncation, TokenTable, collate, takes_token_types, tokenize_examples
from raybert.errors import ConfigError, DataError, ModelError
from raybert.models import Encoder, load_backbone, load_model, quiet_transformers
from raybert.models.description import ModelDescription, assume_description, read_description
from raybert.models.encoder import fingerprint_files, loading
from raybert.models.iris import IrisClassifier
from raybert.models.own_kind import is_own_model, note_on_code
from raybert.models.tokenizer_options import with_options
from raybert.training.inference import Inference
from raybert.training.optimization.precision import resolve_precision

_TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "vocab.txt", "vocab.json")


class TextReader(Protocol):
    """Turns texts into what one kind of model reads."""

    def read(self, examples: pa.Table, store: TokenStore | None = None) -> tuple[ExampleTable, BatchMaker]:
        """Return the examples (columns text, [text_pair], label) as a table, and who makes batches of it.

        Args:
            examples: the texts.
            store: where what is made of them may be kept already, and is kept for another time.
        """


@dataclass(frozen=True)
class TokenReader:
    """Word pieces, as in training."""

    tokenizer: PreTrainedTokenizerFast
    max_length: int
    pair_truncation: PairTruncation = "longest_first"

    def read(self, examples: pa.Table, store: TokenStore | None = None) -> tuple[TokenTable, TokenReader]:
        return tokenize_examples(examples, self.tokenizer, self.max_length, self.pair_truncation, store), self

    def batch(self, table: TokenTable, positions: np.ndarray) -> dict[str, torch.Tensor]:
        """Return the model's inputs for some rows."""
        pad_id = int(self.tokenizer.pad_token_id)
        return collate(table, positions, pad_id, takes_token_types(self.tokenizer))


@dataclass(frozen=True)
class ChunkReader:
    """Embeddings of a document's chunks by the encoder that IRIS was trained with."""

    tokenizer: PreTrainedTokenizerFast
    encoder: Encoder
    settings: ChunkSettings
    max_length: int
    device: torch.device

    def read(self, examples: pa.Table, store: TokenStore | None = None) -> tuple[ChunkTable, ChunkReader]:
        is_pair = "text_pair" in examples.column_names
        chunks = chunk_column(examples["text_pair" if is_pair else "text"], self.tokenizer, self.settings, store)
        model = load_backbone(self.encoder).to(self.device)
        companions = None
        if is_pair:
            alone = examples.drop_columns(["text_pair"])
            firsts = tokenize_examples(alone, self.tokenizer, self.max_length, store=store)
            companions = self._embed(model, firsts)
        labels = examples["label"].to_numpy().astype(np.int64)
        return ChunkTable(self._embed(model, chunks.table), chunks.document_offsets, labels, companions), self

    def batch(self, table: ChunkTable, positions: np.ndarray) -> dict[str, torch.Tensor]:
        """Return the model's inputs for some documents."""
        return table.collate(positions)

    def _embed(self, model: torch.nn.Module, pieces: TokenTable) -> np.ndarray:
        reader = TokenReader(self.tokenizer, self.max_length)
        return Inference(model, reader).embeddings(pieces)


@dataclass(frozen=True)
class TrainedModel:
    """A model that a run (or somebody else) has left in a folder.

    Attributes:
        folder: where it is.
        description: what it reads and what its classes are called.
        notes: what had to be assumed.
        model: in eval mode, on the device.
        reader: makes its inputs of texts.
        precision: as in `train.precision`.
    """

    folder: Path
    description: ModelDescription
    notes: tuple[str, ...]
    model: Any
    reader: TextReader
    precision: str

    @classmethod
    def load(cls, folder: str | Path, *, device: str | torch.device | None = None, trust: bool = False) -> TrainedModel:
        """Return the model in a folder.

        Args:
            folder: with config.json, weights and tokenizer; `raybert.json` says the rest.
            device: where to compute; default: a GPU if there is one.
            trust: whether a model of a user's own that the folder names (`model.kind`) is imported.

        Raises:
            ModelError: the folder holds no classifier of texts.
            UntrustedCode: it names code, and that is not trusted.
        """
        folder = Path(folder)
        model = load_model(folder, trust_remote_code=trust and is_own_model(folder))
        tokenizer = _load_tokenizer(folder)
        description, notes = read_description(folder), [*note_on_code(folder)]
        if description is None:
            description, note = assume_description(folder, tokenizer, model)
            notes.append(note)
        chosen = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        precision = description.precision
        try:
            resolve_precision(precision, chosen)
        except ConfigError:
            notes.append(f"trained in {precision}, which is not possible on '{chosen}': computes in its best format")
            precision = "auto"
        reader = _make_reader(folder, model, tokenizer, description, chosen)
        return cls(folder, description, tuple(notes), model.to(chosen), reader, precision)

    def predict_probs(
        self, texts: Sequence[str], text_pairs: Sequence[str] | None = None, *, store: TokenStore | None = None
    ) -> np.ndarray:
        """Return (m, C) float32 probabilities, in the order of the texts.

        Args:
            texts: (m,).
            text_pairs: (m,) second texts, of a model that was trained on pairs.
            store: where word pieces of these texts may be kept already, and are kept for another time.

        Raises:
            DataError: second texts are missing, or too many.
        """
        if text_pairs is None and self.description.columns.text_pair is not None:
            raise DataError(f"{self.folder}: was trained on pairs; give the second texts too")
        columns: dict[str, Any] = {"text": pa.array(texts, pa.string())}
        if text_pairs is not None:
            if len(text_pairs) != len(texts):
                raise DataError(f"text_pairs: must be as many as texts ({len(texts)}), got {len(text_pairs)}")
            columns["text_pair"] = pa.array(text_pairs, pa.string())
        if not len(texts):
            return np.zeros((0, len(self.description.label_names)), np.float32)
        columns["label"] = pa.array(np.zeros(len(texts), np.int64))
        table, batches = self.reader.read(pa.table(columns), store)
        return Inference(self.model, batches, self.precision).probs(table)


def _make_reader(
    folder: Path, model: Any, tokenizer: PreTrainedTokenizerFast, description: ModelDescription, device: torch.device
) -> TextReader:
    """Return what makes the model's inputs.

    Raises:
        ModelError: the encoder that IRIS was trained with is gone, or has changed.
    """
    lowercase: bool | Literal["auto"] = "auto" if description.lowercase is None else description.lowercase
    # Not every class of tokenizers keeps a changed normalizer when it is saved and loaded.
    tokenizer = with_options(tokenizer, DataConfig(lowercase=lowercase, truncation_side=description.truncation_side))
    if not isinstance(model, IrisClassifier):
        return TokenReader(tokenizer, description.max_length, description.pair_truncation)
    path = Path(description.encoder_path or "")
    if description.chunking is None or not (path / "config.json").is_file():
        raise ModelError(
            f"{folder}: needs the encoder that it was trained with, '{description.encoder}'; not at '{path}'"
        )
    encoder = Encoder(str(description.encoder), path, fingerprint_files(path))
    if encoder.fingerprint != description.encoder_fingerprint:
        raise ModelError(f"{path}: must be the encoder that {folder} was trained with, but its files have changed")
    return ChunkReader(tokenizer, encoder, ChunkSettings(**description.chunking), description.max_length, device)


def _load_tokenizer(folder: Path) -> PreTrainedTokenizerFast:
    if not any((folder / name).is_file() for name in _TOKENIZER_FILES):
        raise ModelError(f"{folder}: must hold a tokenizer beside the model (tokenizer.json), has none")
    with loading(f"{folder}: its tokenizer"), quiet_transformers():  # which need not know our heads' configurations
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)  # None would ask
    if not tokenizer.is_fast:
        raise ModelError(f"{folder}: must have a fast tokenizer (tokenizer.json)")
    return tokenizer
