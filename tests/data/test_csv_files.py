"""Separated values as spreadsheets, databases and people write them: the right rows and a note, or one line."""

from __future__ import annotations

import bz2
import codecs
import gzip
import lzma

import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from raybert.data.csv_files import read_csv
from raybert.data.unseen import read_unseen
from raybert.errors import DataError
from raybert.files import write_frame
from tests.data.files import read, rows_of, why_refused, write

PLAIN = "text,label\nhello; you,pos\nbad\tday,neg\n"
ROWS = [("hello; you", "pos"), ("bad\tday", "neg")]
SIMPLE = [("hello", "pos"), ("bad day", "neg")]


def test_a_plain_file_is_read_without_a_note(tmp_path):
    source = read(write(tmp_path / "x.csv", PLAIN))
    assert rows_of(source) == ROWS
    assert source.notes == ()


ENCODINGS = {
    "UTF-8 with a mark": (codecs.BOM_UTF8 + PLAIN.encode(), None),
    "UTF-16-LE with a mark": (codecs.BOM_UTF16_LE + PLAIN.encode("utf-16-le"), "read as UTF-16"),
    "UTF-16-BE with a mark": (codecs.BOM_UTF16_BE + PLAIN.encode("utf-16-be"), "read as UTF-16"),
    "UTF-16-LE": (PLAIN.encode("utf-16-le"), "read as UTF-16-LE without a byte order mark"),
    "UTF-16-BE": (PLAIN.encode("utf-16-be"), "read as UTF-16-BE without a byte order mark"),
    "UTF-32-LE with a mark": (codecs.BOM_UTF32_LE + PLAIN.encode("utf-32-le"), "read as UTF-32"),
    "UTF-32-BE": (PLAIN.encode("utf-32-be"), "read as UTF-32-BE without a byte order mark"),
}


@pytest.mark.parametrize(("content", "note"), ENCODINGS.values(), ids=ENCODINGS.keys())
def test_wide_encodings_are_recognised_and_said(tmp_path, content, note):
    path = write(tmp_path / "x.csv", content)
    source = read(path)
    assert rows_of(source) == ROWS
    assert source.notes == (() if note is None else (f"'{path}': {note}",))


def test_utf16_without_a_mark_whose_texts_are_chinese_is_recognised_by_its_separators(tmp_path):
    text = "文本,标签\n" + "这部电影很好看,好\n真无聊的一天,坏\n" * 20
    source = read(write(tmp_path / "x.csv", text.encode("utf-16-le")), text="文本", label="标签")
    assert rows_of(source)[:2] == [("这部电影很好看", "好"), ("真无聊的一天", "坏")]
    assert len(rows_of(source)) == 40


def test_a_text_with_a_zero_character_stays_utf8(tmp_path):
    source = read(write(tmp_path / "x.csv", "text,label\na\0b,pos\nlong enough to be no wide text,neg\n"))
    assert rows_of(source)[0] == ("a\0b", "pos")
    assert source.notes == ()


WRITTEN = {
    "carriage returns": ("text,label\rhello,pos\rbad day,neg\r", None),
    "carriage returns and line feeds": ("text,label\r\nhello,pos\r\nbad day,neg\r\n", None),
    "semicolons": ("text;label\nhello;pos\nbad day;neg\n", "read as separated by semicolons"),
    "tabs": ("text\tlabel\nhello\tpos\nbad day\tneg\n", "read as separated by tabs"),
    "bars": ("text|label\nhello|pos\nbad day|neg\n", "read as separated by bars"),
    "sep line": ("sep=;\r\ntext;label\r\nhello;pos\r\nbad day;neg\r\n", "read as separated by semicolons"),
    "quoted sep line": ('"sep=\t"\ntext\tlabel\nhello\tpos\nbad day\tneg\n', "read as separated by tabs"),
    "sep line of commas": ("sep=,\ntext,label\nhello,pos\nbad day,neg\n", None),
    "blank in the header": ("text, label\nhello, pos\nbad day, neg\n", "blanks after a separator are left out"),
    "blank before quotes": ('text,label\nhello, "pos"\nbad day, "neg"\n', "blanks after a separator are left out"),
    "trailing commas": (
        "text,label\nhello,pos,\nbad day,neg,\n",
        "2 rows end with empty fields that the header has no names for",
    ),
    "trailing commas in the header too": ("text,label,,\nhello,pos,,\nbad day,neg,,\n", None),
    "trailing commas in the header only": ("text,label,\nhello,pos\nbad day,neg\n", None),
    "empty rows at the end": (
        "text,label\nhello,pos\nbad day,neg\n,\n,\n",
        "2 rows at the end without any value are left out",
    ),
    "two carriage returns": ("text,label\r\r\nhello,pos\r\r\nbad day,neg\r\r\n", None),
    "values in columns without names": ("text,label,,\nhello,pos,,x\nbad day,neg,,\n", None),
    "blank lines first": ("\n\ntext,label\nhello,pos\n\nbad day,neg\n", None),
    "all quoted": ('"text","label"\n"hello","pos"\n"bad day","neg"\n', None),
    "a mark twice": (codecs.BOM_UTF8.decode() * 2 + "text,label\nhello,pos\nbad day,neg\n", "is taken for 'text'"),
    "no-break space in the header": ("text,label\xa0\nhello,pos\nbad day,neg\n", "is taken for 'label'"),
    "no line end at the end": ("text,label\nhello,pos\nbad day,neg", None),
}


@pytest.mark.parametrize(("content", "note"), WRITTEN.values(), ids=WRITTEN.keys())
def test_ways_of_writing_are_recognised_and_said(tmp_path, content, note):
    source = read(write(tmp_path / "x.csv", content))
    assert rows_of(source) == SIMPLE
    if note is None:
        assert source.notes == ()
    else:
        assert any(note in found for found in source.notes), source.notes


def test_what_excel_saves_as_unicode_text_is_read(tmp_path):
    content = codecs.BOM_UTF16_LE + 'text\tlabel\r\n"a ""b"", c"\t1\r\nd\t0\r\n'.encode("utf-16-le")
    path = write(tmp_path / "x.csv", content)
    source = read(path)
    assert rows_of(source) == [('a "b", c', "1"), ("d", "0")]
    assert source.notes == (f"'{path}': read as UTF-16", f"'{path}': read as separated by tabs")


PACKED = {".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress}


@pytest.mark.parametrize("ending", [*PACKED, ".zst"])
def test_packed_files_are_read(tmp_path, ending):
    path = tmp_path / f"x.csv{ending}"
    if ending == ".zst":
        with pa.CompressedOutputStream(str(path), "zstd") as file:
            file.write(PLAIN.encode())
    else:
        write(path, PACKED[ending](PLAIN.encode()))
    assert rows_of(read(path)) == ROWS
    write(path, path.read_bytes()[:-7])
    with pytest.raises(DataError, match=rf"x\.csv\{ending}' cannot be unpacked with .*; it is damaged or misnamed"):
        read(path)


@pytest.mark.slow
def test_a_file_that_unpacks_without_end_is_refused(tmp_path):
    path = write(tmp_path / "x.csv.gz", gzip.compress(b"text,label\n" + b"a,b\n" * (20 << 20)))
    with pytest.raises(DataError, match=r"must not unpack to more than 100 times its size"):
        read(path)


def test_a_packed_file_in_another_encoding_is_refused_with_the_command_for_it(tmp_path):
    path = write(tmp_path / "x.csv.gz", gzip.compress("text,label\ncafé,1\n".encode("latin1")))
    with pytest.raises(DataError, match=r"`gzip -dc x\.csv\.gz \| iconv -f latin1 -t utf-8 > utf8\.csv`"):
        read(path)


def test_a_packed_text_file_without_a_header_gives_lines(tmp_path):
    path = write(tmp_path / "x.txt.gz", gzip.compress(b"one\ntwo\n"))
    assert read_unseen(path, {"text": "text"}, required={"text"}).texts == ["one", "two"]


def test_tab_separated_files_have_quotes_in_their_texts_where_no_other_reading_fits(tmp_path):
    path = write(tmp_path / "x.tsv", 'text\tlabel\n"It is" said\t1\nopen " quote\t0\n"so it begins\t1\nand ends"\t0\n')
    source = read(path)
    assert [text for text, _ in rows_of(source)] == ['"It is" said', 'open " quote', '"so it begins', 'and ends"']
    assert source.notes == (f"'{path}': quotes are read as part of the texts",)


def test_a_quote_that_would_join_two_rows_of_a_tab_separated_file_is_part_of_the_text(tmp_path):
    source = read(write(tmp_path / "x.tsv", 'text\tlabel\n"begin\t1\nend"\t0\nplain\t1\n'))
    assert rows_of(source) == [('"begin', "1"), ('end"', "0"), ("plain", "1")]


def test_quotes_that_enclose_fields_of_a_tab_separated_file_are_no_part_of_them(tmp_path):
    path = write(tmp_path / "x.tsv", 'text\tlabel\n"a ""b""\tc"\t1\n"d\ne"\t0\n')
    source = read(path)
    assert rows_of(source) == [('a "b"\tc', "1"), ("d\ne", "0")]
    assert source.notes == ()


def test_a_sep_line_wins_over_what_the_header_would_say(tmp_path):
    source = read(write(tmp_path / "x.csv", "sep=|\ntext,a|label\nb,c|1\nd|0\n"), text="text,a")
    assert rows_of(source) == [("b,c", "1"), ("d", "0")]


# --- quotes escaped by backslashes


def test_quotes_escaped_by_backslashes_are_read_as_the_database_meant_them(tmp_path):
    path = write(tmp_path / "x.csv", 'text,label\n"He said \\"hi\\", then left","pos"\n"a \\\\ b","neg"\n"\\"","pos"\n')
    source = read(path)
    assert rows_of(source) == [('He said "hi", then left', "pos"), ("a \\ b", "neg"), ('"', "pos")]
    assert source.notes == (f"'{path}': a backslash before a quote is read as escaping it",)


def test_backslashes_that_escape_only_quotes_stay_elsewhere(tmp_path):
    source = read(write(tmp_path / "x.csv", 'text,label\n"in C:\\new \\"x\\"",1\nb,0\n'))
    assert rows_of(source) == [('in C:\\new "x"', "1"), ("b", "0")]


def test_separators_escaped_by_backslashes_are_part_of_the_text(tmp_path):
    source = read(write(tmp_path / "x.csv", "text,label\na\\, b,1\nc,0\n"))
    assert rows_of(source) == [("a, b", "1"), ("c", "0")]


def test_escaped_quotes_outside_of_quotes_are_read(tmp_path):
    source = read(write(tmp_path / "x.csv", 'text,label\nHe said \\"hi\\",1\nc,0\n'))
    assert rows_of(source) == [('He said "hi"', "1"), ("c", "0")]


@pytest.mark.parametrize("text", ["C:\\", "a\\b", 'x\\"y', 'ends with \\"', "\\", 'a "b" \\c', "\\\\", '"\\'])
def test_what_pandas_writes_is_read_as_it_was(tmp_path, text):
    frame = pd.DataFrame({"text": [text, f"{text}, {text}", "plain\nlines"], "label": [0, 1, 0]})
    frame.to_csv(tmp_path / "doubled.csv", index=False)
    source = read(tmp_path / "doubled.csv")
    assert [row[0] for row in rows_of(source)] == frame["text"].tolist()
    assert source.notes == ()


def test_null_of_databases_is_a_missing_value(tmp_path):
    with pytest.raises(DataError, match=r"data\.label: .* no empty or missing labels, got 1 of 2, in row 2 .*'x\.csv'"):
        read(write(tmp_path / "x.csv", "text,label\na,1\nb,\\N\n"))


UNREADABLE = {
    "an inner quote": (
        'text,label\n"a",1\n"He said "hi" to",0\n',
        r"line 3: a quote inside a quoted field is not doubled",
    ),
    "an open quote": ('text,label\na,1\n"b,0\nc,1\n', r"line 3: a quote is opened here and never closed"),
    "ragged": ("text,label\na,1\nb, c,0\n", r"row 2 \(line 3, 'b'\) has 3 fields where the header has 2"),
    "a stray carriage return": ("text,label\na,1\nb\rc,0\n", r"line 3: a carriage return outside of quotes"),
    "short": ("text,label\na,1\n\nb\n", r"row 2 \(line 4, 'b'\) has 1 fields where the header has 2"),
    "no header": (
        "good,1\nbad,0\n",
        r"it has good, 1; set data\.text to one of these, or put a line with the names of",
    ),
    "semicolons without the column": ("satz;label\na;1\n", r"has no column 'text'; it has satz, label"),
    "both kinds of backslash": (
        'text,label\n"a \\"b\\" \\\\ c \\d",1\ne,0\n',
        r"line 2: a quote inside a quoted field is not doubled; write texts .* `python -c",
    ),
    "spreadsheet": (b"PK\x03\x04rest", r"must be text, but is a spreadsheet \(\.xlsx, \.ods\) or a zip file"),
    "gzip": (gzip.compress(b"text,label\n"), r"is packed with gzip; let its name end with \.gz"),
    "parquet": (b"PAR1....", r"is parquet; let its name end with \.parquet"),
    "an open quote in the header": ('"text,label\na,1\n', r"its first row: a quote is opened here and never closed"),
    "a sep line of nothing": ("sep=\r\ntext,label\r\na,1\r\n", r"data\.text: .* has no column 'text'; it has sep="),
    "JSON": ('{"text": "a", "label": 1}\n', r"or let its name end with \.jsonl if it is JSON"),
    "a web page": ("\n<!DOCTYPE html>\n<p>", r"must be a table, got a web page; download the file itself"),
    "a pointer": ("version https://git-lfs.github.com/spec/v1\n", r"got a pointer of Git LFS; fetch the file itself"),
    "zeros at the end": ("text,label\na,1\nb,0\n" + "\0" * 64, r"row 3 \(line 4, '\\x00.*\) has 1 fields"),
    "zeros": (bytes(100), r"nothing but zero bytes: it is damaged"),
    "half a wide character": (codecs.BOM_UTF16_LE + PLAIN.encode("utf-16-le")[:-1], r"is UTF-16-LE text, .*\(line 3\)"),
    "half a pair": (codecs.BOM_UTF16_LE + b"t\0\n\0\x3d\xd8\n\0", r"is UTF-16-LE text, but broken off in a character"),
    "latin1": ("text,label\ncafé,1\n".encode("latin1"), r"byte 0xe9 .*\(line 2\); convert it first, .*iconv -f latin1"),
    "windows": (
        "text,label\n“a”,1\n".encode("cp1252"),
        r"convert it first, e\.g\. `iconv -f cp1252 -t utf-8 x\.csv > ",
    ),
    "only blanks in a text": ("text,label\n a,1\n \u3000,0\n", r"data\.text: .* got 1 of 2, in row 2 .* of 'x\.csv'"),
    "an empty row in the middle": ("text,label\na,1\n,\nb,0\n", r"empty or missing labels, got 1 of 3, in row 2"),
}


@pytest.mark.parametrize(("content", "message"), UNREADABLE.values(), ids=UNREADABLE.keys())
def test_what_cannot_be_read_for_certain_is_one_line(tmp_path, content, message):
    with pytest.raises(DataError, match=message) as error:
        read(write(tmp_path / "x.csv", content))
    assert "\n" not in str(error.value)


def test_a_field_of_ten_megabytes_is_read(tmp_path):
    long = "word " * 2_000_000
    source = read(write(tmp_path / "x.csv", f'text,label\n"{long}",1\nb,0\n'))
    assert source.tables["train"]["text"][0].as_py() == long


FIELDS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\r"), max_size=12)


@given(st.lists(st.tuples(FIELDS, FIELDS), min_size=1, max_size=6), st.sampled_from(["utf-8", "utf-16"]))
def test_whatever_pandas_writes_comes_back(tmp_path_factory, rows, encoding):
    path = tmp_path_factory.mktemp("csv") / "x.csv"
    frame = pd.DataFrame([("first", "a"), *rows, ("last", "b")], columns=["text", "label"])
    assume(r"\N" not in frame.to_numpy())
    frame.to_csv(path, index=False, encoding=encoding)
    table = read_csv(path, {"text": "text", "label": "label"}, ()).rows
    assert table["text"].to_pylist() == frame["text"].tolist()
    assert table["label"].to_pylist() == frame["label"].tolist()


@given(st.text(st.sampled_from('ab,;"\\\t\n\r 0\0￾é'), max_size=40), st.sampled_from([".csv", ".tsv"]))
def test_any_content_is_read_or_refused_in_one_line(tmp_path_factory, content, ending):
    path = write(tmp_path_factory.mktemp("csv") / f"x{ending}", "text,label\n" + content)
    assert "\n" not in why_refused(path)


def test_what_raybert_writes_is_read_as_it_was(tmp_path):
    frame = pd.DataFrame({"text": ["a\rb", 'say "hi", twice', "c\nd", "C:\\"], "label": ["x", "y", "x", "y"]})
    write_frame(frame, tmp_path / "x.csv")
    source = read(tmp_path / "x.csv")
    assert rows_of(source) == list(frame.itertuples(index=False, name=None))
    assert source.notes == ()
