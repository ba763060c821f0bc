"""Masks: shares by count, special pieces left alone, the same draws for the same sequence."""

from __future__ import annotations

import numpy as np
import pytest

from raybert.errors import ModelError
from raybert.pretraining.masking import Masking
from tests.pretraining.packed import documents, packed, tokenizer


def drawn(masking: Masking, rows: int, number: int = 0):
    """What is read of many sequences, their ids, which are chosen, and where words begin; one array each."""
    table = packed(300, 64).train
    parts = []
    for row in range(rows):
        at = slice(table.offsets[row % len(table)], table.offsets[row % len(table) + 1])
        read, chosen = masking.draw(5, number, row, table.ids[at], table.begins_word[at])
        parts.append((read, table.ids[at], chosen, table.begins_word[at]))
    return tuple(np.concatenate(part) for part in zip(*parts, strict=True))


@pytest.mark.parametrize("whole_words", [False, True])
def test_shares_by_count_over_a_million_pieces(whole_words):
    masking = Masking.of(tokenizer(), whole_words=whole_words)
    read, ids, chosen, begins = drawn(masking, 17_000)
    ordinary = ~masking.is_special[ids]
    n = ordinary.sum()
    assert n > 1e6 * 0.9
    assert chosen.sum() / n == pytest.approx(0.15, abs=5 * np.sqrt(0.15 * 0.85 / n) * (3 if whole_words else 1))
    masked, kept = read[chosen] == masking.mask_id, read[chosen] == ids[chosen]
    m = chosen.sum()
    spread = 5 * np.sqrt(0.25 / m)
    by_chance = 0.1 / len(masking.ordinary)  # a random piece may be the piece itself
    assert masked.mean() == pytest.approx(0.8, abs=spread)
    assert kept.mean() == pytest.approx(0.1 + by_chance, abs=spread)
    others = np.bincount(read[chosen][~masked & ~kept], minlength=len(tokenizer()))
    assert others[masking.is_special].sum() == 0
    expected = others.sum() / len(masking.ordinary)
    assert np.abs(others[masking.ordinary] - expected).max() < 6 * np.sqrt(expected)
    if whole_words:
        words = np.cumsum(begins)
        both = np.bincount(words, chosen), np.bincount(words)
        assert set(both[0][both[1] > 1] - both[1][both[1] > 1]) <= set(-np.arange(both[1].max() + 1))
        partly = (both[0] > 0) & (both[0] < both[1])
        assert not partly.any()


def test_special_pieces_are_never_masked_and_what_is_not_chosen_stays():
    masking = Masking.of(tokenizer(), share=0.9)
    read, ids, chosen, _ = drawn(masking, 500)
    assert not chosen[masking.is_special[ids]].any()
    assert (read[~chosen] == ids[~chosen]).all()
    unknown = tokenizer().unk_token_id
    assert masking.is_special[unknown]


def test_the_same_sequence_is_masked_the_same_and_anew_in_the_next_pass():
    masking = Masking.of(tokenizer())
    table = packed(60, 64).train
    at = slice(table.offsets[3], table.offsets[4])
    ids, begins = table.ids[at], table.begins_word[at]
    one = masking.draw(1, 0, 3, ids, begins)
    again = masking.draw(1, 0, 3, ids, begins)
    assert (one[0] == again[0]).all()
    assert (one[1] == again[1]).all()
    draws = [masking.draw(*key, ids, begins)[1] for key in ((1, 0, 3), (2, 0, 3), (1, 1, 3), (1, 0, 4))]
    assert len({mask.tobytes() for mask in draws}) == 4


def test_a_tokenizer_without_a_mask_is_refused():
    from raybert.models.tiny import train_tokenizer

    bare = train_tokenizer(documents(20), 80)
    bare.mask_token = None
    with pytest.raises(ModelError, match="must have a mask token"):
        Masking.of(bare)
