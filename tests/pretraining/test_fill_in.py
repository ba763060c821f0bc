import numpy as np
import pytest
import torch
from transformers import AutoModelForMaskedLM, AutoTokenizer

from raybert.pretraining.fill_in import gap_alone, log_probabilities_in_gaps, pair_scores, top_pieces, word_in_gap
from raybert.pretraining.language_model import load_language_model
from tests.pretraining.language_models import save_model

TEMPLATE = "the [MASK] asked about the house"
KINDS = [("bert", "wordpiece"), ("modernbert", "wordpiece"), ("bert", "byte_bpe")]


@pytest.fixture(scope="module", params=KINDS, ids=["-".join(kind) for kind in KINDS])
def folder(request, tmp_path_factory):
    kind, tokenizer = request.param
    return save_model(tmp_path_factory.mktemp("model"), kind=kind, tokenizer=tokenizer)


def by_hand(folder, before, word, after):
    """log p of a word's pieces, all masked at once, with transformers alone."""
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModelForMaskedLM.from_pretrained(folder).eval()
    ids = [tokenizer(text, add_special_tokens=False)["input_ids"] for text in (before, word, after)]
    read = [tokenizer.cls_token_id, *ids[0], *[tokenizer.mask_token_id] * len(ids[1]), *ids[2], tokenizer.sep_token_id]
    with torch.no_grad():
        logits = model(input_ids=torch.tensor([read])).logits[0].double().log_softmax(-1)
    start = 1 + len(ids[0])
    return sum(float(logits[start + n, piece]) for n, piece in enumerate(ids[1])), len(ids[1])


def test_words_in_a_gap_are_those_of_transformers_with_all_their_pieces_masked(folder):
    model = load_language_model(folder)
    words = ["member", "speaker", "elders", "caribou", "unheard of", "minister,"]
    gaps = [word_in_gap(model, TEMPLATE, word) for word in words]
    found = log_probabilities_in_gaps(model, gaps)
    blank = " " if model.tokenizer.tokenize(" a") != model.tokenizer.tokenize("a") else ""
    for word, gap, value in zip(words, gaps, found, strict=True):
        expected, pieces = by_hand(folder, "the", blank + word if blank else word, " asked about the house")
        assert gap.num_pieces == pieces
        assert value == pytest.approx(expected, rel=1e-5)
    assert {gap.num_pieces for gap in gaps} - {1}, "some words have several pieces"


def test_top_pieces_are_the_most_probable_ones_without_special_ones(folder):
    model = load_language_model(folder)
    sequence = gap_alone(model, TEMPLATE, ["member"])
    log_probabilities = model.distributions([sequence])[0][0]
    found = top_pieces(model, log_probabilities, 5)
    probabilities = np.exp(log_probabilities)
    ordinary = [n for n in range(len(model.tokenizer)) if n not in model.tokenizer.all_special_ids]
    best = sorted(ordinary, key=lambda n: -probabilities[n])[:5]
    assert [piece for piece, _ in found] == [model.tokenizer.decode([n]).strip() for n in best]
    assert [p for _, p in found] == pytest.approx(probabilities[best].tolist())
    one_piece = word_in_gap(model, TEMPLATE, "the")
    if one_piece.num_pieces == 1:
        assert one_piece.sequence.ids.tolist() == gap_alone(model, TEMPLATE, ["the"]).ids.tolist()


def test_pairs_are_scored_by_the_pieces_that_both_have(folder):
    model = load_language_model(folder)
    pairs = [
        ("the member asked the minister", "the speaker asked the minister"),
        ("snow fell", "snow fell all night long"),
    ]
    found = pair_scores(model, pairs)
    tokenizer, mlm = AutoTokenizer.from_pretrained(folder), AutoModelForMaskedLM.from_pretrained(folder).eval()
    for (more, less), scores in zip(pairs, found, strict=True):
        both = [tokenizer(text, add_special_tokens=False)["input_ids"] for text in (more, less)]
        start = (
            next(n for n, (a, b) in enumerate(zip(*both, strict=False)) if a != b)
            if more.split()[1] != less.split()[1]
            else len(both[0])
        )
        end = 0
        while end < min(map(len, both)) - start and both[0][-1 - end] == both[1][-1 - end]:
            end += 1
        for side, ids in enumerate(both):
            kept = [*range(start), *range(len(ids) - end, len(ids))]
            total = 0.0
            for place in kept:
                read = [tokenizer.cls_token_id, *ids, tokenizer.sep_token_id]
                read[1 + place] = tokenizer.mask_token_id
                with torch.no_grad():
                    logits = mlm(input_ids=torch.tensor([read])).logits[0, 1 + place].double()
                total += float(logits.log_softmax(-1)[ids[place]])
            assert scores[side] == pytest.approx(total, rel=1e-5)
            assert scores[2] == len(kept)


def test_a_word_with_unknown_pieces_says_so(tmp_path):
    model = load_language_model(save_model(tmp_path))
    assert word_in_gap(model, TEMPLATE, "№").has_unknown
    assert not word_in_gap(model, TEMPLATE, "member").has_unknown
