"""What a search of its own for every strategy is for: who learns slowly must not lose to who learns fast."""

import math

import pytest

from tests.sweeping.search.driving import config_of, run_whole

pytestmark = pytest.mark.slow

FAST, SLOW = "random", "random_stratified"


def planted(spec):
    """The fast one is at 0.70 of its 0.75 after a fifth of its steps, the slow one at 0.45 of its 0.90.

    Both depend a little on the learning rate; at any rate the slow one ends higher than the fast one at its best.
    """
    luck = 0.02 * math.cos(3 * math.log(spec.config.train.learning_rate))
    times = [i / 10 for i in range(1, 11)]
    if spec.label == FAST:
        return [0.75 * (1 - math.exp(-14 * t)) + luck for t in times]
    return [0.40 + 0.50 * t**1.5 + luck for t in times]


def ends(search):
    """Best complete value and number of pruned suggestions of every strategy."""
    best, pruned = {}, {FAST: 0, SLOW: 0}
    for suggestion in search.suggestions.values():
        label = suggestion.arm.candidate(suggestion.params).label
        if suggestion.status == "complete":
            best[label] = max(best.get(label, 0.0), suggestion.value)
        else:
            pruned[label] += 1
    return best, pruned


@pytest.mark.parametrize("slots", [1, 4])
def test_a_search_for_each_strategy_finds_the_slow_learner_that_ends_higher(tmp_path, slots):
    search = run_whole(config_of({"suggestions_per_strategy": 6, "sampler": "random"}), tmp_path, planted, slots)
    best, pruned = ends(search)
    assert best[SLOW] > 0.88 > 0.78 > best[FAST] > 0.72
    assert 0 < pruned[SLOW] < 6
    assert 0 < pruned[FAST] < 6


@pytest.mark.parametrize("slots", [1, 4])
def test_a_shared_search_stops_the_slow_learner_before_it_shows(tmp_path, slots):
    # The first suggestion of an ASHA has nothing to be worse than and is always finished: here the fast one's.
    first = [{"strategy": FAST}]
    config = config_of(
        {"suggestions_per_strategy": 6, "sampler": "random", "shared": True, "seed": 1, "points_to_evaluate": first}
    )
    search = run_whole(config, tmp_path, planted, slots)
    best, pruned = ends(search)
    (winner,) = search.best().values()
    assert winner["strategy"] == FAST
    assert set(best) == {FAST}
    assert pruned[SLOW] >= 3
