"""The counts behind the views of a sweep: the best validation is of the sweep's own metric, in its direction."""

import math
from pathlib import Path

import pytest

from raybert.config import validate_config
from raybert.sweeping.driver.events import EventProgress
from raybert.sweeping.driver.progress import Tally
from raybert.sweeping.driver.state_file import RecordedProgress
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


def test_lines_name_of_the_grid_what_varies():
    config = validate_config(
        {
            "sweep": {
                "strategies": ["random"],
                "seeds": 1,
                "grid": {"train.learning_rate": [0.001, 0.003], "train.weight_decay": [0.01]},
            }
        }
    )
    said: list[str] = []
    recorded = RecordedProgress(EventProgress(lambda event: said.append(event.text)), Path("nowhere", "state.json"))
    trials = plan_of(config, FACTS).trials
    recorded.begin(trials, {})
    for spec in trials:
        recorded.started(spec)
        recorded.ended(spec, "failed", "ValueError: no")
    names = ["random, learning_rate 0.001", "random, learning_rate 0.003"]
    assert [line.split(":")[0] for line in said if "steps" in line] == names
    assert [line.split("] ")[1].split(" budget")[0] for line in said if "failed" in line] == names
