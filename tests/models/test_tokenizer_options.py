"""`data.lowercase` and `data.truncation_side`, beside what transformers makes of the same options."""

import pyarrow as pa
import pytest
from tokenizers import normalizers
from transformers import AutoTokenizer, BertTokenizerFast

from raybert.config import DataConfig
from raybert.data.tokens import tokenize_examples
from raybert.evaluation.trained_model import TrainedModel
from raybert.models import load_classifier, load_tokenizer
from raybert.models.description import DataColumns, ModelDescription, write_description
from raybert.models.encoder import as_trained
from raybert.models.tokenizer_options import with_options
from tests.data.test_tokens import bert_backend, bert_tokenizer

VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "cat", "Cat", "##s", "CAT", "sat", "far", "##away"]
TEXTS = ["a Cat sat", "CATs sat far", "a cat", "sat sat sat sat sat sat Cats"]


@pytest.fixture
def folder(tmp_path):
    """A BERT tokenizer as checkpoints bring it: cased, with words in both cases."""
    (tmp_path / "vocab.txt").write_text("\n".join(VOCABULARY))
    BertTokenizerFast(vocab=str(tmp_path / "vocab.txt"), do_lower_case=False).save_pretrained(tmp_path)
    return tmp_path


def rows(tokenizer, length=8):
    table = pa.table({"text": TEXTS, "label": pa.array([0] * len(TEXTS))})
    tokens = tokenize_examples(table, tokenizer, length)
    return [tokens.ids[a:b].tolist() for a, b in zip(tokens.offsets[:-1], tokens.offsets[1:], strict=True)]


def expected(tokenizer, length=8):
    return tokenizer(TEXTS, truncation=True, max_length=length)["input_ids"]


@pytest.mark.parametrize("value", [True, False])
def test_lower_case_is_that_of_transformers_own_option_and_saved_with_the_tokenizer(folder, tmp_path, value):
    theirs = AutoTokenizer.from_pretrained(folder, do_lower_case=value)
    mine = with_options(AutoTokenizer.from_pretrained(folder), DataConfig(lowercase=value))
    assert rows(mine) == expected(theirs)
    assert (VOCABULARY.index("Cat") in {piece for row in rows(mine) for piece in row}) == (not value)
    as_trained(mine, 8).save_pretrained(tmp_path / "best")
    assert rows(AutoTokenizer.from_pretrained(tmp_path / "best")) == expected(theirs)


def test_the_left_side_is_cut_as_transformers_cuts_it_and_saved_with_the_tokenizer(folder, tmp_path):
    theirs = AutoTokenizer.from_pretrained(folder, truncation_side="left")
    mine = with_options(AutoTokenizer.from_pretrained(folder), DataConfig(truncation_side="left"))
    assert rows(mine, 5) == expected(theirs, 5)
    assert rows(mine, 5)[3][-2] == VOCABULARY.index("##s")  # the end of the text is kept
    as_trained(mine, 5).save_pretrained(tmp_path / "best")
    assert rows(AutoTokenizer.from_pretrained(tmp_path / "best"), 5) == expected(theirs, 5)


def test_nothing_is_changed_by_default(folder):
    plain = AutoTokenizer.from_pretrained(folder)
    before = plain.backend_tokenizer.to_str()
    assert with_options(plain, DataConfig()).backend_tokenizer.to_str() == before
    assert "do_lower_case" not in plain.init_kwargs or plain.init_kwargs["do_lower_case"] is False
    assert not {"lowercase", "truncation_side", "pair_truncation"} & DataConfig().identity().keys()
    assert DataConfig(lowercase=False).identity()["lowercase"] is False


@pytest.mark.parametrize(
    "normalizer",
    [
        None,
        normalizers.NFC(),
        normalizers.Lowercase(),
        normalizers.Sequence([normalizers.NFKC(), normalizers.StripAccents()]),
        normalizers.Sequence([normalizers.NFD(), normalizers.Lowercase()]),
        normalizers.Sequence([normalizers.Strip(), normalizers.BertNormalizer(lowercase=False)]),
    ],
    ids=str,
)
def test_tokenizers_of_other_kinds_lower_and_keep_case_too(normalizer):
    def words(lowercase):
        backend = bert_backend()
        if normalizer is not None:
            backend.normalizer = normalizer
        else:
            backend = type(backend)(backend.model)
        changed = with_options(bert_tokenizer(backend), DataConfig(lowercase=lowercase))
        found = changed.backend_tokenizer.normalizer
        return "A Cat" if found is None else found.normalize_str("A Cat")

    assert words(True) == "a cat"
    assert words(False) == "A Cat"


def test_a_saved_model_reads_texts_as_it_was_trained_to_whatever_its_tokenizer_remembers(tiny_bert, tmp_path):
    pairs = DataConfig(text_pair="b", lowercase=False, truncation_side="left", pair_truncation="only_second")
    description = ModelDescription(
        ("x", "y"),
        8,
        DataColumns(text_pair="b"),
        pair_truncation="only_second",
        lowercase=False,
        truncation_side="left",
    )
    load_classifier(tiny_bert, ("x", "y"), 0).save_pretrained(tmp_path)
    load_tokenizer(tiny_bert).save_pretrained(tmp_path)  # that of the encoder, which lower-cases and cuts the right end
    write_description(tmp_path, description)
    examples = pa.table({"text": ["Red"], "text_pair": ["one two three NORTH one two three"], "label": [0]})
    found, _ = TrainedModel.load(tmp_path, device="cpu").reader.read(examples)
    tokenizer = with_options(load_tokenizer(tiny_bert), pairs)
    plain = tokenizer("Red", "one two three NORTH one two three", truncation="only_second", max_length=8)
    assert found.ids.tolist() == plain["input_ids"]
    assert found.ids.tolist() != load_tokenizer(tiny_bert)("Red", "one two three NORTH one two three")["input_ids"][:8]
