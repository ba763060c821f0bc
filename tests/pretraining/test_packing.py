"""Packing: nothing is lost, little is padded, and documents in a sequence do not know of each other."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from raybert.errors import ConfigError, DataError
from raybert.pretraining.packing import best_fit, pack_documents, special_pieces, tokenize_documents
from tests.pretraining.packed import documents, model, packed, tokenizer


def test_every_document_is_in_the_sequences_once_whole_and_framed():
    texts = [*documents(60), "", "   "]
    pieces = tokenize_documents(texts, tokenizer())
    table = pack_documents(pieces, tokenizer(), 24)
    found: dict[int, list[int]] = {}
    for row in range(len(table)):
        part = slice(table.offsets[row], table.offsets[row + 1])
        assert part.stop - part.start <= 24
        for segment in range(table.segments[part].max() + 1):
            own = np.flatnonzero(table.segments[part] == segment) + part.start
            assert table.places[own].tolist() == list(range(len(own)))
            ids = table.ids[own].tolist()
            assert (ids[0], ids[-1]) == (tokenizer().cls_token_id, tokenizer().sep_token_id)
            assert len(set(table.documents[own])) == 1
            found.setdefault(int(table.documents[own[0]]), []).append(ids[1:-1])
    expected = tokenizer()(texts, add_special_tokens=False)["input_ids"]
    assert sorted(found) == list(range(60))
    for document, parts in found.items():
        whole = expected[document]
        cut = [whole[i : i + 22] for i in range(0, len(whole), 22)]
        assert sorted(parts) == sorted(cut)


def test_words_begin_where_the_tokenizer_says():
    texts = ["unseenword budget honourableland"]
    table = pack_documents(tokenize_documents(texts, tokenizer()), tokenizer(), 64)
    pieces = tokenizer().convert_ids_to_tokens(table.ids.tolist())
    assert table.begins_word.tolist() == [not piece.startswith("##") for piece in pieces]
    assert not table.begins_word.all()


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 30), min_size=1, max_size=200), st.integers(30, 64))
def test_best_fit_never_overfills_and_leaves_no_two_sequences_that_would_fit_into_one(lengths, room):
    sizes = np.array(lengths)
    found = best_fit(sizes, room, np.random.default_rng(0))
    filled = np.bincount(found, sizes)
    assert filled.max() <= room
    assert (filled > 0).all()
    assert len(filled) < 2 or np.sort(filled)[:2].sum() > room


def test_less_than_three_per_cent_is_padding():
    table = pack_documents(tokenize_documents(documents(2000), tokenizer()), tokenizer(), 128)
    lengths = table.lengths
    assert table.padding_share(128) == pytest.approx(1 - lengths.sum() / (128 * len(table)))
    assert table.padding_share(128) < 0.03


@pytest.mark.parametrize("kind", ["bert", "modernbert", "roberta"])
@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_a_document_does_not_know_of_its_neighbours(kind, attention):
    data, reader = packed(60, 64, longest=20), model(kind, attention).eval()
    table = data.train
    row = next(r for r in range(len(table)) if table.segments[table.offsets[r + 1] - 1] >= 2)
    batch = data.batch(table, np.array([row]))
    changed = batch["input_ids"].clone()
    second = batch["segments"] == 1
    changed[second] = (changed[second] + 7) % 30 + 5
    with torch.no_grad():
        before, _ = reader(batch["input_ids"], batch["segments"], batch["places"], None)
        after, _ = reader(changed, batch["segments"], batch["places"], None)
    moved = (before - after).abs().amax(dim=1)
    assert moved[second.flatten()].min() > 1e-3
    assert torch.equal(moved[~second.flatten()], torch.zeros_like(moved[~second.flatten()]))


@pytest.mark.parametrize("kind", ["bert", "modernbert", "roberta"])
@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_a_packed_document_has_the_outputs_that_transformers_gives_it_alone(kind, attention):
    data, reader = packed(60, 64, longest=20), model(kind, attention).eval()
    table = data.train
    batch = data.batch(table, np.arange(3))
    everywhere = torch.arange(batch["input_ids"].numel())
    with torch.no_grad():
        _, logits = reader(batch["input_ids"], batch["segments"], batch["places"], everywhere)
        for row in range(3):
            for segment in range(int(batch["segments"][row].max()) + 1):
                own = batch["segments"][row] == segment
                alone = reader.mlm(batch["input_ids"][row, own][None], output_hidden_states=True)
                at = own.nonzero().flatten() + row * own.numel()
                torch.testing.assert_close(logits[at], alone.logits[0], atol=2e-5, rtol=1e-4)


def test_alone_every_segment_has_a_sequence():
    table = packed(alone=True).train
    assert table.segments.max() == 0
    assert len(table) == (table.ids == tokenizer().cls_token_id).sum()


def test_the_same_documents_are_packed_the_same_and_another_seed_otherwise():
    pieces = tokenize_documents(documents(80), tokenizer())
    one, same, other = (pack_documents(pieces, tokenizer(), 32, seed=seed) for seed in (3, 3, 4))
    assert one.fingerprint == same.fingerprint != other.fingerprint


def test_what_cannot_be_packed_is_refused():
    pieces = tokenize_documents(documents(3), tokenizer())
    assert special_pieces(tokenizer()) == ([tokenizer().cls_token_id], [tokenizer().sep_token_id])
    with pytest.raises(ConfigError, match="pretrain.max_length: must be > 2"):
        pack_documents(pieces, tokenizer(), 2)
    with pytest.raises(DataError, match="must have documents with words"):
        pack_documents(tokenize_documents(["", " "], tokenizer()), tokenizer(), 32)
