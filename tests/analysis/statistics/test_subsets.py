import numpy as np
import pytest

from raybert.analysis.statistics.subsets import Subset, class_shares, length_edges, length_histogram, length_quantiles

LABELS = np.array([0, 0, 0, 0, 1, 1, 2, 2])
LENGTHS = np.array([3, 4, 5, 6, 7, 8, 30, 64])


def subset(strategy, *positions, kind="distinct", seed=0, budget=4):
    return Subset(strategy, budget, kind, seed, 0, np.bincount(positions, minlength=len(LABELS)))


def test_classes_are_counted_beside_the_pool():
    table = class_shares([subset("a", 0, 1, 2, 4)], LABELS, ("x", "y", "z")).set_index("label_name")
    assert table["num_examples"].tolist() == [3, 1, 0]
    assert table["share"].tolist() == [0.75, 0.25, 0]
    assert table["pool_num_examples"].tolist() == [4, 2, 2]
    assert table["pool_share"].tolist() == [0.5, 0.25, 0.25]
    assert table["log2_ratio"].tolist() == pytest.approx([np.log2(1.5), 0, -np.inf])


def test_counts_are_means_over_seeds():
    table = class_shares([subset("a", 0, 1, 2, 4), subset("a", 0, 4, 5, 6, seed=1)], LABELS)
    assert table["num_examples"].tolist() == [2, 1.5, 0.5]
    assert table["label_name"].tolist() == ["0", "1", "2"]


def test_a_pass_is_a_choice_of_its_own_unless_the_budget_is_of_distinct_examples():
    passes = (0, 0, 0, 4)  # example 0 in three passes
    for kind, expected in (("per_epoch", [3, 1, 0]), ("none", [3, 1, 0]), ("distinct", [1, 1, 0])):
        assert class_shares([subset("a", *passes, kind=kind)], LABELS)["num_examples"].tolist() == expected


def test_label_numbers_need_not_be_dense():
    table = class_shares([Subset("a", 1, "distinct", 0, 0, np.array([1, 0]))], np.array([7, 3]))
    assert table["label"].tolist() == [3, 7]
    assert table["share"].tolist() == [0, 1]


def test_nothing_selected_gives_an_empty_table_with_its_columns():
    for table in (class_shares([], LABELS), class_shares([subset("a")], LABELS), length_histogram([], LENGTHS)):
        assert table.empty
        assert {"strategy", "budget", "num_examples", "share", "pool_share"} <= set(table.columns)


def test_edges_are_whole_numbers_that_hold_every_length():
    edges = length_edges(LENGTHS)
    assert edges.tolist() == list(range(3, 69, 4))  # 62 lengths in 20 bins or fewer: 4 wide
    assert length_edges(np.array([5, 5])).tolist() == [5, 6]


def test_histogram_by_hand():
    table = length_histogram([subset("a", 0, 3, 4, 7), subset("a", 0, 1, 2, 3, seed=1)], LENGTHS)
    first = table.iloc[0]
    assert (first["low"], first["high"]) == (3, 7)
    assert first["num_examples"] == 3  # lengths 3 and 6; 3, 4, 5 and 6
    assert first["pool_num_examples"] == 4
    assert table["num_examples"].sum() == 4
    assert table["share"].sum() == pytest.approx(1)
    assert table["pool_num_examples"].sum() == len(LENGTHS)
    np.testing.assert_array_equal(
        table["pool_num_examples"], np.histogram(LENGTHS, [*table["low"], table["high"].iloc[-1]])[0]
    )


def test_quantiles_are_lengths_that_occur():
    table = length_quantiles([subset("a", 0, 1, 2, 3)], LENGTHS).set_index("strategy")
    assert table.loc["a", ["q05", "q25", "q50", "q75", "q95"]].tolist() == [3, 3, 4, 5, 6]
    assert table.loc["a", "mean"] == 4.5
    quantiles = np.quantile(LENGTHS, [0.05, 0.25, 0.5, 0.75, 0.95], method="inverted_cdf")
    assert table.loc["(pool)", ["q05", "q25", "q50", "q75", "q95"]].tolist() == quantiles.tolist()


def test_a_permuted_pool_gives_the_same_tables():
    order = np.random.default_rng(0).permutation(len(LABELS))
    one = subset("a", 0, 3, 4, 7)
    other = Subset("a", 4, "distinct", 0, 0, one.passes[order])
    assert class_shares([one], LABELS).equals(class_shares([other], LABELS[order]))
    assert length_histogram([one], LENGTHS).equals(length_histogram([other], LENGTHS[order]))
    assert length_quantiles([one], LENGTHS).equals(length_quantiles([other], LENGTHS[order]))
