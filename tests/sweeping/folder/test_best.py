import math

import pytest

from raybert.sweeping.folder.best import best_trials
from tests.analysis.folders import make_spec


def trials(*names, seeds=2, **more):
    return [make_spec(name, seed, **more) for name in names for seed in range(seeds)]


def test_the_mean_over_seeds_decides_and_then_the_own_score():
    values = {"a-40-0": 0.9, "a-40-1": 0.5, "b-40-0": 0.7, "b-40-1": 0.8}
    assert best_trials(trials("a", "b"), values, "accuracy") == ["b-40-1", "b-40-0"]


def test_a_metric_of_which_less_is_better_is_turned_round():
    values = {"a-40-0": 0.9, "a-40-1": 0.5, "b-40-0": 0.7, "b-40-1": 0.8}
    assert best_trials(trials("a", "b"), values, "loss") == ["a-40-1", "a-40-0"]


def test_one_lucky_seed_is_no_match_for_all_of_them():
    values = {"a-40-0": 0.99, "b-40-0": 0.7, "b-40-1": 0.8, "a-40-1": math.nan}
    assert best_trials(trials("a", "b"), values, "accuracy") == ["b-40-1", "b-40-0"]
    assert best_trials(trials("a", "b"), {"a-40-0": 0.6}, "accuracy") == ["a-40-0"]


def test_proxies_and_what_has_no_value_are_left_out():
    values = {"proxy-40-0": 0.99, "proxy_fold-40-0": 0.98, "a-40-0": 0.5}
    assert best_trials(trials("proxy", "proxy_fold", "a", seeds=1), values, "accuracy") == ["a-40-0"]
    assert best_trials(trials("a"), {}, "accuracy") == []
    assert best_trials(trials("a"), {"a-40-0": math.nan}, "accuracy") == []


@pytest.mark.parametrize(("kind", "expected"), [("none", ["all-1", "all-0"]), ("distinct", ["all-1"])])
def test_folds_of_whole_pools_of_different_sizes_are_one_configuration(kind, expected):
    specs = [make_spec("all", 0, 100 + fold, trial_id=f"all-{fold}", fold=fold, budget_kind=kind) for fold in (0, 1)]
    assert best_trials(specs, {"all-0": 0.5, "all-1": 0.6}, "accuracy") == expected


def test_grid_points_are_configurations_of_their_own():
    specs = [make_spec("a", 0, 40, trial_id=f"{rate}", grid={"train.learning_rate": rate}) for rate in (1e-3, 1e-4)]
    assert best_trials(specs, {"0.001": 0.5, "0.0001": 0.6}, "accuracy") == ["0.0001"]
