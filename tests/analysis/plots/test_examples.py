import numpy as np
import pytest

from raybert.analysis import load_sweep
from raybert.analysis.plots.examples import MOST_BUDGETS, MOST_COLUMNS, MOST_ROWS, draw_kept, draw_last_losses
from raybert.analysis.results.kept import Hardness, LastLosses, hardness_of, kept_examples, last_losses
from raybert.analysis.statistics.examples import (
    OfExamples,
    by_keepers,
    in_bins,
    kept_shares,
    mean_over_trials,
    share_kept_by_none,
)
from raybert.analysis.statistics.subsets import Subset
from raybert.sweeping.folder.trial_folder import TrialFolder
from tests.analysis.folders import make_spec, write_plan, write_pool, write_result, write_selection
from tests.analysis.plots.layout import flaws

NAN = float("nan")


def subset(strategy, passes, seed=0, kind="distinct", budget=2):
    return Subset(strategy, budget, kind, seed, 0, np.array(passes))


def kept(strategy, values, budget=2, kind="distinct", trials=3):
    return OfExamples(strategy, budget, kind, np.array(values, np.float32), trials)


def cells(axes):
    """What an image shows; NaN: nothing."""
    return np.ma.filled(axes.images[0].get_array().astype(float), NAN)


def names_at(axes):
    return [label.get_text() for label in axes.get_yticklabels()]


def test_a_share_is_over_seeds_and_of_what_chooses_anew_over_passes():
    found = kept_shares(
        [
            subset("el2n", [1, 1, 0, 0]),
            subset("el2n", [1, 0, 1, 0], seed=1),
            subset("random_epoch", [4, 2, 1, 1], kind="per_epoch"),  # four passes of two examples
            subset("infobatch", [3, 3, 1, 2], kind="none", budget=4),
        ]
    )
    assert [(each.strategy, each.values.tolist(), each.num_trials) for each in found] == [
        ("el2n", [1, 0.5, 0.5, 0], 2),
        ("random_epoch", [1, 0.5, 0.25, 0.25], 1),
        ("infobatch", pytest.approx([1, 1, 1 / 3, 2 / 3]), 1),
    ]


def test_means_are_over_the_trials_that_have_a_value():
    (mean,) = mean_over_trials([kept("a", [1, NAN, NAN]), kept("a", [3, 2, NAN])])
    assert mean.values.tolist()[:2] == [2, 2]
    assert np.isnan(mean.values[2])


def test_most_often_kept_come_first_and_random_draws_have_no_say():
    rows = [kept("a", [0, 1, 1, 0]), kept("b", [0, 0, 1, 1]), kept("random", [1, 0, 0, 0])]
    assert by_keepers(rows, np.array([0.1, 0.2, 0.3, 0.4])).tolist() == [2, 3, 1, 0]
    assert by_keepers(rows[2:]).tolist() == [0, 1, 2, 3]
    assert share_kept_by_none(rows) == 0.25


def test_bins_are_means_of_neighbours_without_what_is_missing():
    assert in_bins(np.array([1.0, 3.0, 5.0, NAN, NAN, NAN]), 3).tolist()[:2] == [2, 5]
    assert np.isnan(in_bins(np.array([1.0, 3.0, 5.0, NAN, NAN, NAN]), 3)[2])
    assert in_bins(np.arange(3.0), 4).tolist() == [0, 1, 2]


def test_rows_are_strategies_and_columns_examples_in_both_orders():
    rows = [kept("easy", [1, 0, 0.5, 0]), kept("hard", [0, 1, 1 / 3, 1])]
    figure = draw_kept(rows, Hardness(np.array([0.1, 0.9, 0.5, 0.7]), "their score"))
    often, hardest = [
        axes for axes in figure.axes if axes.get_title(loc="left") or axes.get_xlabel().endswith("hardest first")
    ]
    assert names_at(often) == ["hard", "easy"]
    # Kept by 1, 1, 5/6 and 1 strategies: of equals the hardest first.
    assert cells(often) == pytest.approx(np.array([[1, 1, 0, 1 / 3], [0, 0, 1, 0.5]]), abs=1e-6)
    assert cells(hardest) == pytest.approx(np.array([[1, 1, 1 / 3, 0], [0, 0, 0.5, 1]]), abs=1e-6)
    assert often.get_title(loc="left") == "budget 2: 0 % kept by none (random draws aside)"


def test_large_pools_are_binned_and_many_rows_and_budgets_cut_and_said():
    generator = np.random.default_rng(0)
    rows = [
        kept(f"strategy with a very long name, number {i}", generator.integers(0, 2, 1000), budget)
        for budget in (100, 200, 400, 500, 800)
        for i in range(MOST_ROWS + 2)
    ]
    figure = draw_kept(rows)
    panels = [axes for axes in figure.axes if axes.get_title(loc="left")]
    assert [axes.get_title(loc="left").split(":")[0] for axes in panels] == ["budget 100", "budget 400", "budget 800"]
    assert {cells(axes).shape for axes in panels} == {(MOST_ROWS, MOST_COLUMNS)}
    said = " ".join(text.get_text() for text in figure.texts)
    assert "a column is the mean of about 2 of 1,000" in said
    assert f"{MOST_BUDGETS * MOST_ROWS} of 160 rows" in said


def test_losses_that_there_are_none_of_stay_empty():
    losses = [kept("el2n", [0.5, NAN, 2.0]), kept("all", [0.1, 0.2, 0.3], 3, "none"), kept("ucb", [1, 1, 1], 3, "none")]
    passes = [kept("el2n", [1, NAN, 1]), kept("all", [1, 1, 1], 3, "none"), kept("ucb", [0, 0.5, 1], 3, "none")]
    figure = draw_last_losses(LastLosses(losses, passes), Hardness(np.array([3.0, 2.0, 1.0]), "their score"))
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert titles[:4] == [
        "budget 2: last loss",
        "the pass that it is from",
        "no budget (3): last loss",
        "the pass that it is from",
    ]
    assert cells(figure.axes[0]).tolist()[0][::2] == [0.5, 2.0]
    assert np.isnan(cells(figure.axes[0])[0, 1])
    assert sorted(names_at(figure.axes[2])) == ["all", "ucb"]
    place = names_at(figure.axes[2]).index("ucb")
    assert cells(figure.axes[3])[place].tolist() == [0, 0.5, 1]
    assert [text.get_text() for text in figure.axes[3].texts] == ["every pass has the same examples"]
    assert flaws(figure) == []
    for left, right in ((0, 1), (2, 3)):  # rows of both stand beside each other, covered or not
        assert figure.axes[left].get_ylim() == figure.axes[right].get_ylim()


def test_nothing_kept_is_nothing_drawn():
    assert draw_kept([]) is None
    assert draw_last_losses(LastLosses([], [])) is None


def test_a_folder_gives_shares_last_losses_and_hardness_by_all(tmp_path):
    specs = [make_spec("el2n", seed, 2, pool_size=4) for seed in (0, 1)] + [make_spec("all", 0, 4, pool_size=4)]
    folder = write_plan(tmp_path, specs, ("no", "yes"))
    write_pool(folder, [0, 1, 0, 1], [5, 6, 7, 8])
    for spec, chosen in zip(specs, ([0, 1], [1, 2], range(4)), strict=True):
        write_result(folder, spec, 0.8)
        write_selection(folder, spec, chosen)
    nan = np.nan
    for spec, losses, passes in (
        (specs[0], [0.25, 0.5, nan, nan], [2, 1, -1, -1]),
        (specs[1], [nan, 1.0, 0.5, nan], [-1, 2, 2, -1]),
        (specs[2], [4.0, 3.0, 2.0, 1.0], [2, 2, 2, 2]),
    ):
        TrialFolder(folder / "trials" / spec["trial_id"]).write_losses(np.array(losses), np.array(passes))
    sweep = load_sweep(folder)
    (shares,) = kept_examples(sweep)
    assert (shares.strategy, shares.values.tolist()) == ("el2n", [0.5, 1, 0.5, 0])
    found = last_losses(sweep)
    losses = {each.strategy: each.values for each in found.losses}
    assert losses["el2n"].tolist()[:3] == [0.25, 0.75, 0.5]
    assert np.isnan(losses["el2n"][3])
    assert {each.strategy: each.values.tolist()[:3] for each in found.passes} == {
        "el2n": [1, 0.75, 1],
        "all": [1, 1, 1],
    }
    assert hardness_of(sweep).values.tolist() == [4, 3, 2, 1]
