"""The examples that a pool is scored for: the validation split, or a file of labelled examples."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from raybert.errors import DataError
from raybert.selection.scorers.request import ScorerRequest
from raybert.selection.scorers.scorer import ScoringData

if TYPE_CHECKING:
    from raybert.config import DataConfig
    from raybert.data.unseen import UnseenExamples
    from raybert.models import Encoder

VALIDATION = "validation"


@dataclass(frozen=True)
class Target:
    """Labelled examples, of the classes of the pool.

    Attributes:
        source: `validation`, or the path of a file with the columns of `data`.
        digest: of the file's content; empty: the data's fingerprint has it.
        data: the section of the sweep file that says what columns are called; None with `validation`.
        encoder: whose tokenizer makes word pieces of a file.
    """

    source: str
    digest: str
    data: DataConfig | None
    encoder: Encoder

    def identity(self) -> dict[str, Any]:
        """Return what tells two targets apart beside the data, as JSON."""
        return {"target": self.source if self.source == VALIDATION else self.digest}

    def table(self, scoring_data: ScoringData) -> Any:
        """Return its token table, labels in the class numbers of the pool.

        Raises:
            DataError: what is wrong with the file.
        """
        if self.source == VALIDATION:
            return scoring_data.data.validation
        assert self.data is not None
        import pyarrow as pa

        from raybert.data.tokens import TextEncoder
        from raybert.models import load_tokenizer
        from raybert.models.tokenizer_options import with_options

        found = read_target(Path(self.source), self.data, scoring_data.data.label_names)
        columns = {"text": pa.array(list(found.texts)), "label": pa.array(np.asarray(found.labels))}
        if found.text_pairs is not None:
            columns["text_pair"] = pa.array(list(found.text_pairs))
        encoder = TextEncoder(
            with_options(load_tokenizer(self.encoder), self.data),
            self.data.max_length,
            has_pairs=self.data.text_pair is not None,
            pair_truncation=self.data.pair_truncation or "longest_first",
        )
        return encoder.encode(pa.table(columns))[0]


def make_target(source: str, request: ScorerRequest) -> Target:
    """Return the target of a trial."""
    if source == VALIDATION:
        return Target(source, "", None, request.encoder)
    return Target(source, digest_of_target(source), request.data, request.encoder)


def digest_of_target(source: str) -> str:
    """Return the SHA-256 of a file's content; of one that is not there the word `missing`."""
    path = Path(source).expanduser()
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "missing"


def read_target(path: Path, data: DataConfig, label_names: tuple[str, ...]) -> UnseenExamples:
    """Return the examples of a file.

    Args:
        path: csv, tsv, parquet, jsonl, json or arrow.
        data: says what the columns are called.
        label_names: of the pool.

    Raises:
        DataError: there is no such file, it lacks a column, or a label is none of the pool's.
    """
    from raybert.data.unseen import read_unseen

    where = path.expanduser()
    if not where.is_file():
        raise DataError(f"target.source: must be `validation` or a file of labelled examples, got '{path}'")
    named = {"text": data.text, "text_pair": data.text_pair, "label": data.label_words}
    columns = {key: column for key, column in named.items() if column is not None}
    return read_unseen(where, columns, required=set(columns), label_names=label_names)
