import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raybert.data.quotas import class_quotas, class_seats
from raybert.selection.pool import Pool, Selection
from raybert.selection.ranking import Order, choose_per_class, rank, tie_keys

KEYS = np.arange(10, dtype=np.uint64)


def test_directions_on_a_hand_made_score():
    scores = np.array([0.5, 0.1, 0.9, 0.3, 0.7])
    assert rank(scores, KEYS[:5], Order("hard"))[0].tolist() == [2, 4, 0, 3, 1]
    assert rank(scores, KEYS[:5], Order("easy"))[0].tolist() == [1, 3, 0, 4, 2]
    assert rank(scores, KEYS[:5], Order("middle"))[0].tolist() == [0, 4, 3, 2, 1]


def test_what_is_dropped_comes_back_last_and_easiest_first():
    scores = np.arange(10) / 10
    order, kept = rank(scores, KEYS, Order("hard", drop_hardest=0.3))
    assert order.tolist() == [6, 5, 4, 3, 2, 1, 0, 7, 8, 9]
    assert kept == 7
    order, kept = rank(scores, KEYS, Order(window=(0.2, 0.5)))
    assert order[:kept].tolist() == [4, 3, 2]
    assert sorted(order.tolist()) == list(range(10))


def test_nan_ranks_last_in_every_direction_and_infinities_are_scores():
    scores = np.array([np.nan, 1.0, np.inf, -np.inf, np.nan])
    assert rank(scores, KEYS[:5], Order("hard"))[0].tolist() == [2, 1, 3, 0, 4]
    assert rank(scores, KEYS[:5], Order("easy"))[0].tolist() == [3, 1, 2, 0, 4]
    assert rank(scores, KEYS[:5], Order("middle"))[0].tolist()[:1] == [1]


@pytest.mark.parametrize("direction", ["hard", "easy", "middle"])
def test_equal_scores_are_ordered_by_key_and_not_by_position(direction):
    keys = np.array([3, 1, 2, 0], np.uint64)
    assert rank(np.zeros(4), keys, Order(direction))[0].tolist() == [3, 1, 2, 0]


def test_keys_depend_on_the_id_and_the_seed_only():
    ids = np.array(["a", "b", "c"])
    np.testing.assert_array_equal(tie_keys(ids, 1)[[2, 0]], tie_keys(ids[[2, 0]], 1))
    assert len(set(tie_keys(ids, 1)) | set(tie_keys(ids, 2))) == 6


def test_keys_are_spread_evenly():
    keys = tie_keys(np.arange(4000).astype(str), 0)
    counts = np.bincount((keys >> np.uint64(60)).astype(int), minlength=16)
    assert counts.min() > 190
    assert counts.max() < 310


@pytest.mark.parametrize(
    ("sizes", "budget", "expected"),
    [
        ([53, 24, 23], 7, [3, 2, 2]),  # the textbook example of Webster / Sainte-Lague
        ([100, 1, 1], 3, [1, 1, 1]),
        ([100, 1, 1], 10, [8, 1, 1]),
        ([5, 5], 10, [5, 5]),
        ([0, 4, 2], 3, [0, 2, 1]),
    ],
)
def test_class_quotas_by_hand(sizes, budget, expected):
    assert class_quotas(np.array(sizes), budget).tolist() == expected


@given(st.lists(st.integers(0, 40), min_size=1, max_size=6).filter(any))
def test_quotas_sum_up_leave_no_class_out_and_only_grow(sizes):
    sizes = np.array(sizes)
    total = int(sizes.sum())
    assert len(class_seats(sizes)[0]) == total
    before = np.zeros(len(sizes), int)
    for budget in range(1, total + 1):
        quotas = class_quotas(sizes, budget)
        assert quotas.sum() == budget
        assert (quotas <= sizes).all()
        assert (quotas >= before).all()
        if budget >= (sizes > 0).sum():
            assert (quotas[sizes > 0] >= 1).all()
        before = quotas


@given(st.lists(st.integers(0, 2), min_size=3, max_size=40), st.data())
def test_what_classes_took_back_comes_last_and_the_order_of_seats_stays(classes, data):
    labels = np.array([0, 1, 2, *classes])
    pool = Pool(labels, 3, tie_keys(np.arange(len(labels)), 0), {}, np.random.default_rng(0))
    budget = data.draw(st.integers(1, len(labels)))
    shares = data.draw(st.lists(st.floats(0, 1), min_size=3, max_size=3))

    def pick(part, quota):
        rows = np.argsort(part.tie_keys, kind="stable")[:quota]
        refilled = int(shares[int(part.labels[0])] * quota)
        return Selection(rows, part.tie_keys[rows].astype(float), refilled=refilled)

    chosen = choose_per_class(pool, budget, pick)
    straight = choose_per_class(pool, budget, lambda part, quota: Selection(*_without_refill(pick(part, quota))))
    taken_back = set()
    for label in range(3):
        rows = np.flatnonzero(labels == label)
        quota = int((labels[straight.positions] == label).sum())
        if quota:
            inner = pick(pool.subset(rows), quota)
            taken_back |= set(rows[inner.positions[quota - inner.refilled :]].tolist())
    # The formulation that it replaced: a stable sort by membership.
    expected = sorted(straight.positions.tolist(), key=lambda row: row in taken_back)
    assert chosen.positions.tolist() == expected
    assert chosen.refilled == len(taken_back)


def _without_refill(selection):
    return selection.positions, selection.scores
