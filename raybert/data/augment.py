"""Changed copies of training examples: what `data.augment` makes of the rows of a batch, each time they are trained on.

What an example becomes is drawn by a generator of its own, of the seed, the pass and its id. So it does not depend on
the batch, the worker or the restart that it is made in. The token tables themselves stay as they are.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import pyarrow as pa
import torch

from raybert.config.augment import KEY, AugmentConfig
from raybert.config.augment_function import described, own_function
from raybert.config.data import DataConfig
from raybert.config.tasks import REGRESSION, Task
from raybert.data.rows import take_rows
from raybert.data.tokens import TextEncoder, TokenizedData, TokenTable
from raybert.errors import ConfigError, TrialError

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerFast

_PURPOSE = 0xA06
"""Tells these draws from others of the same seed and pass."""
TextFunction = Callable[[Any, Any, np.random.Generator], Any]
"""(text or (text, text_pair), class number or its like, generator) -> the same kind of thing."""


class Changes(Protocol):
    """Makes changed rows of a token table."""

    def rows(self, data: TokenizedData, positions: np.ndarray, generators: list[np.random.Generator]) -> TokenTable:
        """Return changed copies of some rows of the pool, in this order."""


@dataclass(frozen=True)
class Augmentation:
    """Changes the examples that a run trains on.

    Attributes:
        config: what to do.
        changes: does it.
    """

    config: AugmentConfig
    changes: Changes

    def batch(self, data: TokenizedData, positions: np.ndarray, seed: int, pass_number: int) -> dict[str, torch.Tensor]:
        """Return the model's inputs for changed copies of some rows of the pool.

        Args:
            data: whose pool it is.
            positions: (b,) rows.
            seed: of the run.
            pass_number: 0, 1, 2, ...

        Raises:
            TrialError: a function of the user's own raised, or returned what is no text.
        """
        number = pass_number if self.config.each_pass else 0
        generators = [generator_of(str(data.example_ids[row]), seed, number) for row in positions]
        return data.batch(self.changes.rows(data, positions, generators), np.arange(len(positions)))

    def identity(self) -> dict[str, Any]:
        """Return what the training depends on, as JSON."""
        return self.config.model_dump(mode="json")


def make_augmentation(
    config: DataConfig, tokenizer: PreTrainedTokenizerFast, texts: pa.Table | None
) -> Augmentation | None:
    """Return what changes the examples of a pool; None: `data.augment` is not set.

    Args:
        config: section `data`.
        tokenizer: that made the pool's word pieces, with its options.
        texts: of the pool, in its order: columns text and maybe text_pair. Only functions of the user's own need them.

    Raises:
        ConfigError: a function cannot be imported or called, or the tokenizer does not tell where words begin.
        TrialError: there are no texts for a function.
    """
    augment = config.augment
    if augment is None or not augment.is_own:
        return None if augment is None else Augmentation(augment, TokenChanges.of(augment, tokenizer))
    if texts is None:
        raise TrialError(f"{KEY}: '{augment.name}' needs the texts of the pool, which this run was not given")
    columns = [name for name in ("text", "text_pair") if name in texts.column_names]
    rule = config.pair_truncation or "longest_first"
    encoder = TextEncoder(tokenizer, config.max_length, has_pairs=len(columns) == 2, pair_truncation=rule)
    return Augmentation(augment, TextChanges(augment.name, texts.select(columns), encoder))


def generator_of(example_id: str, seed: int, number: int) -> np.random.Generator:
    """Return the generator of one example in one pass: the same wherever and whenever it is asked for."""
    key = int.from_bytes(hashlib.blake2b(example_id.encode(), digest_size=8).digest(), "big")
    return np.random.default_rng([seed, number, _PURPOSE, key])


# On word pieces.


@dataclass(frozen=True)
class TokenChanges:
    """Drops or swaps within the word pieces of an example; special ones stay where they are.

    Attributes:
        config: which, and how much.
        is_special: (V,) bool, by word piece: never moved or left out; what stands for unknown words is none of them.
        begins_word: (V,) bool, by word piece.

    Source: Wei & Zou 2019, "EDA: Easy Data Augmentation Techniques", arXiv 1901.11196, section 2: random deletion,
    here of word pieces, and random swap, here of words as the tokenizer sees them.
    """

    config: AugmentConfig
    is_special: np.ndarray
    begins_word: np.ndarray

    @classmethod
    def of(cls, config: AugmentConfig, tokenizer: PreTrainedTokenizerFast) -> TokenChanges:
        """Return them for a tokenizer.

        Raises:
            ConfigError: words are to be swapped, and it does not tell where they begin.
        """
        size = max(tokenizer.get_vocab().values()) + 1
        is_special = np.zeros(size, bool)
        is_special[[number for number in tokenizer.all_special_ids if number != tokenizer.unk_token_id]] = True
        begins = np.zeros(size, bool)
        if config.name == "word_swapping":
            begins = word_beginnings(tokenizer.backend_tokenizer, size) & ~is_special
        return cls(config, is_special, begins)

    def rows(self, data: TokenizedData, positions: np.ndarray, generators: list[np.random.Generator]) -> TokenTable:
        """Return changed copies of some rows."""
        table, change = data.train, self._swapped if self.config.name == "word_swapping" else self._dropped
        ids, starts = [], []
        for row, generator in zip(positions, generators, strict=True):
            pieces = table.ids[table.offsets[row] : table.offsets[row + 1]]
            cut = int(table.second_starts[row])
            first, second = (change(part, generator) for part in (pieces[:cut], pieces[cut:]))
            ids.append(np.concatenate([first, second]))
            starts.append(len(first))
        offsets = np.concatenate([[0], np.cumsum([len(row) for row in ids])]).astype(np.int64)
        targets = None if table.targets is None else table.targets[positions]
        return TokenTable(np.concatenate(ids), offsets, np.array(starts, np.int32), table.labels[positions], targets)

    def _dropped(self, pieces: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        """Return a text without some of its pieces; one at least stays."""
        draws, special = generator.random(len(pieces)), self.is_special[pieces]
        keep = special | (draws >= self.config.rate)
        if not keep[~special].any() and not special.all():
            keep[np.argmax(np.where(special, -1.0, draws))] = True
        kept: np.ndarray = pieces[keep]
        return kept

    def _swapped(self, pieces: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        """Return a text with pairs of its words swapped; what comes before the first beginning of a word stays."""
        special = self.is_special[pieces]
        after_special = np.concatenate([[True], special[:-1]])[: len(pieces)]
        heads = self.begins_word[pieces]
        starts = np.flatnonzero(heads | special | after_special)  # of segments: words, special pieces, what is neither
        words = np.flatnonzero(heads[starts])
        if len(words) < 2:
            return pieces
        num_swaps = max(1, round(self.config.rate * len(words)))
        one = generator.integers(len(words), size=num_swaps)
        other = (one + 1 + generator.integers(len(words) - 1, size=num_swaps)) % len(words)
        order = words.tolist()
        for i, j in zip(one.tolist(), other.tolist(), strict=True):
            order[i], order[j] = order[j], order[i]
        segments = np.arange(len(starts))
        segments[words] = order
        lengths = np.diff(np.append(starts, len(pieces)))[segments]
        begins = np.cumsum(lengths) - lengths
        swapped: np.ndarray = pieces[np.arange(len(pieces)) + np.repeat(starts[segments] - begins, lengths)]
        return swapped


def word_beginnings(tokenizer: Tokenizer, size: int) -> np.ndarray:
    """Return (size,) bool: which word pieces begin a word.

    Args:
        tokenizer: of WordPiece (pieces inside of a word are marked), or one that marks the blank before a word.
        size: V.

    Raises:
        ConfigError: it is neither.
    """
    definition = json.loads(tokenizer.to_str())
    pieces = [tokenizer.id_to_token(number) or "" for number in range(size)]
    if definition["model"]["type"] == "WordPiece":
        mark = definition["model"]["continuing_subword_prefix"]
        return np.array([not piece.startswith(mark) for piece in pieces])
    marked = np.array([piece.startswith(("Ġ", "Ċ", "ĉ", "▁")) for piece in pieces])
    if not marked.any():
        raise ConfigError(
            f"{KEY}: word_swapping needs a tokenizer whose word pieces tell where words begin (`##`, `Ġ` or `▁`), got "
            f"one of {definition['model']['type']} without such marks; take token_dropping, or a function of your own"
        )
    return marked


# On texts.


@dataclass(frozen=True)
class TextChanges:
    """Calls a function of the user's own for each text, and makes word pieces of what it returns.

    Attributes:
        name: `module:function`.
        texts: of the pool: text, and text_pair of pairs.
        encoder: makes the word pieces.
        function: imported once a process.
    """

    name: str
    texts: pa.Table
    encoder: TextEncoder
    function: TextFunction = field(init=False, compare=False)

    def __post_init__(self) -> None:
        """Import the function."""
        object.__setattr__(self, "function", own_function(self.name))

    def rows(self, data: TokenizedData, positions: np.ndarray, generators: list[np.random.Generator]) -> TokenTable:
        """Return changed copies of some rows."""
        labels, targets = np.asarray(data.train.labels)[positions], data.train.targets
        told = labels.tolist() if targets is None else [_told(row, data.task) for row in targets[positions]]
        columns = [column.to_pylist() for column in take_rows(self.texts, positions).itercolumns()]
        changed = [
            self._call(parts, label, generator, str(data.example_ids[row]))
            for row, label, generator, *parts in zip(positions, told, generators, *columns, strict=True)
        ]
        names = self.texts.column_names
        table = {
            name: pa.array(texts, pa.string()) for name, texts in zip(names, zip(*changed, strict=True), strict=True)
        }
        found = self.encoder.encode(pa.table(table | {"label": labels}))[0]
        return found if targets is None else replace(found, targets=targets[positions])

    def _call(self, parts: list[str], label: Any, generator: np.random.Generator, example_id: str) -> tuple[str, ...]:
        """Return what the function makes of an example.

        Raises:
            TrialError: it raised, or returned something else than as many texts.
        """
        is_pair = len(parts) == 2
        try:
            found = self.function(tuple(parts) if is_pair else parts[0], label, generator)
        except Exception as error:
            raise TrialError(
                f"{KEY}: '{self.name}' must return a text, but failed for example '{example_id}': "
                f"{type(error).__name__}: {error}"
            ) from error
        changed = tuple(found) if is_pair and isinstance(found, (tuple, list)) else (found,)
        if len(changed) != len(parts) or not all(isinstance(text, str) for text in changed):
            rule = "a pair of texts (text, text_pair)" if is_pair else "a text"
            raise TrialError(
                f"{KEY}: '{self.name}' must return {rule}, got {described(found)} for example '{example_id}'"
            )
        if not all(text.strip() for text in changed):
            raise TrialError(
                f"{KEY}: '{self.name}' must not return a blank text, got one for example '{example_id}'; return the "
                "text as it is where nothing would be left"
            )
        return changed


def _told(targets: np.ndarray, task: Task) -> Any:
    """Return what a function hears of an example's answer: its number, or (L,) 0 and 1."""
    return float(targets[0]) if task == REGRESSION else targets.astype(np.int64)
