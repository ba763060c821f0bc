"""Token tables: every example of a split as flat word-piece ids, tokenized once and shared by all trials."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pyarrow as pa
import torch
from tokenizers import Encoding

from raybert.config.tasks import CLASSIFICATION, Task
from raybert.data.cut_texts import TextCutter, batches_of
from raybert.data.noise import PLANTED
from raybert.data.splits import SPLITS, Splits
from raybert.data.strings import as_str_array
from raybert.data.targets import TARGET, target_matrix
from raybert.data.token_store import TokenStore, joined
from raybert.data.tokenizer import private_backend, tokenizer_facts
from raybert.errors import ConfigError, ModelError
from raybert.files import json_digest

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

_MOST_ROWS = 4096
PairTruncation = Literal["longest_first", "only_first", "only_second"]
"""Which text of a pair is shortened, as tokenizers call it."""


@dataclass(frozen=True)
class TokenTable:
    """The examples of one split in a fixed order; rows are positions.

    The arrays may be read-only views of Ray's object store: copy before handing them to torch.

    Attributes:
        ids: (total,) int32, word pieces of all examples end to end, special ones included.
        offsets: (n + 1,) int64, example i is ids[offsets[i]:offsets[i + 1]].
        second_starts: (n,) int32, where in example i the second text begins (its length if there is none).
        labels: (n,) int64, class numbers 0..C-1; of another task than classification numbers of strata.
        targets: of such a task (n, L) float32: 1 where an example has a label, or (n, 1) numbers.
    """

    ids: np.ndarray
    offsets: np.ndarray
    second_starts: np.ndarray
    labels: np.ndarray
    targets: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def lengths(self) -> np.ndarray:
        """(n,) int64, word pieces per example."""
        return np.diff(self.offsets)

    @property
    def unit_size(self) -> int:
        """A word piece."""
        return 1

    def take(self, positions: np.ndarray) -> TokenTable:
        """Return the table of these rows, in this order."""
        lengths = self.lengths[positions]
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        shift = np.repeat(self.offsets[positions] - offsets[:-1], lengths)
        ids = self.ids[np.arange(offsets[-1]) + shift]
        targets = None if self.targets is None else self.targets[positions]
        return TokenTable(ids, offsets, self.second_starts[positions], self.labels[positions], targets)


def collate(
    table: TokenTable, positions: np.ndarray, pad_id: int, uses_token_types: bool, *, multiple_of: int = 1
) -> dict[str, torch.Tensor]:
    """Return the model's inputs for some rows, padded on the right to the longest of them.

    Args:
        table: may be read-only; everything is copied out of it.
        positions: (b,) rows, in the order wanted.
        pad_id: word piece that fills short rows.
        uses_token_types: whether `token_type_ids` is wanted.
        multiple_of: the width is rounded up to a multiple of this.

    Returns:
        input_ids, attention_mask, [token_type_ids]: (b, width) int64; labels: (b,) int64, or targets (b, L) float32.
    """
    starts = table.offsets[positions]  # (b,)
    lengths = table.offsets[np.asarray(positions) + 1] - starts
    width = -(-int(lengths.max(initial=1)) // multiple_of) * multiple_of
    columns = np.arange(width)
    mask = columns < lengths[:, None]  # (b, width)
    ids = np.full(mask.shape, pad_id, np.int64)
    ids[mask] = table.ids[(starts[:, None] + columns)[mask]]
    batch = {"input_ids": ids, "attention_mask": mask.astype(np.int64)}
    if uses_token_types:
        second = columns >= table.second_starts[positions][:, None]
        batch["token_type_ids"] = (second & mask).astype(np.int64)
    if table.targets is None:
        batch["labels"] = table.labels[positions].astype(np.int64)
    else:
        batch["labels"] = table.targets[positions].astype(np.float32)
    return {name: torch.from_numpy(array) for name, array in batch.items()}


@dataclass(frozen=True)
class TokenizedData:
    """All that a trial needs of the data: token tables of the three splits and what describes them.

    Attributes:
        train: the pool.
        validation: chooses the best evaluation.
        test: read once, for the chosen evaluation.
        example_ids: (n,) str array, the stable id of every pool example.
        label_names: class number -> name.
        pad_id: word piece that fills short rows of a batch.
        uses_token_types: whether the encoder takes `token_type_ids`.
        fingerprint: hex digest of texts, labels, splits, tokenizer and max_length.
        notes: what a user should know: how many texts are truncated.
        task: what is predicted.
        outputs: of another task than classification, what a model's outputs are called.
        extra_tests: name -> further test set that trials are measured on, too.
        extra_tests_digest: of their content; empty: there are none.
    """

    train: TokenTable
    validation: TokenTable
    test: TokenTable
    example_ids: np.ndarray
    label_names: tuple[str, ...]
    pad_id: int
    uses_token_types: bool
    fingerprint: str
    notes: tuple[str, ...] = ()
    task: Task = CLASSIFICATION
    outputs: tuple[str, ...] = ()
    extra_tests: Mapping[str, TokenTable] = field(default_factory=dict)
    extra_tests_digest: str = ""

    @property
    def num_classes(self) -> int:
        """Number of classes C; of another task of strata."""
        return len(self.label_names)

    @property
    def output_names(self) -> tuple[str, ...]:
        """What a model's outputs are called: classes, labels, or the number."""
        return self.outputs or self.label_names

    def batch(self, table: TokenTable, positions: np.ndarray) -> dict[str, torch.Tensor]:
        """Return the model's inputs for some rows, see `collate`."""
        return collate(table, positions, self.pad_id, self.uses_token_types)


def tokenize_splits(
    splits: Splits,
    tokenizer: PreTrainedTokenizerFast,
    max_length: int,
    *,
    like: tuple[Splits, TokenizedData] | None = None,
    pair_truncation: PairTruncation = "longest_first",
    store: TokenStore | None = None,
) -> TokenizedData:
    """Return the token tables of the three splits, and of further test sets.

    The word pieces are those of `tokenizer(text, text_pair, truncation=True, max_length=max_length)`:
    special ones included, pairs shortened at the longer text first, or with `truncation=pair_truncation`. The tokenizer
    itself is left as it was.

    Args:
        splits: the examples.
        tokenizer: a fast one; its Rust threads tokenize in parallel.
        max_length: word pieces per example, special ones included.
        like: the same examples cut otherwise (another fold), tokenized with the same tokenizer and length: their word
            pieces are taken over, but not where noise is planted, which every fold has its own of.
        pair_truncation: which text of a pair is shortened.
        store: where word pieces of these texts may be kept already, and are kept for another time.

    Raises:
        ModelError: the tokenizer is not a fast one, has no padding piece, or has types other than 0..0 1..1.
        ConfigError: `max_length` leaves no room beside the special pieces.
    """
    definition = private_backend(tokenizer).to_str()  # without truncation: the same text for the same tokenizer
    has_pairs = "text_pair" in splits.train.column_names
    encoder = TextEncoder(tokenizer, max_length, has_pairs=has_pairs, pair_truncation=pair_truncation, store=store)
    if like is None or PLANTED in splits.train.column_names:
        encoded = {split: encoder.encode(getattr(splits, split)) for split in SPLITS}
        tables = {split: _with_targets(table, getattr(splits, split), splits) for split, (table, _) in encoded.items()}
        notes = _truncation_notes(np.concatenate([kept for _, kept in encoded.values()]), encoder)
    else:
        tables, notes = _cut_again(splits, *like), like[1].notes  # of the same examples
    extra = {name: _with_targets(encoder.encode(part)[0], part, splits) for name, part in splits.extra_tests.items()}
    side, uses_token_types = str(tokenizer.truncation_side), encoder.uses_token_types
    parts = [definition, max_length, side, tokenizer.pad_token_id, uses_token_types, splits.fingerprint]
    parts += [] if pair_truncation == "longest_first" else [pair_truncation]
    return TokenizedData(
        **tables,
        example_ids=as_str_array(splits.train["example_id"]) if splits.pool_ids is None else splits.pool_ids,
        label_names=splits.label_names,
        pad_id=int(tokenizer.pad_token_id),
        uses_token_types=uses_token_types,
        fingerprint=json_digest(parts),
        notes=notes,
        task=splits.task,
        outputs=splits.outputs,
        extra_tests=extra,
        extra_tests_digest=splits.extra_tests_digest,
    )


def _with_targets(table: TokenTable, examples: pa.Table, splits: Splits) -> TokenTable:
    """Return the token table of some examples with what is predicted, where that is not one class."""
    if splits.task == CLASSIFICATION:
        return table
    return replace(table, targets=target_matrix(examples[TARGET], splits.outputs))


def _cut_again(splits: Splits, known: Splits, data: TokenizedData) -> dict[str, TokenTable]:
    """Return the token tables of splits whose examples are all in tokenized ones, found by their ids."""
    tables = [getattr(data, split) for split in SPLITS]
    starts = np.concatenate([[0], np.cumsum([table.offsets[-1] for table in tables])])
    ends = [table.offsets[1:] + start for table, start in zip(tables, starts[:-1], strict=True)]
    joined = TokenTable(
        ids=np.concatenate([table.ids for table in tables]),
        offsets=np.concatenate([[0], *ends]),
        second_starts=np.concatenate([table.second_starts for table in tables]),
        labels=np.concatenate([table.labels for table in tables]),
        targets=None if tables[0].targets is None else np.concatenate([table.targets for table in tables]),
    )
    ids = chain.from_iterable(getattr(known, split)["example_id"].to_pylist() for split in SPLITS)
    row_of = {example_id: row for row, example_id in enumerate(ids)}
    wanted = {split: [row_of[i] for i in getattr(splits, split)["example_id"].to_pylist()] for split in SPLITS}
    return {split: joined.take(np.array(rows)) for split, rows in wanted.items()}


def tokenize_examples(
    examples: pa.Table,
    tokenizer: PreTrainedTokenizerFast,
    max_length: int,
    pair_truncation: PairTruncation = "longest_first",
    store: TokenStore | None = None,
) -> TokenTable:
    """Return the token table of some examples, as `tokenize_splits` makes it.

    Args:
        examples: columns text, [text_pair], label.
        tokenizer: a fast one.
        max_length: word pieces per example, special ones included.
        pair_truncation: which text of a pair is shortened.
        store: as of `tokenize_splits`.

    Raises:
        ModelError: as `tokenize_splits`.
        ConfigError: likewise.
    """
    has_pairs = "text_pair" in examples.column_names
    encoder = TextEncoder(tokenizer, max_length, has_pairs=has_pairs, pair_truncation=pair_truncation, store=store)
    return encoder.encode(examples)[0]


def takes_token_types(tokenizer: PreTrainedTokenizerFast) -> bool:
    """Tell whether the encoder of a tokenizer takes `token_type_ids`."""
    return "token_type_ids" in tokenizer.model_input_names


class TextEncoder:
    """Makes word pieces of texts, as the tokenizer would of the whole ones; what no piece is made of is cut before.

    Args:
        tokenizer: a fast one.
        max_length: word pieces per example, special ones included.
        has_pairs: whether examples have second texts.
        pair_truncation: which text of a pair is shortened.
        store: where word pieces are kept; None: nowhere.

    Raises:
        ModelError: the tokenizer is not a fast one, or has no padding piece.
        ConfigError: `max_length` leaves no room beside the special pieces.
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerFast,
        max_length: int,
        *,
        has_pairs: bool,
        pair_truncation: PairTruncation = "longest_first",
        store: TokenStore | None = None,
    ) -> None:
        self.max_length, self.has_pairs, self._store = max_length, has_pairs, store
        self.pair_truncation = pair_truncation if has_pairs else "longest_first"
        self.uses_token_types = takes_token_types(tokenizer)
        self._backend = private_backend(tokenizer)
        self._room = max_length - self._backend.num_special_tokens_to_add(has_pairs)
        if self._room < 1:
            raise ConfigError(
                f"data.max_length: must be > {max_length - self._room} (special word pieces), got {max_length}"
            )
        side = str(tokenizer.truncation_side)
        self._cutter = TextCutter(private_backend(tokenizer), max_length, from_end=side == "left")
        self._backend.enable_truncation(max_length, strategy=self.pair_truncation, direction=side)

    def encode(self, table: pa.Table) -> tuple[TokenTable, np.ndarray]:
        """Return the word pieces of examples, and which share of each one's pieces is kept, about: (n,), 1 is all."""
        if self._store is None:
            arrays = joined(self._parts(table, {}))
        else:
            columns = [table[name] for name in self._columns]
            arrays = self._store.arrays(self._facts(), columns, partial(self._parts, table), in_parts=True)
        kept, labels = arrays.pop("kept"), table["label"].to_numpy().astype(np.int64)
        return TokenTable(**arrays, labels=labels), kept

    @property
    def _columns(self) -> list[str]:
        return ["text", *(["text_pair"] if self.has_pairs else [])]

    def _facts(self) -> dict[str, Any]:
        """Return what word pieces depend on beside the texts."""
        return {
            "kind": "texts",
            **tokenizer_facts(self._backend),  # max_length, side and rule of truncation among them
            "token_types": self.uses_token_types,
        }

    def _parts(self, table: pa.Table, done: Mapping[str, int]) -> Iterator[dict[str, np.ndarray]]:
        """Yield word pieces as `TokenTable` has them, and `kept`: which share of each example's is kept, about.

        Args:
            table: the examples.
            done: how much of each array there is already.
        """
        total = done.get("ids", 0)
        if not done:
            nothing = np.empty(0, np.int32)
            yield {"ids": nothing, "offsets": np.zeros(1, np.int64), "second_starts": nothing, "kept": np.empty(0)}
        for encodings, shares in self._batches(table.slice(done.get("kept", 0))):
            rows = [encoding.ids for encoding in encodings]
            lengths = np.fromiter(map(len, rows), np.int64, len(rows))
            starts = _second_starts(encodings, lengths, self.uses_token_types) if self.has_pairs else lengths
            lost = np.array([sum(len(rest) for rest in encoding.overflowing) for encoding in encodings])
            yield {
                "ids": np.fromiter(chain.from_iterable(rows), np.int32, lengths.sum()),
                "offsets": total + np.cumsum(lengths),
                "second_starts": starts.astype(np.int32),
                "kept": shares * lengths / (lengths + lost),
            }
            total += int(lengths.sum())

    def _batches(self, table: pa.Table) -> Iterator[tuple[list[Encoding], np.ndarray]]:
        """Yield encodings, and which share of each one's characters was encoded."""
        for start in range(0, table.num_rows, _MOST_ROWS):
            rows = table.slice(start, _MOST_ROWS)
            whole = [rows[column].to_pylist() for column in self._columns]
            cut = [self._cutter.cut(texts) for texts in whole]
            if self.pair_truncation != "longest_first":
                self._check_other_fits(whole[0], whole[1])
            elif self.has_pairs:
                self._keep_order(*whole, *cut)
            sizes, cut_sizes = (np.sum([list(map(len, part)) for part in parts], axis=0) for parts in (whole, cut))
            shares = cut_sizes / np.maximum(sizes, 1)
            for places in batches_of(range(len(sizes)), cut_sizes.tolist()):
                part = slice(places[0], places[-1] + 1)
                texts = list(zip(*(column[part] for column in cut), strict=True)) if self.has_pairs else cut[0][part]
                yield self._backend.encode_batch_fast(texts), np.where(sizes[part] > 0, shares[part], 1.0)

    def _check_other_fits(self, firsts: list[str], seconds: list[str]) -> None:
        """Refuse pairs whose text that is not to be shortened leaves no room for the other.

        Raises:
            ConfigError: shows the beginning of one.
        """
        is_first = self.pair_truncation == "only_first"
        name, whole, others = ("second", seconds, firsts) if is_first else ("first", firsts, seconds)
        for text, shortened in zip(whole, others, strict=True):
            most = self._room - bool(shortened)
            # A word piece has a byte at least: most texts are short enough without being counted.
            if len(text.encode()) > most and (count := self._cutter.count(text)) > most:
                raise ConfigError(
                    f"data.pair_truncation: {self.pair_truncation} needs {name} texts of at most {most} word pieces "
                    f"(data.max_length {self.max_length}), but '{text[:30]}...' has {count}; raise data.max_length, or "
                    "take longest_first"
                )

    def _keep_order(self, firsts: list[str], seconds: list[str], cut: list[str], cut_seconds: list[str]) -> None:
        """Change cut texts of pairs so that the one with more pieces still has more: it gets the odd piece of the room.

        Where the other one is short, or the room is even, it makes no difference.
        """
        if self._room % 2 == 0:
            return
        for row, texts in enumerate(zip(firsts, seconds, strict=True)):
            parts = cut[row], cut_seconds[row]
            if parts == texts:
                continue
            here, there = map(self._cutter.count, parts)
            if min(here, there) <= self._room // 2:
                continue
            first, second = map(self._cutter.count, texts)
            if first > second and here <= there:
                cut[row] = replace(self._cutter, num_pieces=there + 1).cut([texts[0]])[0]
            elif first <= second and here > there:
                cut_seconds[row] = replace(self._cutter, num_pieces=here).cut([texts[1]])[0]


def _truncation_notes(kept: np.ndarray, encoder: TextEncoder) -> tuple[str, ...]:
    """Return a line about texts of which not all word pieces are kept, if there are some."""
    truncated = kept[kept < 1]
    if not len(truncated):
        return ()
    noun = "pairs" if encoder.has_pairs else "texts"
    return (
        f"{len(truncated):,} of {len(kept):,} {noun} have more than {encoder.max_length} word pieces (data.max_length) "
        f"and are truncated: half of these keep less than about {100 * np.median(truncated):.2g} % of their pieces",
    )


def _second_starts(encodings: list[Encoding], lengths: np.ndarray, uses_token_types: bool) -> np.ndarray:
    """Return where second texts begin: by token types where the encoder takes them, else by first pieces.

    Raises:
        ModelError: the types of a row are not 0..0 1..1.
    """
    if uses_token_types:
        types = [encoding.type_ids for encoding in encodings]
        flat = np.fromiter(chain.from_iterable(types), np.int8, lengths.sum())
        first = np.cumsum(lengths) - lengths
        starts = lengths - np.add.reduceat(flat, first, dtype=np.int64)
        expected = np.arange(len(flat)) - np.repeat(first, lengths) >= np.repeat(starts, lengths)
        if not np.array_equal(flat, expected):
            raise ModelError("model.encoder: token types of a pair must be 0..0 1..1, got another pattern")
        return starts
    sources = [encoding.sequence_ids for encoding in encodings]
    return np.array([row.index(1) if 1 in row else len(row) for row in sources])
