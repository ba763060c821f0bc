"""Batches: every position once, similar lengths together, and tensors equal to those of transformers."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from raybert.data import TokenTable, collate, scoring_batches, training_batches


def make_table(rows: list[list[int]], second_starts: list[int] | None = None) -> TokenTable:
    """Return a read-only table, as Ray's object store hands it out."""
    lengths = [len(row) for row in rows]
    arrays = (
        np.array([i for row in rows for i in row], np.int32),
        np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        np.array(second_starts or lengths, np.int32),
        np.arange(len(rows), dtype=np.int64) % 3,
    )
    for array in arrays:
        array.flags.writeable = False
    return TokenTable(*arrays)


@st.composite
def lengths_and_positions(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    lengths = np.array(draw(st.lists(st.integers(1, 200), min_size=1, max_size=300)))
    positions = draw(st.lists(st.integers(0, len(lengths) - 1), unique=True))
    return lengths, np.array(positions, np.int64)


@given(lengths_and_positions(), st.integers(1, 40), st.integers(0, 2**32))
def test_training_batches_hold_every_position_once_and_only_the_last_is_short(
    drawn: tuple[np.ndarray, np.ndarray], batch_size: int, seed: int
) -> None:
    lengths, positions = drawn
    batches = training_batches(lengths, positions, batch_size, np.random.default_rng(seed))
    assert sorted(np.concatenate([*batches, []])) == sorted(positions)
    assert [len(batch) for batch in batches[:-1]] == [batch_size] * (len(batches) - 1)
    assert len(batches) == -(-len(positions) // batch_size)


@given(lengths_and_positions(), st.integers(1, 500))
def test_scoring_batches_hold_every_position_once_within_the_token_limit(
    drawn: tuple[np.ndarray, np.ndarray], max_tokens: int
) -> None:
    lengths, positions = drawn
    batches = scoring_batches(lengths, positions, max_tokens)
    assert sorted(np.concatenate([*batches, []])) == sorted(positions)
    assert all(len(b) == 1 or len(b) * lengths[b].max() <= max_tokens for b in batches)
    flat = [lengths[i] for batch in batches for i in batch]
    assert flat == sorted(flat, reverse=True)
    shuffled = np.random.default_rng(0).permutation(positions)
    again = scoring_batches(lengths, shuffled, max_tokens)
    assert [b.tolist() for b in again] == [b.tolist() for b in batches]


def test_scoring_batches_by_hand() -> None:
    lengths = np.array([3, 10, 4, 2, 5])
    batches = scoring_batches(lengths, np.arange(5), 9)
    assert [batch.tolist() for batch in batches] == [[1], [4], [2, 0], [3]]


def test_training_batches_come_from_their_generator_alone() -> None:
    lengths, positions = np.arange(1, 501), np.arange(500)
    first = training_batches(lengths, positions, 32, np.random.default_rng(5))
    np.random.seed(0)  # noqa: NPY002
    again = training_batches(lengths, positions, 32, np.random.default_rng(5))
    other = training_batches(lengths, positions, 32, np.random.default_rng(6))
    assert [b.tolist() for b in first] == [b.tolist() for b in again]
    assert [b.tolist() for b in first] != [b.tolist() for b in other]


def padded_share(batches: list[np.ndarray], lengths: np.ndarray) -> float:
    width = sum(len(batch) * lengths[batch].max() for batch in batches)
    return float(1 - sum(lengths[batch].sum() for batch in batches) / width)


def test_bucketing_removes_nearly_all_padding_of_a_large_pool() -> None:
    generator = np.random.default_rng(0)
    lengths = np.minimum(generator.lognormal(3, 0.7, 20_000).astype(int) + 3, 128)
    batches = training_batches(lengths, np.arange(20_000), 32, generator)
    unsorted = np.array_split(generator.permutation(20_000), 625)
    assert padded_share(unsorted, lengths) > 0.5
    assert padded_share(batches, lengths) < 0.05


@pytest.mark.parametrize(("size", "most"), [(400, 0.3), (20_000, 0.1)])
def test_two_examples_rarely_share_a_batch_twice(size: int, most: float) -> None:
    """Neighbours in one epoch are together in the next no more often than their similar length explains."""
    generator = np.random.default_rng(1)
    lengths = np.minimum(generator.lognormal(3, 0.7, size).astype(int) + 3, 128)
    number_of = np.empty(size, int)
    for number, batch in enumerate(training_batches(lengths, np.arange(size), 32, generator)):
        number_of[batch] = number
    following = training_batches(lengths, np.arange(size), 32, generator)
    pairs = [number_of[b[:, None]] == number_of[b] for b in following]
    together = sum(p.sum() - len(p) for p in pairs) / sum(p.size - len(p) for p in pairs)
    assert together < most


def test_order_of_batches_does_not_follow_their_length() -> None:
    generator = np.random.default_rng(2)
    lengths = generator.integers(5, 128, 6400)
    batches = training_batches(lengths, np.arange(6400), 32, generator)
    widths = np.array([lengths[batch].max() for batch in batches])
    assert abs(np.corrcoef(widths, np.arange(len(widths)))[0, 1]) < 0.2
    assert abs(np.corrcoef(widths[1:], widths[:-1])[0, 1]) < 0.25


def test_rows_left_over_are_not_chosen_by_length() -> None:
    lengths = np.arange(1, 106)  # 3 batches of 32 and 9 left over
    means = [
        lengths[training_batches(lengths, np.arange(105), 32, np.random.default_rng(seed))[-1]].mean()
        for seed in range(200)
    ]
    assert np.mean(means) == pytest.approx(53, abs=2.5)


def test_batch_size_below_one_is_refused() -> None:
    with pytest.raises(ValueError, match=r"batch_size: must be >= 1, got 0"):
        training_batches(np.ones(3), np.arange(3), 0, np.random.default_rng(0))


def test_collate_by_hand() -> None:
    table = make_table([[2, 7, 8, 3], [2, 9, 3], [2, 3]], second_starts=[4, 2, 1])
    batch = collate(table, np.array([1, 0, 2]), pad_id=5, uses_token_types=True)
    assert {name: tensor.tolist() for name, tensor in batch.items()} == {
        "input_ids": [[2, 9, 3, 5], [2, 7, 8, 3], [2, 3, 5, 5]],
        "attention_mask": [[1, 1, 1, 0], [1, 1, 1, 1], [1, 1, 0, 0]],
        "token_type_ids": [[0, 0, 1, 0], [0, 0, 0, 0], [0, 1, 0, 0]],
        "labels": [1, 0, 2],
    }
    assert {tensor.dtype for tensor in batch.values()} == {torch.int64}


def test_width_is_rounded_up_to_a_multiple() -> None:
    table = make_table([[1] * 9, [1] * 3])
    assert collate(table, np.array([0, 1]), 0, False, multiple_of=8)["input_ids"].shape == (2, 16)
    assert collate(table, np.array([1]), 0, False, multiple_of=8)["input_ids"].shape == (1, 8)
    assert collate(table, np.array([1]), 0, False)["input_ids"].shape == (1, 3)


def test_collated_tensors_own_their_memory() -> None:
    table = make_table([[1, 2, 3]])
    batch = collate(table, np.array([0]), 0, True)
    for tensor in batch.values():
        tensor.add_(1)
    assert table.ids.tolist() == [1, 2, 3]
    assert table.labels.tolist() == [0]
