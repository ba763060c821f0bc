"""Token tables: equal, row by row, to what transformers' own tokenizers give."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from raybert.data import Splits, TokenTable, collate, tokenize_splits
from raybert.errors import ConfigError, ModelError

WORDS = ["a", "cat", "dog", "sat", "ran", "on", "the", "mat", "far", "away", "##s", "##ting", "un", "##happy"]
TEXTS = [
    "a cat sat",
    "the dogs sat on the mat far away",
    "Unhappy CAT",
    "zzz",
    "a",
    "sat sat sat sat sat sat sat",
]
PAIRS = [
    "the dog ran far away on a mat",
    "a cat",
    "a dog ran",
    "the the the the",
    "cat",
    "dogs dogs dogs dogs dogs",
]
SPECIALS = {"unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]", "pad_token": "[PAD]"}


def bert_backend(template_types: bool = True) -> Tokenizer:
    vocabulary = {word: i for i, word in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", *WORDS])}
    backend = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    backend.normalizer = normalizers.BertNormalizer()
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    second = ":1" if template_types else ""
    backend.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair=f"[CLS] $A [SEP] $B{second} [SEP]{second}",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    return backend


def bert_tokenizer(backend: Tokenizer | None = None) -> PreTrainedTokenizerFast:
    names = ["input_ids", "token_type_ids", "attention_mask"]
    backend = backend or bert_backend()
    return PreTrainedTokenizerFast(tokenizer_object=backend, model_input_names=names, **SPECIALS)


def untyped_tokenizer() -> PreTrainedTokenizerFast:
    """Return one like RoBERTa's: no token types."""
    names = ["input_ids", "attention_mask"]
    return PreTrainedTokenizerFast(tokenizer_object=bert_backend(False), model_input_names=names, **SPECIALS)


def make_splits(pairs: bool) -> Splits:
    columns: dict[str, Any] = {"example_id": [f"e{i}" for i in range(len(TEXTS))], "text": TEXTS}
    if pairs:
        columns["text_pair"] = PAIRS
    table = pa.table({**columns, "label": pa.array([0, 1, 0, 1, 0, 1], pa.int64())})
    return Splits(table, table.slice(1, 2), table.slice(3, 3), ("no", "yes"), fingerprint="f" * 64)


def row(table: TokenTable, position: int) -> list[int]:
    return table.ids[table.offsets[position] : table.offsets[position + 1]].tolist()


@pytest.mark.parametrize("make_tokenizer", [bert_tokenizer, untyped_tokenizer])
@pytest.mark.parametrize("pairs", [False, True])
@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("max_length", [4, 5, 7, 10, 64])
def test_rows_equal_those_of_the_tokenizer(make_tokenizer: Any, pairs: bool, side: str, max_length: int) -> None:
    tokenizer = make_tokenizer()
    tokenizer.truncation_side = side
    data = tokenize_splits(make_splits(pairs), tokenizer, max_length)
    for position, text in enumerate(TEXTS):
        pair = PAIRS[position] if pairs else None
        expected = tokenizer(text, pair, truncation=True, max_length=max_length)
        assert row(data.train, position) == expected["input_ids"]
        types = expected.get("token_type_ids")
        sources = expected.encodings[0].sequence_ids
        if types is not None:
            start = types.index(1) if 1 in types else len(types)
        else:
            start = sources.index(1) if 1 in sources else len(sources)
        assert data.train.second_starts[position] == start
    assert row(data.validation, 0) == row(data.train, 1)
    assert row(data.test, 2) == row(data.train, 5)
    assert data.uses_token_types == (make_tokenizer is bert_tokenizer)


@pytest.mark.parametrize("strategy", ["only_first", "only_second"])
@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("max_length", [14, 15, 16, 64])
def test_pairs_are_shortened_where_the_tokenizer_does_it(strategy: Any, side: str, max_length: int) -> None:
    tokenizer = bert_tokenizer()
    tokenizer.truncation_side = side
    data = tokenize_splits(make_splits(True), tokenizer, max_length, pair_truncation=strategy)
    for position, text in enumerate(TEXTS):
        expected = tokenizer(text, PAIRS[position], truncation=strategy, max_length=max_length)
        assert row(data.train, position) == expected["input_ids"]
    longest = tokenize_splits(make_splits(True), tokenizer, max_length)
    assert data.fingerprint != longest.fingerprint


def test_a_text_that_must_not_be_shortened_but_leaves_no_room_is_one_line() -> None:
    # 11 pieces of room beside 3 special ones; "the dogs sat on the mat far away" has 9, so 8 are too few.
    assert tokenize_splits(make_splits(True), bert_tokenizer(), 13, pair_truncation="only_second")
    message = r"data\.pair_truncation: only_second needs first texts of at most 8 word pieces .* 'the dogs sat .* has 9"
    with pytest.raises(ConfigError, match=message):
        tokenize_splits(make_splits(True), bert_tokenizer(), 12, pair_truncation="only_second")


@pytest.mark.parametrize("make_tokenizer", [bert_tokenizer, untyped_tokenizer])
@pytest.mark.parametrize("pairs", [False, True])
def test_collated_batch_equals_the_tokenizers_own_padding(make_tokenizer: Any, pairs: bool) -> None:
    tokenizer = make_tokenizer()
    data = tokenize_splits(make_splits(pairs), tokenizer, 9)
    positions = np.array([4, 1, 5, 0])
    rows = [tokenizer(TEXTS[i], PAIRS[i] if pairs else None, truncation=True, max_length=9) for i in positions]
    expected = tokenizer.pad(rows, return_tensors="pt")
    batch = collate(data.train, positions, data.pad_id, data.uses_token_types)
    assert batch.pop("labels").tolist() == [0, 1, 1, 0]
    assert batch.keys() == expected.keys()
    for name, tensor in batch.items():
        assert tensor.equal(expected[name]), name


def test_tables_are_compact_and_described() -> None:
    data = tokenize_splits(make_splits(False), bert_tokenizer(), 64)
    assert (data.train.ids.dtype, data.train.offsets.dtype) == (np.int32, np.int64)
    assert (data.train.second_starts.dtype, data.train.labels.dtype) == (np.int32, np.int64)
    assert data.train.labels.tolist() == [0, 1, 0, 1, 0, 1]
    assert data.example_ids.tolist() == ["e0", "e1", "e2", "e3", "e4", "e5"]
    assert (data.pad_id, data.label_names, data.num_classes) == (0, ("no", "yes"), 2)
    assert data.train.lengths.tolist() == [5, 11, 5, 3, 3, 9]


def test_fingerprint_follows_texts_tokenizer_and_length_but_not_what_was_tokenized_before() -> None:
    splits, tokenizer = make_splits(False), bert_tokenizer()
    first = tokenize_splits(splits, tokenizer, 64).fingerprint
    tokenizer("a cat", truncation=True, max_length=3, padding="max_length")  # leaves its mark in the backend
    assert tokenize_splits(splits, tokenizer, 64).fingerprint == first
    cased = bert_backend()
    cased.normalizer = normalizers.BertNormalizer(lowercase=False)
    others = [
        tokenize_splits(splits, tokenizer, 32).fingerprint,
        tokenize_splits(replace(splits, fingerprint="0" * 64), tokenizer, 64).fingerprint,
        tokenize_splits(splits, bert_tokenizer(cased), 64).fingerprint,
    ]
    assert len({first, *others}) == 4


def test_tokenizer_is_left_as_it_was() -> None:
    tokenizer = bert_tokenizer()
    before = tokenizer.backend_tokenizer.to_str()
    tokenize_splits(make_splits(True), tokenizer, 8)
    assert tokenizer.backend_tokenizer.to_str() == before


def test_tokenizer_without_padding_token_is_refused() -> None:
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=bert_backend(), unk_token="[UNK]")
    with pytest.raises(ModelError, match=r"model\.encoder: the tokenizer of .* must have a padding token"):
        tokenize_splits(make_splits(False), tokenizer, 8)


def test_length_without_room_for_text_is_refused() -> None:
    backend = bert_backend()
    backend.post_processor = processors.TemplateProcessing(
        single="[CLS] [CLS] $A [SEP] [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    tokenizer = bert_tokenizer(backend)
    with pytest.raises(ConfigError, match=r"data\.max_length: must be > 4 \(special word pieces\), got 4"):
        tokenize_splits(make_splits(False), tokenizer, 4)


def test_token_types_in_another_pattern_are_refused() -> None:
    backend = bert_backend()
    backend.post_processor = processors.TemplateProcessing(
        single="[CLS] $A", pair="[CLS]:1 $A:0 $B:1", special_tokens=[("[CLS]", 2)]
    )
    tokenizer = bert_tokenizer(backend)
    with pytest.raises(ModelError, match=r"token types of a pair must be 0\.\.0 1\.\.1, got another pattern"):
        tokenize_splits(make_splits(True), tokenizer, 8)
