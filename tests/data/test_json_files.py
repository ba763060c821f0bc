"""JSON in all the forms in which tables are written: the right rows and a note, or one line."""

from __future__ import annotations

import gzip
import json

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raybert.errors import DataError
from tests.data.files import read, rows_of, why_refused, write

ROWS = [{"text": "hello", "label": "pos"}, {"text": "bad day", "label": "neg"}]
FRAME = pd.DataFrame(ROWS)
FORMS = {
    "lines": ("x.jsonl", "\n".join(map(json.dumps, ROWS)), None),
    "lines in a .json": ("x.json", "\n".join(map(json.dumps, ROWS)), "read as one object a line"),
    "lines in a .ndjson": ("x.ndjson", "\n".join(map(json.dumps, ROWS)), None),
    "lines of carriage returns": ("x.jsonl", "\r\n".join(map(json.dumps, ROWS)), None),
    "packed lines": ("x.jsonl.gz", gzip.compress("\n".join(map(json.dumps, ROWS)).encode()), None),
    "array": ("x.json", json.dumps(ROWS), None),
    "array with line ends": ("x.json", json.dumps(ROWS, indent=2), None),
    "array in a .jsonl": ("x.jsonl", json.dumps(ROWS), "read as an array of objects"),
    "packed array": ("x.json.gz", gzip.compress(json.dumps(ROWS).encode()), None),
    "columns": ("x.json", json.dumps({"text": ["hello", "bad day"], "label": ["pos", "neg"]}), "an object of columns"),
    "pandas' columns": ("x.json", FRAME.to_json(), "an object of columns"),
    "pandas' index": ("x.json", FRAME.to_json(orient="index"), "an object of rows"),
    "pandas' split": ("x.json", FRAME.to_json(orient="split"), "an object of rows"),
    "pandas' table": ("x.json", FRAME.to_json(orient="table"), "the array 'data' of an object"),
    "inside an object": ("x.json", json.dumps({"version": 1, "rows": ROWS}), "the array 'rows' of an object"),
    "UTF-16": ("x.json", json.dumps(ROWS).encode("utf-16"), "read as UTF-16"),
    "blank in a key": (
        "x.json",
        json.dumps([{" text": r["text"], "label": r["label"]} for r in ROWS]),
        "taken for 'text'",
    ),
}


@pytest.mark.parametrize(("name", "content", "note"), FORMS.values(), ids=FORMS.keys())
def test_every_form_of_a_table_is_read_and_said(tmp_path, name, content, note):
    source = read(write(tmp_path / name, content))
    assert rows_of(source) == [("hello", "pos"), ("bad day", "neg")]
    if note is None:
        assert source.notes == ()
    else:
        assert any(note in found for found in source.notes), source.notes


def test_a_key_that_comes_late_is_missing_in_the_rows_before(tmp_path):
    with pytest.raises(DataError, match=r"empty or missing labels, got 1 of 2, in row 1 \(from 1\) of 'x\.jsonl'"):
        read(write(tmp_path / "x.jsonl", '{"text": "a"}\n{"text": "b", "label": 1}\n'))


def test_a_word_that_spells_a_number_stays_a_word(tmp_path):
    source = read(write(tmp_path / "x.jsonl", '{"text": "a", "label": "01"}\n{"text": "b", "label": "1"}\n'))
    assert source.label_names == ("01", "1")


UNREADABLE = {
    "broken line": ('{"text": "a", "label": 1}\n{"text": "b"\n', r"line 3 is not valid JSON: "),
    "broken array": ('[{"text": "a", "label": 1},\n {"text": "b"', r"line 2 is not valid JSON: "),
    "no comma": (
        '[{"text": "a", "label": 1}\n{"text": "b", "label": 1}]',
        r"line 2 is not valid JSON: ',' or '\]' expected",
    ),
    "after the array": (
        '[{"text": "a", "label": 1}]\nmore',
        r"line 2 is not valid JSON: nothing expected after the array",
    ),
    "csv": ("text,label\na,1\n", r"line 1 is not valid JSON: Expecting value; if it is a table .* end with \.csv"),
    "numbers": ("[1, 2]", r"line 1 must be a JSON object, got int"),
    "one number": ("17", r"line 1 must be a JSON object, got int"),
    "empty array": ("[]", r"is empty \(0 rows\)"),
    "deep": ("[" * 200_000, r"line 1 is not valid JSON: "),
    "deep object": ('{"a":' * 200_000, r"line 1 is not valid JSON: "),
    "columns of two lengths": (
        '{"text": ["a", "b"], "label": [1]}',
        r"columns of one length, got 2 of 'text', 1 of 'label'",
    ),
    "key twice": ('{"text": "a", "text": "b", "label": 1}\n', r"line 1 is not valid JSON: 'text' is given twice"),
    "two kinds": (
        '{"text": "a", "label": 1}\n{"text": "b", "label": "x"}\n',
        r"data\.label: .* of one kind, got number 1 in row 1 and text 'x' in row 2 \(from 1\); write all of them as strings",
    ),
    "half a pair": (
        '{"text": "a", "label": 1}\n{"text": "b \\ud83d", "label": 0}\n',
        r"data\.text: column 'text' of '.*x\.jsonl' must hold whole characters, got half of .* \(\\ud83d\) in row 2",
    ),
    "half a pair in a label": (
        '{"text": "a", "label": "\\udc00"}\n{"text": "b", "label": "c"}\n',
        r"data\.label: column 'label' .* half of a surrogate pair \(\\udc00\) in row 1",
    ),
    "huge number": ('{"text": "a", "label": 99999999999999999999}\n', r"data\.label: .* values of one kind"),
    "long number": ('{"text": "a", "label": ' + "9" * 5000 + "}\n", r"line 1 is not valid JSON: "),
    "only blanks": (" \n\n", r"is empty \(0 rows\)"),
    "nested text": (
        '{"text": {"a": 1}, "label": 1}\n{"text": {"a": 2}, "label": 0}\n',
        r"data\.text: .* must hold texts",
    ),
}


@pytest.mark.parametrize(("content", "message"), UNREADABLE.values(), ids=UNREADABLE.keys())
def test_what_is_no_table_is_one_line(tmp_path, content, message):
    with pytest.raises(DataError, match=message) as error:
        read(write(tmp_path / "x.jsonl", content))
    assert "\n" not in str(error.value)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["text", "label", "data"]), inner),
    max_leaves=8,
)


@pytest.mark.slow
@given(VALUES, st.sampled_from(["{}", '{{"text": ["a", "b"], "label": {}}}', '[{{"text": "a", "label": 1}}, {}]']))
def test_any_json_is_read_or_refused_in_one_line(tmp_path_factory, value, form):
    path = write(tmp_path_factory.mktemp("json") / "x.json", form.format(json.dumps(value)))
    assert "\n" not in why_refused(path)


@given(st.text(st.sampled_from('{}[]",:\\ \ntextlab10e-.u'), max_size=40))
def test_any_text_is_read_or_refused_in_one_line(tmp_path_factory, content):
    path = write(tmp_path_factory.mktemp("json") / "x.jsonl", '{"text": "a", "label": 1}\n' + content)
    assert "\n" not in why_refused(path)
