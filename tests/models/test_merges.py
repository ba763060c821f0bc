import json
import os
import subprocess
import sys
from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import normalizers, pre_tokenizers
from transformers import AutoTokenizer

from raybert.models.merges import most_frequent_pairs
from raybert.models.trained_tokenizer import SPECIAL, train_byte_bpe, train_wordpiece
from raybert.models.words import count_words

TEXTS = [
    "the member moved that the motion be now read",
    "  the house met at 2 p.m.\nprayers\n\nthe speaker: order!",
    "members' statements, oral questions; o'brien doesn't",
    "Où est l'été? 日本 12,345 naïve \U0001f600",
] * 3

words_of_few_letters = st.dictionaries(st.text("abc", min_size=1, max_size=8), st.integers(1, 9), max_size=12)


def merged_from_the_left(parts, pair):
    found, i = [], 0
    while i < len(parts):
        is_pair = tuple(parts[i : i + 2]) == pair
        found.append("".join(parts[i : i + 2]) if is_pair else parts[i])
        i += 2 if is_pair else 1
    return found


def brute_force(words, min_frequency):
    """Every pair counted anew before every merge."""
    pieces = {word: list(word) for word in words}
    while True:
        counts = Counter()
        for word, parts in pieces.items():
            for pair in pairwise(parts):
                counts[pair] += words[word]
        if not counts:
            return
        pair = min(counts, key=lambda pair: (-counts[pair], pair))
        if counts[pair] < min_frequency:
            return
        pieces = {word: merged_from_the_left(parts, pair) for word, parts in pieces.items()}
        yield pair


@given(words_of_few_letters, st.integers(1, 4))
def test_merges_are_those_of_counting_everything_anew(words, min_frequency):
    found = [pair for pair, _ in most_frequent_pairs(words, list, str.__add__, min_frequency)]
    assert found == list(brute_force(words, min_frequency))


def test_the_example_of_the_paper_is_merged_as_in_it():
    """Sennrich et al. 2016, algorithm 1: low, lower, newest, widest give es, est, est</w>, lo, low with ties their way."""
    words = {"low_": 5, "lower_": 2, "newest_": 6, "widest_": 3}
    found = [merged for _, merged in most_frequent_pairs(words, list, str.__add__)]
    assert found[:5] == ["es", "est", "est_", "lo", "low"]


def reference_encoding(word, ranks):
    """What the merges make of a word: the lowest rank first, all its places from the left."""
    parts = list(word)
    while True:
        known = [(ranks[pair], pair) for pair in pairwise(parts) if pair in ranks]
        if not known:
            return parts
        parts = merged_from_the_left(parts, min(known)[1])


@settings(max_examples=15)
@given(st.lists(st.text(), min_size=1, max_size=4))
def test_byte_bpe_encodes_as_its_merges_say_and_gives_every_text_back(texts):
    tokenizer = train_byte_bpe([*TEXTS, *texts], 400, max_length=512)
    words = count_words([*TEXTS, *texts], pre_tokenizers.ByteLevel(add_prefix_space=False))
    merges = [pair for pair, _ in most_frequent_pairs(words, list, str.__add__)]
    kept = merges[: merges_in(tokenizer)]
    ranks = {pair: rank for rank, pair in enumerate(kept)}
    for text in [*TEXTS, *texts]:
        parts = tokenizer.backend_tokenizer.pre_tokenizer.pre_tokenize_str(text)
        expected = [piece for word, _ in parts for piece in reference_encoding(word, ranks)]
        if not any(token in text for token in SPECIAL):
            assert tokenizer.tokenize(text) == expected
            assert tokenizer.decode(tokenizer(text, add_special_tokens=False)["input_ids"]) == text


def merges_in(tokenizer):
    return len(json.loads(tokenizer.backend_tokenizer.to_str())["model"]["merges"])


@given(st.lists(st.text(), max_size=4), st.randoms())
def test_words_are_those_of_cutting_every_text_whole_in_any_order(texts, random):
    for splitter, normalizer in (
        (pre_tokenizers.ByteLevel(add_prefix_space=False), None),
        (pre_tokenizers.BertPreTokenizer(), normalizers.BertNormalizer(lowercase=True)),
    ):
        whole = Counter()
        for text in texts:
            normal = text if normalizer is None else normalizer.normalize_str(text)
            whole.update(word for word, _ in splitter.pre_tokenize_str(normal))
        found = count_words(texts, splitter, normalizer)
        assert found == whole
        turned = random.sample(texts, len(texts))
        assert list(count_words(turned, splitter, normalizer).items()) == list(found.items())


@pytest.mark.parametrize("train", [train_wordpiece, train_byte_bpe])
def test_a_saved_tokenizer_is_loaded_by_transformers_and_ends_its_texts(tmp_path, train):
    tokenizer = train(TEXTS, 350, special=["[SPEAKER]"], max_length=64)
    tokenizer.save_pretrained(tmp_path)
    loaded = AutoTokenizer.from_pretrained(tmp_path)
    assert loaded.get_vocab() == tokenizer.get_vocab()
    assert loaded.convert_ids_to_tokens(range(6)) == [*SPECIAL, "[SPEAKER]"]
    assert loaded.model_max_length == 64
    found = loaded("the motion [SPEAKER]", "order")
    assert found["input_ids"] == tokenizer("the motion [SPEAKER]", "order")["input_ids"]
    pieces = loaded.convert_ids_to_tokens(found["input_ids"])
    assert (pieces[0], pieces[-1], pieces.count("[SEP]"), pieces.count("[SPEAKER]")) == ("[CLS]", "[SEP]", 2, 1)
    assert loaded.decode(found["input_ids"], skip_special_tokens=True).split() == ["the", "motion", "order"]


def test_lower_case_and_least_frequency_are_kept():
    assert "The" in train_wordpiece(["The The"], 99, lowercase=False, max_length=9).get_vocab()
    assert "the" in train_wordpiece(["The The"], 99, max_length=9).get_vocab()
    lower = train_byte_bpe(["THE the"], 999, lowercase=True, max_length=9)
    assert lower.decode(lower("THE", add_special_tokens=False)["input_ids"]) == "the"
    assert "the" not in train_wordpiece(["the the"], 99, min_frequency=3, max_length=9).get_vocab()


def test_merges_are_the_same_in_other_processes_and_orders():
    script = f"""
import sys
from tokenizers import pre_tokenizers
from raybert.models.merges import most_frequent_pairs
from raybert.models.words import count_words
words = count_words({TEXTS!r}[::int(sys.argv[1])], pre_tokenizers.ByteLevel(add_prefix_space=False))
print(list(most_frequent_pairs(words, list, str.__add__)))
"""
    found = set()
    for seed, order in (("1", "1"), ("2", "-1")):
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        command = [sys.executable, "-c", script, order]
        found.add(subprocess.run(command, capture_output=True, check=True, env=environment).stdout)
    assert len(found) == 1


def test_a_vocabulary_has_at_most_the_pieces_asked_for_or_its_characters():
    draw = np.random.default_rng(0)
    texts = ["".join(draw.choice(list("abcde "), 60)) for _ in range(50)]
    assert len(train_wordpiece(texts, 40, max_length=9)) == 40
    assert len(train_byte_bpe(texts, 300, max_length=9)) == 300
    assert len(train_byte_bpe(texts, 10, max_length=9)) == 256 + len(SPECIAL)
