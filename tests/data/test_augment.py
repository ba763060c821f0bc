"""What `data.augment` makes of word pieces and texts: the special pieces, the words and the generators of each example."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from raybert.config import DataConfig, validate_config
from raybert.config.augment import AugmentConfig
from raybert.config.augment_function import own_function
from raybert.data import Splits, TokenizedData, tokenize_splits
from raybert.data.augment import Augmentation, TextChanges, TokenChanges, generator_of, make_augmentation
from raybert.errors import ConfigError, TrialError
from tests.data.test_tokens import SPECIALS, bert_tokenizer, untyped_tokenizer
from tests.data.tokenizers import tokenizer_of

TEXTS = ["a cat sat on the mat", "unhappy dogs ran far away sitting", "zzz", "the dog"]
PAIRS = ["the dogs ran", "a unhappy cat sat", "on mat", "far away the cat"]


def data_of(tokenizer: PreTrainedTokenizerFast, *, pairs: bool = False, texts: list[str] = TEXTS) -> TokenizedData:
    n = len(texts)
    columns = {
        "text": pa.array(texts),
        **({"text_pair": pa.array(PAIRS)} if pairs else {}),
        "label": pa.array(np.arange(n) % 2),
        "example_id": pa.array([f"id{i}" for i in range(n)]),
    }
    table = pa.table(columns)
    return tokenize_splits(Splits(table, table, table, ("no", "yes"), "f"), tokenizer, 24)


def pieces_of(tokenizer: PreTrainedTokenizerFast, inputs: dict) -> list[list[str]]:
    return [
        tokenizer.convert_ids_to_tokens(row[mask.bool()].tolist())
        for row, mask in zip(inputs["input_ids"], inputs["attention_mask"], strict=True)
    ]


def changed(name: str, tokenizer: PreTrainedTokenizerFast, data: TokenizedData, rows=None, *, number=0, **settings):
    config = DataConfig(max_length=24, augment=AugmentConfig(name=name, **settings))
    augmentation = make_augmentation(config, tokenizer, None)
    return augmentation.batch(data, np.arange(len(data.train)) if rows is None else np.array(rows), 5, number)


def test_dropping_leaves_out_what_its_draw_says_and_nothing_special():
    tokenizer = bert_tokenizer()
    data = data_of(tokenizer)
    found = pieces_of(tokenizer, changed("token_dropping", tokenizer, data, rate=0.5))
    for row, pieces in enumerate(found):
        whole = tokenizer.convert_ids_to_tokens(data.train.ids[data.train.offsets[row] : data.train.offsets[row + 1]])
        draws = generator_of(f"id{row}", 5, 0).random(len(whole))
        keep = [draw >= 0.5 or piece in ("[CLS]", "[SEP]") for draw, piece in zip(draws, whole, strict=True)]
        if sum(keep) == 2:  # the text would be gone: the piece with the largest draw is left
            keep[1 + int(np.argmax(draws[1:-1]))] = True
        assert pieces == [piece for piece, kept in zip(whole, keep, strict=True) if kept]
    assert any(len(pieces) < 8 for pieces in found[:2])


def test_one_piece_of_each_text_of_a_pair_stays_whatever_is_drawn():
    tokenizer = bert_tokenizer()
    data = data_of(tokenizer, pairs=True)
    inputs = changed("token_dropping", tokenizer, data, rate=0.999)
    assert [len(pieces) for pieces in pieces_of(tokenizer, inputs)] == [5] * 4  # [CLS] a [SEP] b [SEP]
    assert inputs["token_type_ids"].tolist() == [[0, 0, 0, 1, 1]] * 4


def test_swapping_moves_whole_words_by_pairs_within_each_text():
    tokenizer = bert_tokenizer()
    data = data_of(tokenizer, pairs=True)
    found = pieces_of(tokenizer, changed("word_swapping", tokenizer, data, rate=0.2))
    for row, pieces in enumerate(found):
        generator = generator_of(f"id{row}", 5, 0)
        expected = ["[CLS]"]
        for text in (TEXTS[row], PAIRS[row]):
            words = [tokenizer.tokenize(word) for word in text.split()]
            if len(words) > 1:
                count = max(1, round(0.2 * len(words)))
                one = generator.integers(len(words), size=count)
                other = (one + 1 + generator.integers(len(words) - 1, size=count)) % len(words)
                for i, j in zip(one, other, strict=True):
                    words[i], words[j] = words[j], words[i]
            expected += [piece for word in words for piece in word] + ["[SEP]"]
        assert pieces == expected
        assert Counter(pieces[1:]) == Counter(tokenizer.tokenize(f"{TEXTS[row]} {PAIRS[row]}") + ["[SEP]"] * 2)
    assert found[1].index("##happy") == found[1].index("un") + 1


def test_a_first_word_whose_blank_no_piece_holds_stays_in_front():
    tokenizer = tokenizer_of("byte-level")
    text = "the movie was not good at all and I would never"
    data = data_of(tokenizer, texts=[text])
    orders = set()
    for number in range(20):
        (pieces,) = pieces_of(tokenizer, changed("word_swapping", tokenizer, data, number=number, rate=0.3))
        words = "".join(pieces[1:-1]).replace("Ġ", " ").split()
        assert words[0] == "the"
        assert sorted(words) == sorted(text.split())
        orders.add(tuple(words))
    assert len(orders) > 10


def test_an_example_becomes_the_same_wherever_it_is_made_and_something_else_in_another_pass_or_run():
    tokenizer = untyped_tokenizer()
    data = data_of(tokenizer)
    whole = pieces_of(tokenizer, changed("token_dropping", tokenizer, data, rate=0.4))
    parts = pieces_of(tokenizer, changed("token_dropping", tokenizer, data, [3, 0], rate=0.4))
    assert parts == [whole[3], whole[0]]
    by_pass = [pieces_of(tokenizer, changed("token_dropping", tokenizer, data, number=p, rate=0.4)) for p in range(4)]
    assert by_pass[0] == whole
    assert len({str(pieces) for pieces in by_pass}) == 4
    once = [
        pieces_of(tokenizer, changed("token_dropping", tokenizer, data, number=p, rate=0.4, each_pass=False))
        for p in range(3)
    ]
    assert once == [whole] * 3
    assert generator_of("id0", 5, 0).random() != generator_of("id0", 6, 0).random()


def test_a_tokenizer_that_does_not_tell_words_apart_is_refused_for_swapping_only():
    backend = Tokenizer(models.WordLevel({"[PAD]": 0, "[UNK]": 1, "[CLS]": 2, "[SEP]": 3, "cat": 4}, unk_token="[UNK]"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, **SPECIALS)
    with pytest.raises(
        ConfigError, match=r"data\.augment\.name: word_swapping needs a tokenizer whose .* of WordLevel"
    ):
        TokenChanges.of(AugmentConfig(name="word_swapping"), tokenizer)
    TokenChanges.of(AugmentConfig(name="token_dropping"), tokenizer)


# Functions of one's own; the name of a sweep file is that of this module.


def shout(text, label, generator):
    return f"{text} cat" if label else text


def reverse_pair(texts, label, generator):
    first, second = texts
    return [second, first] if generator.random() < 2 else texts


RETURNS = {}


def nonsense(text, label, generator):
    return RETURNS["value"](text)


def two_arguments(text, label):
    return text


def own_config(name: str) -> DataConfig:
    return DataConfig(max_length=24, augment=AugmentConfig(name=f"{__name__}:{name}"))


def own(name: str, data: TokenizedData, tokenizer: PreTrainedTokenizerFast, *, pairs: bool = False) -> Augmentation:
    texts = pa.table({"text": TEXTS, **({"text_pair": PAIRS} if pairs else {}), "label": [0, 1, 0, 1]})
    return make_augmentation(own_config(name), tokenizer, texts)


def test_a_function_sees_text_and_class_and_its_texts_are_tokenized_as_those_of_the_pool():
    tokenizer = bert_tokenizer()
    data = data_of(tokenizer)
    inputs = own("shout", data, tokenizer).batch(data, np.array([3, 0]), 5, 0)
    assert pieces_of(tokenizer, inputs) == [
        ["[CLS]", "the", "dog", "cat", "[SEP]"],
        ["[CLS]", "a", "cat", "sat", "on", "the", "mat", "[SEP]"],
    ]
    assert inputs["labels"].tolist() == [1, 0]


def test_a_function_gets_pairs_as_pairs_and_returns_them():
    tokenizer = bert_tokenizer()
    data = data_of(tokenizer, pairs=True)
    inputs = own("reverse_pair", data, tokenizer, pairs=True).batch(data, np.array([0]), 5, 0)
    expected = tokenizer(PAIRS[0], TEXTS[0], return_tensors="pt")
    assert inputs["input_ids"].tolist() == expected["input_ids"].tolist()
    assert inputs["token_type_ids"].tolist() == expected["token_type_ids"].tolist()


@pytest.mark.parametrize(
    ("value", "pairs", "message"),
    [
        (lambda text: None, False, "must return a text, got None for example 'id2'"),
        (lambda text: [text], False, "must return a text, got list of 1 for example 'id2'"),
        (lambda text: " \n", False, "must not return a blank text, got one for example 'id2'; return the text as it"),
        (lambda text: 1 / 0, False, "but failed for example 'id2': ZeroDivisionError: division by zero"),
        (lambda text: text[0], True, r"must return a pair of texts \(text, text_pair\), got str for example 'id2'"),
        (lambda text: (text[0],), True, "got tuple of 1 for example 'id2'"),
    ],
)
def test_what_is_no_text_is_one_clear_line(value, pairs, message, monkeypatch):
    monkeypatch.setitem(RETURNS, "value", value)
    tokenizer = bert_tokenizer()
    data = data_of(tokenizer, pairs=pairs)
    with pytest.raises(TrialError, match=rf"^data\.augment\.name: '{__name__}:nonsense' .*{message}") as caught:
        own("nonsense", data, tokenizer, pairs=pairs).batch(data, np.array([2, 1]), 5, 0)
    assert "\n" not in str(caught.value)


def test_only_what_can_be_called_with_three_arguments_is_taken():
    with pytest.raises(
        ConfigError, match=r"must be a function \(text, label, generator\) -> text: too many positional"
    ):
        own_function(f"{__name__}:two_arguments")
    with pytest.raises(ConfigError, match="-> text, got dict"):
        own_function(f"{__name__}:RETURNS")
    with pytest.raises(
        ConfigError, match=r"data\.augment\.name: '.*:shouts': the module has no .*did you mean 'shout'"
    ):
        own_function(f"{__name__}:shouts")


def test_a_function_is_called_where_its_texts_are_and_not_without_them():
    with pytest.raises(TrialError, match="needs the texts of the pool"):
        make_augmentation(own_config("shout"), bert_tokenizer(), None)
    changes = own("shout", data_of(bert_tokenizer()), bert_tokenizer()).changes
    assert isinstance(changes, TextChanges)
    assert changes.texts.column_names == ["text"]


def test_the_section_may_be_a_name_and_refuses_what_has_no_meaning():
    assert validate_config({"data": {"augment": "word_swapping"}}).data.augment == AugmentConfig(name="word_swapping")
    for section, message in (
        (
            {"data": {"augment": {"name": "my:fn", "rate": 0.2}}},
            r"rate: must be left out with a function of your own",
        ),
        ({"data": {"augment": {"rate": 0.2}}}, r"data\.augment\.name"),
        ({"data": {"augment": "synonyms"}}, "must be token_dropping, word_swapping, or `module:function` of your own"),
        ({"data": {"augment": {"name": "token_dropping", "rate": 1}}}, r"data\.augment\.rate: must be < 1"),
        ({"data": {"augment": "token_dropping"}, "model": {"kind": "iris"}}, r"data\.augment: must be left out with"),
    ):
        with pytest.raises(ConfigError, match=message):
            validate_config(section)


HEARD = []


def tell(text, label, generator):
    HEARD.append(label)
    return f"{text} {text}"


@pytest.mark.parametrize("task", ["multi_label", "regression"])
def test_changed_examples_keep_their_labels_and_numbers_and_functions_hear_them(task):
    tokenizer = bert_tokenizer()
    data = data_of(tokenizer)
    targets = np.array(
        [[1, 0], [1, 1], [0, 0], [0, 1]] if task == "multi_label" else [[2.5], [3], [0], [7]], np.float32
    )
    data = replace(data, train=replace(data.train, targets=targets), task=task, outputs=("a", "b")[: targets.shape[1]])
    for name in ("token_dropping", "word_swapping"):
        assert changed(name, tokenizer, data, [2, 0, 3])["labels"].tolist() == targets[[2, 0, 3]].tolist()
    HEARD.clear()
    inputs = own("tell", data, tokenizer).batch(data, np.array([3, 1]), 5, 0)
    assert inputs["labels"].tolist() == targets[[3, 1]].tolist()
    assert [np.asarray(label).tolist() for label in HEARD] == (
        [[0, 1], [1, 1]] if task == "multi_label" else [7.0, 3.0]
    )
