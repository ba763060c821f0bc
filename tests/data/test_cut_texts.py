"""Texts are cut before they are encoded; the word pieces are those of the whole texts."""

from __future__ import annotations

import random
import subprocess
import sys
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raybert.data import Splits, cut_texts, tokenize_splits
from raybert.data.cut_texts import TextCutter
from raybert.data.tokenizer import private_backend
from raybert.data.tokens import TokenTable, tokenize_examples
from tests.data.tokenizers import KINDS, WORDS, tokenizer_of

SIZE = 6000
HEX = "".join(random.Random(0).choices("0123456789abcdef", k=SIZE))
LONG = {
    "words": WORDS * 12,
    "chinese": "東京都中文字符日本語" * 600,
    "one word": "x" * SIZE,
    "hexadecimal": HEX,
    "alternating": "ab" * (SIZE // 2) + "c",
    "spaces": " " * SIZE + "the cat sat on the mat " * 8,
    "spaces inside": "the cat" + " " * SIZE + "sat on the mat " * 8,
    "mixed space": "the" + " \n\t\u3000" * (SIZE // 4) + "cat " + "sat " * 60,
    "invisible": "ca" + "\u200b\x00\u00ad\ufeff" * (SIZE // 4) + "t sat on the mat " * 8,
    "marks": "e" + "\u0301\u0323" * (SIZE // 2) + " the cat sat " * 8,
    "emoji": "🏳️‍🌈👍🏽🙂" * 900,
    "flags": "\U0001f1e9\U0001f1ea" * (SIZE // 2) + "\U0001f1e9",
    "letters around a mark": HEX + "!" + HEX,
    "letters around a sign": HEX + "東" + HEX[::-1],
    "a space among the invisible": "ca" + "\u200b" * SIZE + " " + "\u200b" * SIZE + "t sat on the mat " * 8,
    "unknown": "\U00013000" * SIZE + " the cat",
    "digits": "1234567890" * (SIZE // 10) + " the cat sat",
    "punctuation": "!?.,;:-()" * (SIZE // 9),
    "special pieces": "the [SEP] cat [MASK][CLS] " * 300,
    "added words": "in New York New  York " * 300,
    "hangul": "\u1112\u1161\u11ab" * (SIZE // 3),
    "words of 99 to 101": " ".join(["a" * 99, "b" * 100, "c" * 101, "the" * 33, "the" * 34]) * 12,
    "arabic": "مرحبا بالعالم " * 500,
}


def table_of(texts: list[str], pairs: list[str] | None = None) -> pa.Table:
    columns: dict[str, Any] = {"text": texts} if pairs is None else {"text": texts, "text_pair": pairs}
    return pa.table({**columns, "label": pa.array([0] * len(texts), pa.int64())})


def rows_of(table: TokenTable) -> list[list[int]]:
    return [row.tolist() for row in np.split(table.ids, table.offsets[1:-1])]


def whole(tokenizer: Any, texts: list[str], pairs: list[str] | None, length: int) -> list[list[int]]:
    """The pieces of the whole texts, by the tokenizer alone."""
    backend = private_backend(tokenizer)
    backend.enable_truncation(length, direction=tokenizer.truncation_side)
    return [row.ids for row in backend.encode_batch(texts if pairs is None else list(zip(texts, pairs, strict=True)))]


@pytest.fixture
def small(monkeypatch):
    """Every way of cutting is taken by texts of some thousand characters."""
    monkeypatch.setattr(cut_texts, "_SHORTEST", 64)
    monkeypatch.setattr(cut_texts, "_LONGEST_WHOLE", 512)
    monkeypatch.setattr(cut_texts, "_LONG_RUN", 1000)
    monkeypatch.setattr(cut_texts, "_KEPT_OF_RUN", 200)


@pytest.mark.slow
@pytest.mark.parametrize("limits", [pytest.param("usual", marks=pytest.mark.slow), "small"])
@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize("kind", KINDS)
def test_the_pieces_of_every_text_are_those_of_the_whole(kind, side, limits, request):
    if limits == "small":
        request.getfixturevalue("small")
    tokenizer = tokenizer_of(kind, side)
    texts = list(LONG.values())
    for length in (5, 40):
        found = rows_of(tokenize_examples(table_of(texts), tokenizer, length))
        for name, mine, wanted in zip(LONG, found, whole(tokenizer, texts, None, length), strict=True):
            assert mine == wanted, (name, length)


def whole_pair(tokenizer: Any, first: str, second: str, length: int) -> list[int]:
    """As `whole`, by hand: the library makes every combination of what it truncates of both, gigabytes of it."""
    backend = private_backend(tokenizer)
    one, two = (backend.encode(text, add_special_tokens=False).ids for text in (first, second))
    room = length - 3
    short, long = sorted((len(one), len(two)))
    if short + long > room:
        short, long = (short, room - short) if short <= room // 2 else (room // 2, room - room // 2)
    sizes = (long, short) if len(one) > len(two) else (short, long)
    left = tokenizer.truncation_side == "left"
    one, two = (row[len(row) - size :] if left else row[:size] for row, size in zip((one, two), sizes, strict=True))
    cls, sep = tokenizer.cls_token_id, tokenizer.sep_token_id
    return [cls, *one, sep, *two, sep]


@pytest.mark.parametrize("side", ["right", "left"])
def test_pairs_by_hand_are_those_of_the_library(side):
    tokenizer = tokenizer_of("bert", side)
    parts = ["", "the", "the cat sat", "the cat sat on the mat", "was not good at all and I would"]
    firsts, seconds = zip(*((one, two) for one in parts for two in parts), strict=True)
    for length in (4, 5, 7, 10, 11, 12, 40):
        by_hand = [whole_pair(tokenizer, one, two, length) for one, two in zip(firsts, seconds, strict=True)]
        assert by_hand == whole(tokenizer, list(firsts), list(seconds), length)


@pytest.mark.slow
@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize(
    "kind", ["bert", "split-byte-level", pytest.param("unigram", marks=pytest.mark.long), "wordless-bpe"]
)
def test_both_sides_of_pairs_share_the_room_as_the_whole_ones_would(kind, side, small):
    tokenizer = tokenizer_of(kind, side)
    longer, shorter = WORDS * 4, WORDS * 3
    firsts = [longer, shorter, longer, "the cat", longer, HEX, LONG["spaces"], "it " * 500, "it " * 501]
    seconds = [shorter, longer, longer, longer, "the cat", longer, "", "it " * 501, "it " * 500]
    for length in (10, 25, 26):
        found = rows_of(tokenize_examples(table_of(firsts, seconds), tokenizer, length))
        wanted = [whole_pair(tokenizer, one, two, length) for one, two in zip(firsts, seconds, strict=True)]
        assert found == wanted, length


@pytest.mark.slow
@settings(max_examples=25)
@given(
    st.lists(
        st.sampled_from(
            ["the", "cat", " ", "  ", "\n", "x", "1984", "é", "e\u0301", "東", "\u200b", "🙂", "'s", "[SEP]", "-"]
        ),
        min_size=40,
        max_size=400,
    ),
    st.sampled_from(sorted(KINDS)),
    st.sampled_from(["right", "left"]),
    st.integers(4, 40),
)
def test_any_mixture_of_parts_is_cut_without_a_difference(parts, kind, side, length):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cut_texts, "_SHORTEST", 16)
        patch.setattr(cut_texts, "_CHARACTERS_PER_PIECE", 2)
        patch.setattr(cut_texts, "_LONGEST_WHOLE", 128)
        tokenizer, text = tokenizer_of(kind, side), "".join(parts)
        assert rows_of(tokenize_examples(table_of([text]), tokenizer, length)) == whole(tokenizer, [text], None, length)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_cut_is_short(kind, small):
    cutter = TextCutter(private_backend(tokenizer_of(kind)), 20)
    for name in ("words", "chinese", "alternating", "arabic", "emoji"):
        assert len(cutter.cut([LONG[name]])[0]) < len(LONG[name]) / 2, name


@pytest.mark.parametrize("kind", ["bert", "bert-cased"])
def test_runs_of_what_makes_no_pieces_are_shortened(kind, small):
    cutter = TextCutter(private_backend(tokenizer_of(kind)), 20)
    for name in ("spaces", "mixed space", "invisible", "one word", "hexadecimal", "unknown"):
        assert len(cutter.cut([LONG[name]])[0]) < len(LONG[name]) / 2, name


def test_pieces_are_counted_in_parts_as_in_the_whole(small):
    for kind in KINDS:
        cutter = TextCutter(private_backend(tokenizer_of(kind)), 20)
        for text in (WORDS * 4, LONG["words of 99 to 101"], LONG["added words"], LONG["chinese"]):
            assert cutter.count(text) == len(cutter.backend.encode(text, add_special_tokens=False)), kind


def splits_of(texts: list[str], pairs: list[str] | None = None) -> Splits:
    table = table_of(texts, pairs)
    table = table.add_column(0, "example_id", [[f"e{row}" for row in range(len(texts))]])
    return Splits(table, table.slice(0, 1), table.slice(0, 1), ("no", "yes"), fingerprint="f")


def test_a_note_says_how_many_texts_are_truncated_and_by_how_much():
    tokenizer = tokenizer_of("bert")
    texts = ["the cat", "the " * 100, "the " * 40_000, "the " * 18]
    data = tokenize_splits(splits_of(texts), tokenizer, 20)
    assert data.notes == (
        "2 of 6 texts have more than 20 word pieces (data.max_length) and are truncated: half of these keep less than "
        "about 8.9 % of their pieces",
    )
    assert tokenize_splits(splits_of(texts[:1]), tokenizer, 20).notes == ()
    assert "of 3 pairs have" in tokenize_splits(splits_of(texts[1:2], texts[1:2]), tokenizer, 20).notes[0]


SCRIPT = """
import resource, sys
import pyarrow as pa
from raybert.data.tokens import tokenize_examples
from tests.data.tokenizers import tokenizer_of
kind, name = sys.argv[1:]
million = 1_000_000
text = {"words": "the cat sat on the mat " * 435_000, "word": "ab" * 5 * million, "space": " " * 10 * million}[name]
tokenizer = tokenizer_of(kind)
table = pa.table({"text": [text, "the cat"], "label": pa.array([0, 1], pa.int64())})
tokenize_examples(table.slice(1), tokenizer, 64)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(tokenize_examples(table, tokenizer, 64).lengths.tolist())
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "name"),
    [(kind, name) for kind in ("bert", "byte-level", "wordless-unigram") for name in ("words", "word", "space")],
)
def test_ten_megabytes_of_text_take_less_than_twenty_times_their_size(kind, name):
    done = subprocess.run([sys.executable, "-c", SCRIPT, kind, name], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout.split()[-1]) < 200
