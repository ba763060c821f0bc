"""Pictures of a large grid: the points with the best validation, all strategies there, and what was left out."""

import numpy as np

from raybert.analysis import load_sweep
from raybert.analysis.results.shown import at_best_points
from tests.analysis.folders import write_grid_sweep

RATES = [{"train.learning_rate": rate} for rate in np.round(np.linspace(0.01, 0.15, 15), 2)]


def sweep_of(folder, rates=RATES):
    """`el2n` gets better with the rate, `random` worse; the best of `el2n` is the best of all at each point."""
    means = {"random": lambda point: 0.5 - 0.01 * point, "el2n": lambda point: 0.6 + 0.01 * point}
    return load_sweep(
        write_grid_sweep(
            folder, tuple(means), rates, lambda name, point: np.array([0.0, 0.01, 0.02]) + means[name](point)
        )
    )


def test_a_large_grid_is_shown_at_its_best_points_with_all_strategies(tmp_path):
    sweep = sweep_of(tmp_path / "run")
    shown, words = at_best_points(sweep)
    assert words == "12 of 15 points of the grid: those with the best validation; tables have all"
    assert np.allclose(sorted(shown.summary()["train.learning_rate"].unique()), np.arange(4, 16) / 100)
    assert shown.summary().groupby("strategy").size().to_dict() == {"el2n": 12, "random": 12}
    assert len(shown.trials) == 2 * 12 * 3
    assert set(shown.evaluations["trial_id"]) <= set(shown.trials["trial_id"])
    assert len(sweep.summary()) == 30


def test_a_small_grid_is_shown_whole(tmp_path):
    sweep = sweep_of(tmp_path / "run", RATES[:12])
    assert at_best_points(sweep) == (sweep, "")


def test_the_fewest_points_are_those_a_person_would_pick(tmp_path):
    shown, _ = at_best_points(sweep_of(tmp_path / "run"), most=2)
    assert sorted(shown.summary()["train.learning_rate"].unique()) == [0.14, 0.15]
