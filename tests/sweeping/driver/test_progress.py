"""The counts behind the views of a sweep: the best validation is of the sweep's own metric, in its direction."""

import math

import pytest

from raybert.config import validate_config
from raybert.sweeping.driver.progress import Tally
from raybert.sweeping.plan.specs import PoolFacts
from tests.sweeping.planning import plan_of

FACTS = PoolFacts("data", "encoder", 400, 2)


def tally_of(values, **train):
    """A tally of one strategy that measured these values, one evaluation after the other."""
    config = validate_config({"sweep": {"strategies": ["random"], "seeds": 1}, "train": train})
    (spec,) = [spec for spec in plan_of(config, FACTS).trials if spec.role == "trial"]
    tally = Tally()
    tally.begin([spec], {})
    for step, value in enumerate(values):
        row = {"step": step, "validation_accuracy": 0.9, "validation_loss": value, "validation_auc_pr": value}
        tally.evaluated(spec, row)
    return tally


@pytest.mark.parametrize(
    ("metric", "values", "best"),
    [
        ("accuracy", [0.1, 0.2], 0.9),
        ("auc_pr", [0.3, 0.5, 0.4], 0.5),
        ("loss", [0.7, 0.4, 0.6], 0.4),
        ("auc_pr", [math.nan, 0.2], 0.2),
        ("auc_pr", [0.2, math.nan], 0.2),
    ],
)
def test_the_best_validation_is_of_the_metric_of_the_sweep(metric, values, best):
    tally = tally_of(values, best_metric=metric)
    assert tally.best == {"random": best}
    assert tally.best_metric == metric
