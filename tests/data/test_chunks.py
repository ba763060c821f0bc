"""Windows by hand and by properties, word pieces against transformers' own tokenizers, batches by hand."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from raybert.data.chunks import ChunkSettings, ChunkTable, chunk_notes, chunk_spans, chunk_texts, sentence_cuts
from raybert.errors import ModelError
from raybert.models.tiny import train_tokenizer

SENTENCES = [f"The {color} cat number {i} sat on the mat." for i, color in enumerate(["red", "green", "blue"] * 20)]
LONG = " ".join(SENTENCES)


@pytest.fixture(scope="module")
def wordpiece() -> PreTrainedTokenizerFast:
    return train_tokenizer([LONG, "你好 世界 。"], 200)


@pytest.fixture(scope="module")
def byte_level() -> PreTrainedTokenizerFast:
    """A tokenizer like RoBERTa's: bytes, leading spaces inside of pieces."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    ids = {piece: i for i, piece in enumerate(["<s>", "<pad>", "</s>", "<unk>", *alphabet])}
    backend = Tokenizer(models.BPE(ids, [], unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, trim_offsets=False)
    backend.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0), trim_offsets=False)
    return PreTrainedTokenizerFast(tokenizer_object=backend, pad_token="<pad>", unk_token="<unk>")


def spans_of(num_pieces: int, cuts: list[int] | tuple[int, ...] = (), **settings: int) -> list[tuple[int, int]]:
    windows = chunk_spans(num_pieces, np.array(cuts, np.int64), ChunkSettings(**settings))
    return [tuple(window) for window in windows.tolist()]


def words_of(text: str) -> np.ndarray:
    """Return where words and single marks begin and end."""
    return np.array([match.span() for match in re.finditer(r"\w+|[^\w\s]", text)]).reshape(-1, 2)


def cut_after(text: str) -> list[str]:
    """Return what stands before each sentence cut."""
    words = words_of(text)
    return [text[: words[cut - 1, 1]] for cut in sentence_cuts(text, words)]


@pytest.mark.parametrize("num_pieces", [0, 1, 127, 128])
def test_a_document_that_fits_is_one_window_even_with_sentence_ends(num_pieces):
    assert spans_of(num_pieces, [100, 110]) == [(0, num_pieces)]


def test_windows_without_sentence_ends_have_the_full_size_and_the_last_reaches_the_end():
    assert spans_of(129) == [(0, 128), (96, 129)]
    assert spans_of(300) == [(0, 128), (96, 224), (192, 300)]


@pytest.mark.parametrize(
    ("cuts", "first_end"),
    [
        ([95], 128),
        ([96], 96),
        ([110], 110),
        ([100, 120, 125, 140], 125),
        ([110, 128], 128),
        ([110, 129], 110),
        ([129], 128),
        ([], 128),
    ],
)
def test_a_window_ends_at_the_last_sentence_end_in_its_last_quarter(cuts, first_end):
    assert spans_of(200, cuts)[0] == (0, first_end)


def test_the_next_window_begins_where_a_shortened_one_ends_if_the_stride_goes_beyond():
    assert spans_of(20, [6, 13], chunk_tokens=8, stride=8) == [(0, 6), (6, 13), (13, 20)]
    assert spans_of(20, chunk_tokens=8, stride=100) == [(0, 8), (8, 16), (16, 20)]


@given(
    st.integers(0, 400),
    st.sets(st.integers(1, 400)),
    st.builds(ChunkSettings, chunk_tokens=st.integers(1, 40), stride=st.integers(1, 60)),
)
def test_windows_cover_every_word_piece_go_on_and_are_shortened_by_a_quarter_at_most(num_pieces, cuts, settings):
    cuts = np.array(sorted(cut for cut in cuts if cut <= num_pieces), np.int64)
    windows = chunk_spans(num_pieces, cuts, settings)
    starts, ends = windows.T
    sizes = ends - starts
    assert starts[0] == 0
    assert ends[-1] == num_pieces
    assert (np.diff(starts) > 0).all()
    assert (np.diff(starts) <= settings.stride).all()
    assert (starts[1:] <= ends[:-1]).all()
    assert (sizes <= settings.chunk_tokens).all()
    assert (sizes[:-1] >= settings.chunk_tokens - settings.chunk_tokens // 4).all()
    assert set(ends[:-1][sizes[:-1] < settings.chunk_tokens].tolist()) <= set(cuts.tolist())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("One. Two! Three?", ["One.", "One. Two!", "One. Two! Three?"]),
        ("No stop", []),
        ("", []),
        ("It was 3.14 at a.example.org today", []),
        ("Wait... what?! Yes", ["Wait...", "Wait... what?!"]),
        ('"Stop." (Really.) Go', ['"Stop."', '"Stop." (Really.)']),
        (
            "\u201cStop.\u201d \u2018Go!\u2019\u00bb on",
            ["\u201cStop.\u201d", "\u201cStop.\u201d \u2018Go!\u2019\u00bb"],
        ),
        ("你好。世界\uff01再见", ["你好。", "你好。世界\uff01"]),
        ("「你好。」世界", ["「你好。」"]),
        ("A heading\n \nA text\nof two lines", ["A heading"]),
        ("End.\n\nNext", ["End."]),
        (".", ["."]),
        ("Seen.<br /><br />Liked", ["Seen."]),
        (" \n\n first", []),
    ],
)
def test_sentences_end_behind_stops_and_what_closes_them_and_at_empty_lines(text, expected):
    assert cut_after(text) == expected


def test_a_sentence_end_inside_of_a_word_piece_is_no_cut():
    assert sentence_cuts("One. Two", np.array([[0, 3], [3, 8]])).tolist() == []
    assert sentence_cuts("One. Two", np.array([[0, 3], [3, 4], [4, 8]])).tolist() == [2]


def test_short_texts_have_the_word_pieces_of_the_tokenizer_itself(wordpiece, byte_level):
    texts = ["The red cat.", "", "blue", "[SEP] <s> mat"]
    for tokenizer in (wordpiece, byte_level):
        table = chunk_texts(texts, tokenizer, ChunkSettings()).table
        rows = [row.tolist() for row in np.split(table.ids, table.offsets[1:-1])]
        assert rows == [tokenizer(text)["input_ids"] for text in texts]
        assert table.second_starts.tolist() == table.lengths.tolist()


@pytest.mark.parametrize("name", ["wordpiece", "byte_level"])
def test_chunks_of_long_texts_are_windows_of_its_word_pieces_that_end_with_sentences(name, request):
    tokenizer = request.getfixturevalue(name)
    settings = ChunkSettings(chunk_tokens=160, stride=120)
    chunked = chunk_texts(["The cat.", LONG], tokenizer, settings)
    offsets, spans = chunked.document_offsets.tolist(), chunked.spans.tolist()
    assert offsets[:2] == [0, 1]
    assert len(spans) == offsets[2] == len(chunked.table)
    assert chunked.num_subsampled == 0
    whole = tokenizer(LONG)["input_ids"]
    rows = np.split(chunked.table.ids, chunked.table.offsets[1:-1])[1:]
    covered = 0
    for i, (row, (start, end)) in enumerate(zip(rows, spans[1:], strict=True)):
        inner = tokenizer(LONG[:start], add_special_tokens=False)["input_ids"]
        assert row.tolist() == [whole[0], *whole[1 + len(inner) : len(inner) + len(row) - 1], whole[-1]]
        assert len(inner) <= covered
        covered = len(inner) + len(row) - 2
        assert LONG[:end].endswith("mat.") or i == len(rows) - 1
    assert covered == len(whole) - 2
    assert spans[-1][1] == len(LONG)


def test_characters_of_several_byte_pieces_are_not_cut_at_the_sentence_end(byte_level):
    chunked = chunk_texts(["你好。世界啊"], byte_level, ChunkSettings(chunk_tokens=11, stride=11))
    assert chunked.spans.tolist() == [[0, 3], [3, 6]]  # 3 pieces a character: 9 pieces, then the rest


def test_of_too_many_chunks_an_even_subsample_is_kept_and_counted(wordpiece):
    full = chunk_texts([LONG, "red"], wordpiece, ChunkSettings(chunk_tokens=16, stride=12))
    few = chunk_texts([LONG, "red"], wordpiece, ChunkSettings(chunk_tokens=16, stride=12, max_chunks=5))
    num_full = int(full.document_offsets[1])
    assert few.document_offsets.tolist() == [0, 5, 6]
    assert (full.num_subsampled, few.num_subsampled) == (0, 1)
    kept = [full.spans.tolist().index(span) for span in few.spans.tolist()[:5]]
    assert kept == [0, *(i * (num_full - 1) // 4 for i in (1, 2, 3)), num_full - 1]
    one = chunk_texts([LONG], wordpiece, ChunkSettings(chunk_tokens=16, stride=12, max_chunks=1))
    assert one.spans.tolist() == full.spans.tolist()[:1]


def test_no_texts_give_no_chunks(wordpiece):
    chunked = chunk_texts([], wordpiece, ChunkSettings())
    assert len(chunked.table) == 0
    assert chunked.document_offsets.tolist() == [0]
    assert chunked.spans.shape == (0, 2)


def test_a_tokenizer_that_changes_the_text_when_it_adds_special_pieces_is_refused():
    backend = Tokenizer(models.WordLevel({"[PAD]": 0, "[UNK]": 1}, unk_token="[UNK]"))
    backend.post_processor = processors.TemplateProcessing(single="[PAD]", special_tokens=[("[PAD]", 0)])
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, pad_token="[PAD]", unk_token="[UNK]")
    with pytest.raises(ModelError, match="must put special word pieces around a text"):
        chunk_texts(["a"], tokenizer, ChunkSettings())


def small_table(vectors: np.ndarray | None = None, companions: np.ndarray | None = None) -> ChunkTable:
    vectors = np.arange(12, dtype=np.float32).reshape(6, 2) if vectors is None else vectors
    return ChunkTable(vectors, np.array([0, 1, 4, 6]), np.array([1, 0, 2]), companions)


def test_a_batch_holds_the_chunks_of_its_documents_padded_with_zeros():
    table = small_table(companions=np.eye(3, 2, dtype=np.float32))
    batch = table.collate(np.array([2, 0]))
    assert table.lengths.tolist() == [1, 3, 2]
    assert len(table) == 3
    assert batch["chunks"].tolist() == [[[8, 9], [10, 11]], [[0, 1], [0, 0]]]
    assert batch["chunk_mask"].tolist() == [[True, True], [True, False]]
    assert batch["companions"].tolist() == [[0, 0], [1, 0]]
    assert batch["labels"].tolist() == [2, 1]
    assert {name: tensor.dtype for name, tensor in batch.items()} == {
        "chunks": torch.float32,
        "chunk_mask": torch.bool,
        "companions": torch.float32,
        "labels": torch.int64,
    }


def test_a_table_over_a_read_only_file_gives_batches_of_its_own_memory(tmp_path):
    np.save(tmp_path / "vectors.npy", small_table().vectors)
    vectors = np.load(tmp_path / "vectors.npy", mmap_mode="r")
    table = small_table(vectors)
    batch = table.collate(np.arange(3))
    batch["chunks"].zero_()
    assert table.vectors[5].tolist() == [10, 11]
    assert "companions" not in batch


def test_the_embedding_of_a_document_is_the_mean_of_its_chunks():
    assert small_table().mean_vectors().tolist() == [[0, 1], [4, 5], [9, 10]]


def test_short_documents_are_noted():
    assert chunk_notes(np.array([13, 20, 40]), 12) == ()
    (note,) = chunk_notes(np.array([4, 12, 13, 40]), 12)
    assert note == "iris: 50% of the documents have at most top_k = 12 chunks: all are attended to"
    few, _ = chunk_notes(np.array([1, 3, 40]), 12)
    assert few.startswith("iris: the median document should have at least 4 chunks, has 3: ")
