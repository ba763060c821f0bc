"""Rows and strings of tables that are too large for one piece of Arrow: as if they were small."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raybert.data import rows as module
from raybert.data import strings
from raybert.data.identity import example_ids
from raybert.data.rows import take_rows
from raybert.data.strings import StreamedStrings, as_str_array
from raybert.models.tiny import build_random_encoder


@given(st.lists(st.text(max_size=5), min_size=1, max_size=50), st.integers(1, 50), st.randoms(use_true_random=False))
def test_rows_of_many_chunks_are_those_of_one(texts: list[str], chunk: int, draw: object) -> None:
    whole = pa.table({"text": texts, "n": np.arange(len(texts))})
    pieces = pa.concat_tables([whole.slice(start, chunk) for start in range(0, len(texts), chunk)])
    rows = np.array([draw.randrange(len(texts)) for _ in range(draw.randrange(80))], np.int64)  # type: ignore[attr-defined]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_SAFE_BYTES", 0)
        patch.setattr(module, "_BLOCK_ROWS", 7)
        taken = take_rows(pieces, rows)
    assert taken.equals(whole.take(pa.array(rows)))
    assert taken.schema == whole.schema


@pytest.mark.slow
def test_more_than_two_gigabytes_of_text_are_taken() -> None:
    part = pa.array([f"{number:05d}" + "x" * 39_995 for number in range(20_000)])
    table = pa.table({"text": pa.chunked_array([part, part, part])})  # 2.4 GB of text, 0.8 of memory
    assert take_rows(table, np.empty(0, np.int64)).equals(table.slice(0, 0))
    rows = np.array([59_999, 0, 20_001, 39_999, 0])
    with pytest.raises(pa.ArrowInvalid, match="offset overflow"):
        table.take(pa.array(rows))
    assert [text[:5] for text in take_rows(table, rows)["text"].to_pylist()] == [
        "19999",
        "00000",
        "00001",
        "19999",
        "00000",
    ]


@pytest.mark.slow
@pytest.mark.long
def test_copies_among_more_than_two_gigabytes_of_text_have_ids_of_their_own() -> None:
    part = pa.array([f"{number:05d}" + "x" * 39_995 for number in range(20_000)])
    table = pa.table({"text": pa.chunked_array([part, part, part]), "label": np.zeros(60_000, np.int64)})
    ids = example_ids(table, ["a"]).to_pylist()
    assert len(set(ids)) == 60_000
    once = pa.table({"text": part, "label": np.zeros(20_000, np.int64)})
    assert ids[:20_000] == example_ids(once, ["a"]).to_pylist()


@given(st.lists(st.lists(st.text(st.characters(exclude_categories=["Cs"])), max_size=20), min_size=1, max_size=4))
def test_streamed_strings_are_sorted_as_python_sorts_them(columns: list[list[str]]) -> None:
    streamed = StreamedStrings([pa.chunked_array([pa.array(column, pa.string())]) for column in columns])
    texts = [text for column in columns for text in column]
    assert list(streamed) == list(streamed) == texts
    assert len(streamed) == len(texts)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(strings, "BLOCK_ROWS", 3)
        assert list(streamed.in_order()) == sorted(texts)
        found = as_str_array(pa.chunked_array([pa.array(texts, pa.string())]))
    expected = np.array(texts, np.str_)
    assert found.dtype == expected.dtype
    assert found.tolist() == expected.tolist()


def test_embedded_encoder_is_the_same_for_a_list_and_for_columns(tmp_path: Path) -> None:
    texts = ["wine and water", "über alles", "water \U0001f600", "wine", "wine"]
    columns = [pa.chunked_array([texts[3:], texts[1:2]]), pa.chunked_array([[texts[0], texts[2]]])]
    folder = build_random_encoder(texts, tmp_path)
    stamp = (folder / "tokenizer.json").stat().st_mtime_ns
    assert build_random_encoder(StreamedStrings(columns), tmp_path) == folder
    assert (folder / "tokenizer.json").stat().st_mtime_ns == stamp
