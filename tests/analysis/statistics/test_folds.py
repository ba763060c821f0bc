"""Folds in the tables: the corrected resampled t-test by hand, and subsets beside the pool of their own fold."""

import io
import math
import re

import numpy as np
import pandas as pd
import pytest
from rich.console import Console
from scipy import stats

from raybert.analysis import load_sweep, publish_results
from raybert.analysis.results.kept import of_one_fold
from raybert.analysis.statistics.comparisons import compare
from raybert.analysis.statistics.intervals import mean_interval, paired_p, t_interval
from raybert.analysis.statistics.subsets import Subset, class_shares, length_histogram, length_quantiles
from raybert.analysis.statistics.summary import summarize
from raybert.analysis.statistics.verdicts import verdict_sentences
from raybert.tables import COSTS, SUMMARIZED
from raybert.terminal.comparison import summary_table
from tests.analysis.folders import (
    make_spec,
    write_evaluations,
    write_plan,
    write_pool_scores,
    write_result,
    write_selection,
)

DIFFERENCES = (0.02, 0.04, 0.03, 0.05, 0.01)  # mean .03, s^2 = .001 / 4 = .00025
ERROR = math.sqrt(0.00025 * (1 / 5 + 1 / 4))
"""Of their mean, over 5 folds."""


def p_of_four_degrees(t: float) -> float:
    """Return the two-sided p-value of Student's distribution with 4 degrees of freedom, in closed form."""
    inside = 1 + t**2 / 4
    return 2 * (0.5 - 3 / 8 * t / math.sqrt(inside) * (1 - t**2 / (12 * inside)))


def trials_of(accuracy: dict[str, np.ndarray]) -> pd.DataFrame:
    """Return trials from (folds, seeds) accuracies."""
    rows = [
        {
            "strategy": strategy,
            "role": "trial",
            "budget_kind": "none" if strategy == "all" else "distinct",
            "budget": 100,
            "seed": seed,
            "fold": fold,
            "status": "complete",
            **dict.fromkeys(SUMMARIZED, value),
            **dict.fromkeys(COSTS, 1.0),
        }
        for strategy, values in accuracy.items()
        for fold, own in enumerate(values)
        for seed, value in enumerate(own)
    ]
    return pd.DataFrame(rows)


def row_of(accuracy: dict[str, np.ndarray], strategy: str) -> pd.Series:
    return summarize(trials_of(accuracy)).set_index("strategy").loc[strategy]


def check_corrected(row: pd.Series) -> None:
    assert row["test_accuracy_vs_random"] == pytest.approx(0.03)
    assert row["test_accuracy_vs_random_std"] == pytest.approx(math.sqrt(0.00025))
    assert row["test_accuracy_vs_random_p"] == pytest.approx(p_of_four_degrees(0.03 / ERROR))
    assert row["test_accuracy_vs_random_p"] == pytest.approx(0.047421, abs=1e-6)
    ends = row[["test_accuracy_vs_random_low", "test_accuracy_vs_random_high"]].to_numpy(float)
    np.testing.assert_allclose(ends, [0.03 - 2.776445105 * ERROR, 0.03 + 2.776445105 * ERROR])


def test_differences_over_folds_have_the_corrected_variance():
    random = np.array([[0.5], [0.6], [0.55], [0.52], [0.58]])
    row = row_of({"random": random, "el2n": random + np.array(DIFFERENCES)[:, None]}, "el2n")
    check_corrected(row)
    assert row["test_accuracy_vs_random_p"] > 3 * stats.ttest_1samp(DIFFERENCES, 0).pvalue
    assert (row["folds"], row["num_folds"], row["num_seeds"], row["num_pairs_random"]) == (5, 5, 1, 5)
    assert (row["verdict"], row["note"]) == ("better", "")


def test_seeds_of_a_fold_are_averaged_before_folds_are_compared():
    generator = np.random.default_rng(0)
    random = generator.normal(0.5, 0.05, (5, 2))
    noise = np.array([[0.07, -0.07]])
    row = row_of({"random": random, "el2n": random + np.array(DIFFERENCES)[:, None] + noise}, "el2n")
    check_corrected(row)
    assert row["num_pairs_random"] == 10
    values = random.mean(axis=1)
    baseline = row_of({"random": random}, "random")
    assert baseline["test_accuracy_mean"] == pytest.approx(random.mean())
    ends = mean_interval(values.mean(), values.std(ddof=1), 5, 1 / 4)
    np.testing.assert_allclose(ends, baseline[["test_accuracy_low", "test_accuracy_high"]].to_numpy(float))
    half = stats.t.ppf(0.975, 4) * values.std(ddof=1) * math.sqrt(1 / 5 + 1 / 4)
    assert ends[1] - ends[0] == pytest.approx(2 * half, rel=0.01)  # in the middle of the range it is the plain one


def test_unfinished_folds_leave_the_overlap_of_training_sets_as_planned():
    trials = trials_of({"random": np.array([[0.5], [0.6], [0.7], [0.4], [0.5]])})
    trials.loc[trials["fold"] > 2, "status"] = "pending"
    row = summarize(trials).iloc[0]
    ends = mean_interval(0.6, 0.1, 3, 1 / 4)
    np.testing.assert_allclose(ends, row[["test_accuracy_low", "test_accuracy_high"]].to_numpy(float))
    assert (row["folds"], row["num_folds"]) == (5, 3)
    trials.loc[trials["fold"] > 0, "status"] = "failed"
    row = summarize(trials).iloc[0]
    assert np.isnan(row["test_accuracy_low"])
    assert row["note"] == "4 of 5 trials failed; one fold: no interval"


def test_without_a_test_ratio_both_are_the_plain_t_test():
    values = np.array(DIFFERENCES)
    plain = stats.ttest_1samp(values, 0)
    assert paired_p(values.mean(), values.std(ddof=1), 5) == pytest.approx(plain.pvalue)
    np.testing.assert_allclose(t_interval(values.mean(), values.std(ddof=1), 5), plain.confidence_interval())
    corrected = t_interval([0.03, 0.03], [0.1, 0.1], [5, 5], [0.0, 0.25])
    assert np.ptp(corrected, axis=0)[1] / np.ptp(corrected, axis=0)[0] == pytest.approx(1.5)  # sqrt(.45 / .2)


def test_the_test_over_folds_rarely_finds_what_is_not_there():
    """Means of 10 folds whose errors are correlated by 1 / 10, as Nadeau and Bengio assume: 5 %, not 20 %."""
    generator = np.random.default_rng(1)
    shared = generator.normal(0, math.sqrt(0.1), (4000, 1))
    differences = shared + generator.normal(0, math.sqrt(0.9), (4000, 10))
    mean, std = differences.mean(axis=1), differences.std(axis=1, ddof=1)
    assert (paired_p(mean, std, 10) < 0.05).mean() > 0.1
    assert 0.04 < (paired_p(mean, std, 10, 1 / 9) < 0.05).mean() < 0.06


def test_sentences_say_what_the_pairs_are():
    random = np.full((5, 2), 0.5)
    comparisons = compare(trials_of({"random": random, "el2n": random + np.array(DIFFERENCES)[:, None]}))
    first, last = verdict_sentences(comparisons)
    assert first == "el2n: better than random (+3.0 points [+0.1, +5.9], 5 folds, each the mean of its seeds)"
    assert last.startswith("Test accuracy, paired over folds (means of seeds); corrected resampled t-tests at 95 %")


LABELS = {0: np.array([0, 0, 0, 1]), 1: np.array([1, 1, 0])}
LENGTHS = {0: np.array([5, 5, 9, 9]), 1: np.array([7, 7, 9])}


def subset(fold: int, *positions: int) -> Subset:
    return Subset("a", 2, "distinct", 0, fold, np.bincount(positions, minlength=len(LABELS[fold])))


def test_subsets_are_described_by_the_pool_of_their_fold():
    subsets = [subset(0, 0, 3), subset(1, 0, 1)]
    shares = class_shares(subsets, LABELS)
    assert shares["num_examples"].tolist() == [0.5, 1.5]  # classes 0, 1 and 1, 1
    assert shares["pool_num_examples"].tolist() == [2, 1.5]
    assert shares["pool_share"].tolist() == pytest.approx([4 / 7, 3 / 7])
    histogram = length_histogram(subsets, LENGTHS).set_index("low")
    assert histogram["num_examples"].to_dict() == {5: 0.5, 6: 0, 7: 1, 8: 0, 9: 0.5}
    assert histogram["pool_num_examples"].to_dict() == {5: 1, 6: 0, 7: 1, 8: 0, 9: 1.5}
    quantiles = length_quantiles(subsets, LENGTHS).set_index("strategy")
    assert quantiles.loc["(pool)", ["budget", "q50", "mean"]].tolist() == [4, 7, pytest.approx(51 / 7)]
    assert quantiles.loc["a", "mean"] == (5 + 9 + 7 + 7) / 4


@pytest.fixture
def crossed(tmp_path):
    """Two folds with pools of 8 and 6, one seed: in fold 0 a and b choose the same, in fold 1 nothing in common."""
    sizes = (8, 6)
    chosen = {"random": ((0, 1), (0, 1)), "a": ((2, 3), (0, 1)), "b": ((2, 3), (4, 5))}
    specs = [
        make_spec(name, budget=2, pool_size=sizes[fold], fold=fold, trial_id=f"{name}-{fold}")
        for fold in range(2)
        for name in chosen
    ]
    specs += [make_spec("all", budget=sizes[f], pool_size=sizes[f], fold=f, trial_id=f"all-{f}") for f in range(2)]
    folder = write_plan(tmp_path / "sweep", specs, ["no", "yes"])
    frames = []
    for fold, size in enumerate(sizes):
        ids = [f"e{position}" for position in range(size)]
        labels = [int(position >= 4) for position in range(size)]
        frames.append(pd.DataFrame({"fold": fold, "example_id": ids, "label": labels, "length": 3 + fold}))
    pd.concat(frames).to_parquet(folder / "pool.parquet", index=False)
    for spec in specs:
        name, fold = spec["strategy"], spec["fold"]
        write_result(folder, spec, 0.6 + 0.05 * fold + 0.1 * (name == "a"))
        write_evaluations(folder, spec, (0.5, 0.6))
        write_selection(folder, spec, chosen[name][fold] if name in chosen else range(spec["pool_size"]))
        if name in ("a", "b"):
            scores = np.arange(spec["pool_size"], dtype=float)
            write_pool_scores(folder, spec, -scores if (name, fold) == ("b", 1) else scores)
    return folder


def test_a_strategy_on_whole_pools_is_one_configuration_over_folds(crossed):
    sweep = load_sweep(crossed)
    assert sweep.summary().set_index("strategy")["num_complete"].to_dict() == dict.fromkeys(
        ("random", "a", "b", "all"), 2
    )
    whole = sweep.trials[sweep.trials["strategy"] == "all"]
    assert (whole["budget"].tolist(), whole["pool_size"].tolist()) == ([7, 7], [8, 6])
    row = sweep.summary().set_index("strategy").loc["all"]
    assert (row["budget"], row["num_folds"], row["num_seeds"]) == (7, 2, 1)
    summary = sweep.summary()
    assert len(sweep.trials_of(summary[summary["strategy"] == "all"].iloc[0])) == 2
    assert sweep.summary().set_index("strategy").loc["a", "num_pairs_all"] == 2


def test_agreement_is_measured_within_a_fold(crossed):
    pairs = load_sweep(crossed).agreement.set_index(["strategy_a", "strategy_b", "fold"]).sort_index()
    assert pairs.loc[("a", "b"), "jaccard"].to_dict() == {0: 1, 1: 0}
    assert pairs.loc[("a", "b"), "spearman"].to_dict() == pytest.approx({0: 1, 1: -1})
    assert pairs.loc[("a", "b"), "pool_size"].to_dict() == {0: 8, 1: 6}


@pytest.mark.long
@pytest.mark.slow
def test_results_of_folds_are_published_with_one_seed(crossed):
    sweep = publish_results(crossed)
    assert of_one_fold(sweep).startswith("fold 0 alone")  # which pictures of single examples say
    assert sweep.pool(1)["length"].tolist() == [4] * 6
    assert sweep.pool(2) is None
    shares = pd.read_csv(crossed / "results" / "selected_classes.csv").set_index(["strategy", "label_name"])
    assert shares.loc[("b", "yes"), "num_examples"] == 1  # none in fold 0, two in fold 1
    assert shares.loc[("a", "yes"), "num_examples"] == 0
    assert shares.loc[("all", "yes"), "log2_ratio"] == pytest.approx(0)
    notes = (crossed / "results" / "notes.txt").read_text()
    assert "one seed" not in notes
    assert "2 folds: a replicate is a fold (the mean of its seeds); because training sets overlap" in notes
    assert "Nadeau and Bengio (2003), with the variance s^2 (1/J + 1/1)" in notes
    overlap = pd.read_csv(crossed / "results" / "overlap.csv").set_index(["strategy_a", "strategy_b"])
    assert overlap.loc[("a", "b"), "jaccard"] == 0.5
    console = Console(file=io.StringIO(), width=120)
    console.print(summary_table(sweep))
    assert "folds" in console.file.getvalue()
    assert re.search(r"^a +2 +2 70.0, 75.0 ", console.file.getvalue(), re.MULTILINE)  # two folds: both values
