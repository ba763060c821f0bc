"""The filter `h_score`: what some proxies get right and some get wrong."""

import numpy as np
import pytest

import raybert
from raybert.config import StrategyConfig, validate_config
from raybert.errors import ConfigError
from raybert.selection import build_strategy
from raybert.selection.strategies import HScore
from raybert.testing import make_pool
from tests.sweeping.planning import plan_of

RIGHT = np.array([0, 1, 2, 3, 4, 5] * 5)
LABELS = np.tile([0, 1, 1], 10)


def probs_of(right, labels, proxies=5):
    """Probabilities by which so many of the proxies are right."""
    said = np.where(np.arange(proxies) < right[:, None], labels[:, None], 1 - labels[:, None])  # (n, m)
    return np.where(said[:, :, None] == np.arange(2), 0.8, 0.2).astype(np.float32)


def kept(**parameters):
    pool = make_pool(30, probs=probs_of(RIGHT, LABELS))
    object.__setattr__(pool, "labels", LABELS)
    return HScore(**parameters).keep(pool)


def test_what_always_or_never_is_right_is_dropped():
    assert set(RIGHT[kept().keep]) == {1, 2, 3, 4}
    assert set(RIGHT[kept(least=2).keep]) == {2, 3}
    badness = kept(least=2).badness
    assert [badness[count == RIGHT][0] for count in (4, 5, 1, 0)] == [1, 2, 1.5, 2.5]


def test_the_rest_is_drawn_by_quotas_and_what_was_dropped_comes_back_the_least_bad_first():
    signals = {"labels": LABELS, "probs": probs_of(RIGHT, LABELS)}
    few = raybert.select("h_score", 12, **signals)
    assert set(RIGHT[few.positions]) <= {1, 2, 3, 4}
    assert few.refilled == 0
    more = raybert.select("h_score", 27, **signals)
    assert more.refilled == 7
    assert sorted(RIGHT[more.positions[-7:]]) == [0, 0, 5, 5, 5, 5, 5]


def test_too_few_proxies_are_refused_before_anything_is_trained():
    def plan(proxies, entry):
        return plan_of(
            validate_config(
                {"selection": {"proxy": {"num_seeds": proxies}}, "sweep": {"strategies": ["random", entry], "seeds": 1}}
            )
        )

    for entry, proxies in (
        ("h_score", 1),
        ({"name": "h_score", "least": 2}, 3),
        ({"name": "el2n", "pre": "h_score"}, 1),
    ):
        least = build_strategy(StrategyConfig.model_validate({"name": entry} if isinstance(entry, str) else entry))
        line = f"must have at least {least.least_proxies()} proxies, got selection.proxy.num_seeds: {proxies}; raise it"
        with pytest.raises(ConfigError, match=line):
            plan(proxies, entry)
    assert len(plan(5, "h_score").proxies) == 5
