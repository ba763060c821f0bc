"""Ids, units, overlaps and fingerprints from hashes are those that Python objects for every row give."""

from __future__ import annotations

import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raybert.config import DataConfig
from raybert.data import load_splits, same
from raybert.data import strings as blocks
from raybert.data.cut import assign_units
from raybert.data.identity import content_fingerprint, example_ids, form_digests, ids_of_first_copies, normal_forms
from raybert.data.same import _HASH, number_rows, repeated_rows
from raybert.data.splits import SPLITS, describe_overlaps, with_forms
from raybert.data.strings import stream_strings, utf8_parts
from raybert.data.units import Units
from tests.data import row_by_row

NAMES = ("no", "yes", "maybe")
TEXTS = st.sampled_from(("a b", "A  b", " a b", "", "ﬁne", "FINE", "é", "e\u0301", "İ", "ß", "\U0001f600 x", "x" * 40))


def table_of(rows: list[tuple[str, str, int, int]], *, has_pairs: bool, has_groups: bool, chunk: int) -> pa.Table:
    """Return rows as a table in chunks, the first of which begins inside of its buffers."""
    columns: dict[str, Any] = {"text": pa.array([row[0] for row in rows], pa.string())}
    if has_pairs:
        columns["text_pair"] = pa.array([row[1] for row in rows], pa.string())
    columns["label"] = pa.array([row[2] for row in rows], pa.int64())
    if has_groups:
        columns["group"] = pa.array([f"g{row[3]}" for row in rows], pa.string())
    whole = pa.table(columns)
    return pa.concat_tables([whole.slice(start, chunk) for start in range(0, len(rows), chunk)] or [whole])


@given(
    st.lists(st.tuples(TEXTS, TEXTS, st.integers(0, 2), st.integers(0, 4)), min_size=1, max_size=60),
    st.booleans(),
    st.booleans(),
    st.integers(1, 60),
    st.integers(0, 3),
)
def test_hashes_give_what_python_objects_give(
    rows: list[tuple[str, str, int, int]], has_pairs: bool, has_groups: bool, chunk: int, seed: int
) -> None:
    table = table_of(rows, has_pairs=has_pairs, has_groups=has_groups, chunk=chunk)
    assert example_ids(table, NAMES).to_pylist() == row_by_row.example_ids(table, NAMES)
    assert ids_of_first_copies(table, NAMES) == row_by_row.ids_of_first_copies(table, NAMES)
    assert list(normal_forms(table)) == row_by_row.normal_forms(table)
    units, names, labels = Units.of_table(table), row_by_row.unit_names(table), table["label"].to_numpy()
    assert len(units) == len(set(names))
    assert assign_units(units, labels, [0.3, 0.2], seed).tolist() == (
        row_by_row.assign_units(names, labels, [0.3, 0.2], seed).tolist()
    )
    kept = np.random.default_rng(seed).permutation(len(rows))[: (len(rows) + 1) // 2]
    some = [names[row] for row in kept]
    assert assign_units(units.take(kept), labels[kept], [0.3], seed, "x").tolist() == (
        row_by_row.assign_units(some, labels[kept], [0.3], seed, "x").tolist()
    )
    assert Units.of_names(names).order(seed, "x").tolist() == (
        row_by_row.keyed_order(dict.fromkeys(names), seed, "x").tolist()
    )
    parts = np.random.default_rng(seed).integers(0, 3, len(rows))
    parts[: min(3, len(rows))] = np.arange(min(3, len(rows)))
    cut = {split: table.filter(pa.array(parts == number)) for number, split in enumerate(SPLITS)}
    noun = "pair" if has_pairs else "text"
    assert describe_overlaps({s: with_forms(part) for s, part in cut.items()}, noun) == row_by_row.describe_overlaps(
        cut
    )
    assert content_fingerprint(cut, NAMES) == row_by_row.content_fingerprint(cut, NAMES)


@pytest.mark.parametrize("keys", [{}, {"group": "doc"}, {"text_pair": "other"}], ids=str)
def test_splits_are_what_they_were(tmp_path: Path, keys: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    generator = np.random.default_rng(5)
    words = np.array(["alpha", "Beta", "ﬁ", "é", "x  y", "Z"])
    rows = {
        "text": [" ".join(generator.choice(words, 3)) for _ in range(900)],
        "other": generator.choice(words, 900),
        "label": generator.integers(0, 3, 900),
        "doc": [f"d{number}" for number in generator.integers(0, 90, 900)],
    }
    pd.DataFrame(rows).to_parquet(tmp_path / "rows.parquet", row_group_size=250)
    monkeypatch.setattr(blocks, "BLOCK_ROWS", 7)
    found = load_splits(DataConfig(source=str(tmp_path / "rows.parquet"), **keys), tmp_path)
    source = pa.table({"text": rows["text"], "label": pa.array(rows["label"])})
    if "text_pair" in keys:
        source = source.add_column(1, "text_pair", pa.array(rows["other"].tolist()))
    if "group" in keys:
        source = source.append_column("group", pa.array(rows["doc"]))
    source = source.add_column(0, "example_id", pa.array(row_by_row.example_ids(source, ("0", "1", "2"))))
    labels = source["label"].to_numpy()
    taken = row_by_row.assign_units(row_by_row.unit_names(source), labels, [0.2, 0.1], 0)
    expected = {}
    for number, split in enumerate(("train", "test", "validation")):
        part = source.filter(pa.array(taken == number))
        order = row_by_row.keyed_order(part["example_id"].to_pylist(), 0, "order")
        expected[split] = part.take(pa.array(np.argsort(order)))
    for split in SPLITS:
        assert getattr(found, split).to_pylist() == expected[split].to_pylist()
        assert getattr(found, split).column_names == expected[split].column_names
    in_order = {split: expected[split] for split in SPLITS}
    assert found.fingerprint == row_by_row.content_fingerprint(in_order, ("0", "1", "2"))
    assert found.notes[-len(row_by_row.describe_overlaps(in_order)) :] == row_by_row.describe_overlaps(in_order)


def test_equal_normal_forms_have_equal_digests_and_numbers_in_the_order_of_the_rows() -> None:
    table = pa.table({"text": ["b", "\uff21", "a", "B ", "c", "A"]})
    assert number_rows(form_digests(table)).tolist() == [0, 1, 1, 0, 2, 1]
    assert number_rows(pa.chunked_array([["x", "y"], ["y", "x", "z"]])).tolist() == [0, 1, 1, 0, 2]
    assert number_rows(pa.chunked_array([], pa.string())).tolist() == []


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), max_size=40), st.integers(1, 40), st.integers(1, 9))
def test_rows_are_numbered_in_parts_as_in_one_piece(halves: list[tuple[int, int]], chunk: int, at_once: int) -> None:
    wide = [(first << 60 | second, second << 62 | first) for first, second in halves]  # two hashes may share a half
    values = pa.array([first.to_bytes(8, "little") + second.to_bytes(8, "little") for first, second in wide], _HASH)
    column = pa.chunked_array([values.slice(start, chunk) for start in range(0, len(values), chunk)], _HASH)
    first_rows = dict.fromkeys(wide)
    place = {value: number for number, value in enumerate(first_rows)}
    seconds = np.array([second for _, second in wide], np.uint64)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(same, "_ROWS_AT_ONCE", at_once)
        assert number_rows(column).tolist() == [place[value] for value in wide]
        assert repeated_rows(seconds).tolist() == [
            row for row, second in enumerate(seconds) if np.count_nonzero(seconds == second) > 1
        ]


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string()], ids=str)
def test_parts_of_a_column_are_the_bytes_of_its_strings(kind: pa.DataType) -> None:
    texts = ["ab", "", "é", "xyz", "\U0001f600"]
    column = pa.chunked_array(
        [pa.array(["?", *texts[:3]], kind).slice(1), pa.array([], kind), pa.array(texts[3:], kind)]
    )
    lengths, content = zip(*utf8_parts(column), strict=True)
    assert b"".join(content) == "".join(texts).encode()
    assert np.concatenate(lengths).tolist() == [len(text.encode()) for text in texts]
    assert list(stream_strings(column)) == texts


def test_ids_and_units_take_less_memory_than_strings_of_all_rows() -> None:
    words = [f"{'word ' * 40}{number}" for number in range(100_000)]
    table = pa.table({"text": words, "label": np.arange(100_000) % 2})
    del words

    def peak_of(make: Any) -> int:
        tracemalloc.start()
        make()
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return peak

    with_objects = peak_of(lambda: row_by_row.example_ids(table, ("0", "1")))
    assert peak_of(lambda: example_ids(table, ("0", "1"))) < 0.6 * with_objects
    assert peak_of(lambda: Units.of_table(table).order(0, "x")) < 0.6 * peak_of(lambda: row_by_row.unit_names(table))
