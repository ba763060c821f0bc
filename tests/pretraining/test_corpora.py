import json
import re

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raybert.config.pretraining import load_pretraining
from raybert.errors import ConfigError, DataError
from raybert.pretraining.corpora import read_corpora
from raybert.pretraining.documents import Documents, plain_form

WORDS = [
    "bill",
    "house",
    "member",
    "minister",
    "motion",
    "order",
    "question",
    "read",
    "report",
    "speaker",
    "time",
    "vote",
]
SPLITS = ("train", "validation", "test")


def sentences(count, seed=0, most=12):
    draw = np.random.default_rng(seed)
    return [" ".join(draw.choice(WORDS, draw.integers(1, most))) + f" {seed}-{n}" for n in range(count)]


def write(folder, name, texts, **columns):
    path = folder / name
    pd.DataFrame({"text": texts, **columns}).to_parquet(path)
    return str(path)


def read(tmp_path, document, *overrides):
    return read_corpora(load_pretraining(document, overrides), tmp_path / "cache")


def contents(corpus):
    return {split: list(corpus.split(split)) for split in SPLITS}


def test_a_file_is_cut_into_shares_in_which_every_document_is_once(tmp_path):
    texts = sentences(400)
    corpus = read(tmp_path, {"corpora": {"a": write(tmp_path, "a.parquet", texts)}})["a"]
    assert {split: len(corpus.split(split)) for split in SPLITS} == {"train": 320, "validation": 40, "test": 40}
    assert sorted(text for split in SPLITS for text in corpus.split(split)) == sorted(texts)
    assert corpus.counts["test"]["words"] == sum(len(text.split()) for text in corpus.test)


def test_order_of_the_file_changes_nothing_and_another_seed_does(tmp_path):
    texts = sentences(200) + ["said twice"] * 2
    first = read(tmp_path, {"corpora": {"a": write(tmp_path, "a.parquet", texts)}})["a"]
    turned = {"source": write(tmp_path, "b.parquet", texts[::-1])}
    again = read(tmp_path, {"corpora": {"a": turned}})["a"]
    assert contents(first) == contents(again)
    assert first.fingerprint == again.fingerprint
    other = read(tmp_path, {"corpora": {"a": turned}}, "corpora.a.split_seed=1")["a"]
    assert other.fingerprint != first.fingerprint
    assert contents(other) != contents(first)


def test_documents_keep_their_groups_through_cut_order_and_mix(tmp_path):
    texts = sentences(90, 7)
    groups = [n % 9 for n in range(90)]  # numbers become words
    document = {
        "corpora": {
            "a": {"source": write(tmp_path, "a.parquet", texts, sitting=groups), "group": "sitting"},
            "b": write(tmp_path, "b.parquet", sentences(90, 8)),
            "ab": {"of": ["a", "b"]},
        }
    }
    found = read(tmp_path, document)
    of_text = {text: f"a:{group}" for text, group in zip(texts, groups, strict=True)}
    for name, split in (("a", "train"), ("a", "test"), ("ab", "train"), ("ab", "validation")):
        documents = found[name].split(split)
        assert documents.groups.to_pylist() == [of_text.get(text) for text in documents]
    assert found["b"].test.groups is None
    few = found["a"].test[:3]
    assert few.groups.to_pylist() == [of_text[text] for text in few]
    del document["corpora"]["a"]["group"]
    ungrouped = read(tmp_path, document, "corpora.a.test_fraction=0.1")
    assert ungrouped["a"].train.groups is None


def test_copies_and_groups_stay_on_one_side(tmp_path):
    texts = [text for text in sentences(60) for _ in range(3)]
    copies = [text if n % 3 else f"  {text.upper()}" for n, text in enumerate(texts)]
    groups = [f"g{n % 20}" for n in range(180)]
    found = read(
        tmp_path,
        {
            "corpora": {
                "copies": write(tmp_path, "a.parquet", copies),
                "groups": {"source": write(tmp_path, "b.parquet", sentences(180, 7), group=groups), "group": "group"},
            }
        },
    )
    forms = [{" ".join(text.lower().split()) for text in found["copies"].split(split)} for split in SPLITS]
    assert sum(map(len, forms)) == 60
    assert not any(found["copies"].notes)
    of_text = dict(zip(sentences(180, 7), groups, strict=True))
    of_split = [{of_text[text] for text in found["groups"].split(split)} for split in SPLITS]
    assert sum(map(len, of_split)) == 20
    assert min(map(len, of_split)) == 2


def test_given_splits_are_kept_and_copies_over_corpora_are_noted(tmp_path):
    for name, seed in (("a", 1), ("b", 2)):
        (tmp_path / name).mkdir()
        for number, split in enumerate(SPLITS):
            texts = sentences(30, 10 * seed + number)
            if (name, split) == ("b", "test"):
                texts += [text.upper() for text in sentences(4, 10)]  # of train of a
            write(tmp_path / name, f"{split}.parquet", texts)
    found = read(tmp_path, {"corpora": {"a": str(tmp_path / "a"), "b": str(tmp_path / "b"), "ab": {"of": ["a", "b"]}}})
    assert [len(found["b"].split(split)) for split in SPLITS] == [30, 30, 34]
    assert found["b"].notes == ("b: test: 4 of 34 documents have a text that is also in train of a",)
    assert found["a"].notes == found["ab"].notes == ()


def test_a_mix_has_equal_words_of_its_parts_and_all_corpora_can_have_as_many(tmp_path):
    corpora = {
        "long": write(tmp_path, "a.parquet", sentences(900, 1, most=40)),
        "short": write(tmp_path, "b.parquet", sentences(300, 2, most=6)),
        "mixed": {"of": ["long", "short"]},
        "everything": {"of": ["long", "mixed"], "words": "all"},
    }
    found = read(tmp_path, {"corpora": corpora})
    words = {name: corpus.train.num_words for name, corpus in found.items()}
    own = [sum(len(t.split()) for t in found["mixed"].train if f" {seed}-" in t) for seed in (1, 2)]
    assert own[1] == words["short"]
    assert abs(own[0] - own[1]) <= 20
    assert words["everything"] == words["long"] + words["mixed"]
    equal = read(tmp_path, {"corpora": corpora, "words": "equal"})
    assert all(abs(corpus.train.num_words - words["short"]) <= 20 for corpus in equal.values())
    halves = [sum(len(t.split()) for t in equal["mixed"].train if f" {seed}-" in t) for seed in (1, 2)]
    assert abs(halves[0] - halves[1]) <= 23
    assert set(equal["mixed"].train) <= set(found["mixed"].train), "fewer words are the first of more"
    assert contents(equal["long"])["test"] == contents(found["long"])["test"], "only train is cut"


def test_train_words_cuts_one_corpus(tmp_path):
    found = read(tmp_path, {"corpora": {"a": write(tmp_path, "a.parquet", sentences(200))}}, "corpora.a.train_words=50")
    assert abs(found["a"].train.num_words - 50) <= 7


@pytest.mark.parametrize(
    ("kind", "expected"),
    [("lines", ["one", "two", "three"]), ("paragraphs", ["one\ntwo", "three"]), ("files", ["one\ntwo\n\n\nthree\n"])],
)
def test_txt_files_hold_a_document_a_line_a_paragraph_or_a_file(tmp_path, kind, expected):
    for split in SPLITS:
        (tmp_path / f"{split}.txt").write_bytes(b"one\r\ntwo\n \n\nthree\n" if split == "train" else b"other\n")
    corpus = read(tmp_path, {"corpora": {"a": {"source": str(tmp_path), "documents": kind}}})["a"]
    assert sorted(corpus.train) == sorted(text.replace("\n\n\n", "\n \n\n") for text in expected)


def test_a_folder_of_txt_files_is_cut_by_file_where_asked(tmp_path):
    (tmp_path / "texts").mkdir()
    for number in range(10):
        (tmp_path / "texts" / f"{number}.txt").write_text(
            "\n".join(f"{text} f{number}" for text in sentences(8, number))
        )
    corpus = read(tmp_path, {"corpora": {"a": {"source": str(tmp_path / "texts"), "group": "file"}}})["a"]
    files = [{text.split()[-1] for text in corpus.split(split)} for split in SPLITS]
    assert [len(each) for each in files] == [8, 1, 1]
    assert len(set.union(*files)) == 10


def test_csv_json_and_the_built_in_corpus_are_read_as_by_sweeps(tmp_path):
    texts = sentences(40)
    pd.DataFrame({"body": texts}).to_csv(tmp_path / "a.csv", index=False)
    (tmp_path / "b.jsonl").write_text("\n".join(json.dumps({"body": text}) for text in texts))
    sources = {name: {"source": str(tmp_path / name), "text": "body"} for name in ("a.csv", "b.jsonl")}
    found = read(tmp_path, {"corpora": sources})
    assert found["a.csv"].fingerprint == found["b.jsonl"].fingerprint


def test_blank_documents_are_left_out_with_a_note(tmp_path):
    texts = [*sentences(40), "", " \n", None, "..."]
    found = read(tmp_path, {"corpora": {"a": write(tmp_path, "a.parquet", texts)}})["a"]
    assert found.notes == ("a: train: 3 of 44 documents are blank and left out",)
    plain = read(tmp_path, {"corpora": {"a": str(tmp_path / "a.parquet")}, "form": "plain"})["a"]
    assert plain.notes == ("a: train: 4 of 44 documents are blank and left out",)


@given(st.text(st.characters(max_codepoint=127)))
def test_plain_form_of_ascii_is_that_of_the_notes_on_the_hansards(text):
    lines = (
        re.sub(r"\s+", " ", re.sub(r"[^a-z0-9\-&/$%\s]", " ", line.lower())).strip(" \x1c\x1d\x1e\x1f")
        for line in text.split("\n")
    )
    assert plain_form(text) == "\n".join(line.strip() for line in lines).strip("\n")


def test_plain_form_keeps_the_letters_of_any_script():
    assert plain_form("Où est «l'été»?\n_ᓄᓇᕗᑦ_ 3.5%") == "où est l été\nᓄᓇᕗᑦ 3 5%"


def test_documents_are_a_sequence_that_slices_and_takes():
    documents = Documents(["a b", "c", "d e f"])
    assert len(documents) == 3
    assert documents[-1] == "d e f"
    assert list(documents[1:]) == ["c", "d e f"]
    assert documents.num_words == 6
    assert documents.take(np.array([2, 0])).words.tolist() == [3, 2]
    assert [len(documents.first_words(wanted)) for wanted in (0, 2, 3, 5, 99)] == [1, 1, 2, 3, 3]


@pytest.mark.parametrize(
    ("corpora", "message"),
    [
        ({"a": {"of": ["b"]}}, r"^corpora\.a\.of: must name corpora of this file, got 'b' in place 1$"),
        ({"all": {"of": ["nunavt"]}, "nunavut": "x.csv"}, r"got 'nunavt' in place 1; did you mean 'nunavut'\?"),
        ({"a": {"of": ["b"]}, "b": {"of": ["a"]}}, r"^corpora\.a\.of: must not lead back to itself, got a -> b -> a$"),
        ({"a": {"of": ["a"]}}, r"must not lead back to itself, got a -> a"),
        ({"a": {}}, r"^corpora\.a: must have one of `source` and `of`, got neither"),
        ({"a": {"source": "x.csv", "of": ["b"]}, "b": "y.csv"}, r"^corpora\.a: must have one of .* got both"),
        ({"a": {"of": ["b"], "text": "t"}, "b": "y.csv"}, r"^corpora\.a\.text: must be left out of a mix"),
        ({"a": {"source": "x.csv", "words": "all"}}, r"^corpora\.a\.words: must be left out of what is no mix"),
        ({"a": {"source": "x.csv", "txt": "t"}}, r"^corpora\.a\.txt: unknown key; did you mean 'text'\?"),
        ({}, r"^corpora: must have at least 1 entry"),
        ({"a": {"source": "x", "test_fraction": 0.95}}, r"^corpora\.a\.validation_fraction: must leave documents"),
    ],
)
def test_a_wrong_section_is_refused_in_one_line(corpora, message):
    with pytest.raises(ConfigError, match=message):
        load_pretraining({"corpora": corpora})


def test_a_wrong_source_is_named_by_its_corpus(tmp_path):
    (tmp_path / "empty.txt").write_text("\n \n")
    wrong = {
        "missing.txt": r"^corpora\.a\.source: no such file or folder",
        "missing.csv": r"^corpora\.a\.source: no such file or folder",
        "empty.txt": r"^corpora\.a\.source: train of '.*' must have a document with text, got none",
        "few.parquet": r"^corpora\.a\.source: '.*' must have at least 3 distinct documents to cut test and validation",
        "named.parquet": r"^corpora\.a\.text: .* has no column 'text'.*set corpora\.a\.text to one of these",
    }
    write(tmp_path, "few.parquet", ["one", "One", "two"])
    pd.DataFrame({"body": ["one"]}).to_parquet(tmp_path / "named.parquet")
    for name, message in wrong.items():
        with pytest.raises(DataError, match=message):
            read(tmp_path, {"corpora": {"a": str(tmp_path / name)}})


def test_the_hansards_are_three_corpora_of_equal_words(tmp_path, shared_data):
    corpora = {name: str(shared_data / f"hansard_{name}") for name in ("nunavut", "ontario")}
    found = read(tmp_path, {"corpora": corpora | {"mixed": {"of": list(corpora)}}, "words": "equal", "form": "plain"})
    words = [corpus.train.num_words for corpus in found.values()]
    assert max(words) - min(words) < 300
    assert 326_600 < words[0] <= 326_732, "the notes count the marks that the plain form drops"
    assert found["nunavut"].counts["test"] == {"documents": 974, "words": 46_966}
