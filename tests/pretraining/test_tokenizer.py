import numpy as np
import pandas as pd
import pytest
from transformers import AutoTokenizer

import raybert
from raybert.config.pretraining import load_pretraining
from raybert.errors import ConfigError, ModelError
from raybert.pretraining.corpora import read_corpora

TEXTS = [f"the member for {name} asked about the {thing}" for name in ("iqaluit", "ottawa") for thing in "abcdefghij"]


@pytest.fixture
def document(tmp_path):
    for name, texts in (("a", TEXTS), ("b", [f"{text} №" for text in TEXTS])):
        pd.DataFrame({"text": texts}).to_parquet(tmp_path / f"{name}.parquet")
    corpora = {name: str(tmp_path / f"{name}.parquet") for name in "ab"}
    return {"corpora": corpora | {"ab": {"of": ["a", "b"]}}, "tokenizer": {"vocabulary": 60, "of": ["a"]}}


def test_a_tokenizer_is_trained_once_and_measured_on_every_corpus(document, tmp_path):
    found = raybert.tokenizer(document, output=tmp_path / "tokenizer")
    loaded = AutoTokenizer.from_pretrained(tmp_path / "tokenizer")
    assert (found.is_new, found.kind, found.trained_on, found.vocabulary) == (True, "wordpiece", ("a",), len(loaded))
    corpora = read_corpora(load_pretraining(document))
    cuts = found.cuts.set_index(["corpus", "split"])
    assert list(cuts.index) == [(name, split) for name in corpora for split in ("train", "validation", "test")]
    for (name, split), row in cuts.iterrows():
        documents = list(corpora[name].split(split))
        pieces = [piece for text in documents for piece in loaded.tokenize(text)]
        words = [word for text in documents for word in text.split()]
        assert (row.documents, row.words, row.pieces) == (len(documents), len(words), len(pieces))
        assert row.pieces_per_word == len(pieces) / len(words)
        assert row.unknown_fraction == pieces.count("[UNK]") / len(pieces)
        alone = [loaded.tokenize(word) for word in words]
        assert row.one_piece_fraction == np.mean([len(cut) == 1 and cut != ["[UNK]"] for cut in alone])
    assert cuts.loc[("a", "train"), "unknown_fraction"] == 0 < cuts.loc[("b", "train"), "unknown_fraction"]
    again = raybert.tokenizer(document, output=tmp_path / "tokenizer")
    assert not again.is_new
    pd.testing.assert_frame_equal(again.cuts, found.cuts)


def test_other_settings_or_texts_train_anew_and_other_folders_are_left_alone(document, tmp_path):
    folder = tmp_path / "tokenizer"
    assert raybert.tokenizer(document, output=folder).is_new
    other = raybert.tokenizer(
        document, output=folder, overrides=["tokenizer.kind=byte_bpe", "tokenizer.vocabulary=300"]
    )
    assert (other.is_new, other.kind, other.vocabulary) == (True, "byte_bpe", 300)
    assert set(other.cuts["unknown_fraction"]) == {0.0}
    given = raybert.tokenizer({**document, "tokenizer": str(folder)}, output=tmp_path / "unused")
    assert (given.kind, given.is_new, given.folder, given.trained_on) == ("given", False, folder, ())
    assert not (tmp_path / "unused").exists()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("dear")
    with pytest.raises(ConfigError, match=r"^output: must be a new folder, or one of a tokenizer"):
        raybert.tokenizer(document, output=tmp_path / "mine")
    assert (tmp_path / "mine" / "letter.txt").read_text() == "dear"


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"of": ["c"]}, r"^tokenizer\.of: must name corpora of this file, got 'c' in place 1"),
        ({"kind": "bpe"}, r"^tokenizer\.kind: must be .*byte_bpe.*got 'bpe'"),
        ({"folder": "x", "vocabulary": 99}, r"^tokenizer\.vocabulary: must be left out beside `folder`"),
        ({"kind": "byte_bpe", "vocabulary": 200}, r"^tokenizer\.vocabulary: must be >= 261 .*, got 200"),
        ({"special": ["[A]", "[A]"]}, r"^tokenizer\.special: must be distinct tokens"),
        ({"vocabulary": 4}, r"^tokenizer\.vocabulary: must be >= 32, got 4"),
    ],
)
def test_a_wrong_section_is_refused_in_one_line(document, section, message):
    with pytest.raises(ConfigError, match=message):
        load_pretraining({**document, "tokenizer": section})


def test_a_folder_without_a_tokenizer_is_named(document, tmp_path):
    for name in ("missing", "empty"):
        (tmp_path / "empty").mkdir(exist_ok=True)
        with pytest.raises(ModelError, match=rf"^tokenizer\.folder: .*{name}"):
            raybert.tokenizer({**document, "tokenizer": str(tmp_path / name)})
