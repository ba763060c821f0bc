import math
from itertools import groupby

import numpy as np
import pytest
import torch
from transformers import AutoModel, AutoModelForMaskedLM, AutoTokenizer, BertConfig, BertForSequenceClassification

from raybert.errors import ModelError
from raybert.pretraining.language_model import load_language_model
from raybert.pretraining.masked_words import drawn_words, masked_surprise, pseudo_surprise, words_of_pieces
from tests.pretraining.language_models import TEXTS, loaded, save_model

DOCUMENTS = [*TEXTS[:4], "unheard-of words, here!  twice\nover", "the", " ".join(TEXTS), ""]
KINDS = [("bert", "wordpiece"), ("modernbert", "wordpiece"), ("bert", "byte_bpe")]


@pytest.fixture(scope="module", params=KINDS, ids=["-".join(kind) for kind in KINDS])
def folder(request, tmp_path_factory):
    kind, tokenizer = request.param
    return save_model(tmp_path_factory.mktemp("model"), kind=kind, tokenizer=tokenizer)


def pieces_of(tokenizer, text):
    """(id, number of the word it is of) of every piece; blank ones are of none."""
    cut = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    starts = [
        start for start in range(len(text)) if not text[start].isspace() and (start == 0 or text[start - 1].isspace())
    ]
    found = []
    for number, (start, end) in zip(cut["input_ids"], cut["offset_mapping"], strict=True):
        visible = [place for place in range(start, end) if not text[place].isspace()]
        found.append((number, sum(first <= visible[-1] for first in starts) - 1 if visible else -1))
    return found


def parts_by_hand(pieces, room):
    """A document's pieces in parts of whole words, or of as much of a word as there is room for."""
    words = [list(run) for _, run in groupby(pieces, key=lambda piece: piece[1])]
    parts = [[]]
    for word in words:
        if parts[-1] and len(parts[-1]) + len(word) > room:
            parts.append([])
        for piece in word:
            if len(parts[-1]) == room:
                parts.append([])
            parts[-1].append(piece)
    return parts


def loss_by_hand(folder, parts, is_asked, *, one_by_one):
    """Loop over every piece that is asked for, with transformers alone."""
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModelForMaskedLM.from_pretrained(folder).eval()
    total, count = 0.0, 0
    for part in parts:
        ids = [tokenizer.cls_token_id, *(number for number, _ in part), tokenizer.sep_token_id]
        asked = [place for place, piece in enumerate(part, 1) if is_asked(piece[1])]
        for group in [[place] for place in asked] if one_by_one else [asked] if asked else []:
            read = [tokenizer.mask_token_id if place in group else number for place, number in enumerate(ids)]
            with torch.no_grad():
                logits = model(input_ids=torch.tensor([read])).logits[0].double()
            for place in group:
                total -= float(logits[place].log_softmax(-1)[ids[place]])
                count += 1
    return total, count


def test_losses_of_masked_words_are_those_of_a_loop_with_transformers(folder):
    model = load_language_model(folder)
    found = masked_surprise(model, DOCUMENTS, share=0.4, seed=3, max_length=16)
    for number, text in enumerate(DOCUMENTS):
        drawn = drawn_words(text, 0.4, 3)
        pieces = pieces_of(model.tokenizer, text)
        loss, count = loss_by_hand(
            folder, parts_by_hand(pieces, 14), lambda word, drawn=drawn: word >= 0 and drawn[word], one_by_one=False
        )
        assert found.losses[number] == pytest.approx(loss, rel=1e-5, abs=1e-9)
        assert found.pieces[number] == count
        assert found.words[number] == drawn.sum()
    assert found.words.sum() > 20


def test_pseudo_losses_are_those_of_masking_each_piece_alone(folder):
    model = load_language_model(folder)
    found = pseudo_surprise(model, DOCUMENTS[:6], max_length=16)
    for number, text in enumerate(DOCUMENTS[:6]):
        pieces = parts_by_hand(pieces_of(model.tokenizer, text), 14)[0]
        loss, count = loss_by_hand(folder, [pieces], lambda word: word >= 0, one_by_one=True)
        assert found.losses[number] == pytest.approx(loss, rel=1e-5)
        assert (found.pieces[number], found.words[number]) == (count, len({word for _, word in pieces} - {-1}))


def test_a_uniform_model_has_the_perplexity_of_its_vocabulary(tmp_path):
    for kind in ("bert", "modernbert"):
        model = loaded(tmp_path / kind, kind=kind, uniform=True)
        for found in (
            masked_surprise(model, TEXTS, share=0.5, seed=0, max_length=32),
            pseudo_surprise(model, TEXTS, max_length=32),
        ):
            assert math.exp(found.losses.sum() / found.pieces.sum()) == pytest.approx(model.vocabulary, rel=1e-5)


def test_the_same_words_are_masked_whatever_the_tokenizer_and_the_share_of_them_is_met(tmp_path):
    one = masked_surprise(loaded(tmp_path / "a"), TEXTS, share=0.3, seed=1, max_length=32)
    other = masked_surprise(loaded(tmp_path / "b", tokenizer="byte_bpe"), TEXTS, share=0.3, seed=1, max_length=24)
    assert one.words.tolist() == other.words.tolist()
    assert one.pieces.tolist() != other.pieces.tolist()
    shares = [drawn_words(f"{'a ' * 2000}{number}", 0.15, 0).mean() for number in range(50)]
    assert np.mean(shares) == pytest.approx(0.15, abs=4 * math.sqrt(0.15 * 0.85 / 100_000))
    assert drawn_words("a b c d e f g", 0.5, 0).tolist() == drawn_words("a b c d e f g", 0.5, 0).tolist()
    assert any((drawn_words(text, 0.5, 0) != drawn_words(text, 0.5, 1)).any() for text in TEXTS)


def test_batches_change_nothing(tmp_path, monkeypatch):
    model = loaded(tmp_path)
    whole = masked_surprise(model, DOCUMENTS, share=0.4, seed=3, max_length=16)
    monkeypatch.setattr("raybert.pretraining.language_model._TOKENS_PER_FORWARD", 20)
    monkeypatch.setattr("raybert.pretraining.language_model._AT_ONCE", 3)
    np.testing.assert_allclose(
        masked_surprise(model, DOCUMENTS, share=0.4, seed=3, max_length=16).losses, whole.losses, rtol=1e-5
    )


def test_a_piece_is_of_the_word_in_which_it_ends():
    assert words_of_pieces("ab  cd", [(0, 1), (1, 2), (2, 4), (3, 6), (0, 0)]).tolist() == [0, 0, -1, 1, -1]


def test_what_is_no_masked_language_model_is_refused(tmp_path):
    folder = save_model(tmp_path / "whole")
    (tmp_path / "empty").mkdir()
    AutoModel.from_pretrained(folder).save_pretrained(tmp_path / "encoder")
    size = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 24}
    BertForSequenceClassification(BertConfig(**size, vocab_size=90)).save_pretrained(tmp_path / "classifier")
    for name in ("encoder", "classifier"):
        AutoTokenizer.from_pretrained(folder).save_pretrained(tmp_path / name)
        with pytest.raises(ModelError, match=rf"{name}': must have a head that predicts pieces, but lacks cls"):
            load_language_model(tmp_path / name)
    with pytest.raises(ModelError, match=r"empty': must be the folder of a masked language model, cannot be loaded"):
        load_language_model(tmp_path / "empty")
