"""Which code of a user's own trainings run: in a file, its grid and its search, and whether it is tried in advance."""

import sys

import pytest

from raybert.config import importing, validate_config
from raybert.errors import ConfigError
from raybert.sweeping.first_look import look_first
from raybert.sweeping.plan.design import read_design
from raybert.sweeping.plan.own_code import code_of_design, code_of_run, code_of_training, trainings
from tests.sweeping.planning import plan_of

PARTS = """
import torch


def make(groups):
    return torch.optim.SGD(groups, lr=0.1)


def rate(share, total_steps):
    return 1.0 - share


def loss(logits, labels):
    return torch.nn.functional.cross_entropy(logits, labels, reduction="none")


def broken(share, total_steps):
    raise RuntimeError("no rate")
"""


@pytest.fixture(autouse=True)
def own_training(tmp_path, monkeypatch):
    """A module of a user's own."""
    (tmp_path / "own_training.py").write_text(PARTS)
    monkeypatch.syspath_prepend(tmp_path)
    yield
    sys.modules.pop("own_training", None)


def design_of(train=None, **sweep):
    return read_design(
        validate_config({"train": train or {}, "sweep": {"strategies": ["random"], "seeds": 1, **sweep}})
    )


def test_code_is_found_in_the_file_its_grid_and_its_search():
    own = ["loss own_training:loss", "optimizer own_training:make", "schedule own_training:rate"]
    train = {name: f"own_training:{attribute}" for name, attribute in (key.split(" own_training:") for key in own)}
    for design in (
        design_of(train),
        design_of(grid={f"train.{name}": [value] for name, value in train.items()}),
        design_of(
            tune={
                "suggestions_per_strategy": 2,
                "space": {
                    "train.loss": ["focal", train["loss"]],
                    "train.optimizer.name": ["lion", train["optimizer"]],
                    "train.schedule": [{"name": "cosine"}, {"name": train["schedule"]}],
                },
            }
        ),
    ):
        found = {one.key: one for one in code_of_design(design)}
        assert sorted(found) == own
        assert found[own[1]].what == "the code of train.optimizer.name 'own_training:make'"
        assert len({one.digest for one in found.values()}) == 3
    (spec,) = plan_of(design_of(train).config).trials
    assert [one.key for one in code_of_run(spec)] == own
    assert code_of_training(spec.config.train) == " ".join(found[key].digest for key in own)
    assert code_of_training(design_of().config.train) is None


def test_trainings_of_a_search_are_those_of_every_choice():
    space = {"train.optimizer": ["adamw", {"name": "sgd", "momentum": 0.9}], "train.learning_rate": [1e-3]}
    found = trainings(design_of(tune={"suggestions_per_strategy": 2, "space": space}))
    assert [(one.optimizer.name, one.optimizer.momentum) for one in found] == [("adamw", 0.0), ("sgd", 0.9)]


def test_optimizers_and_schedules_of_a_search_are_tried_before_anything_is_loaded():
    space = {"train.optimizer": ["adamw", "torch.optim.Nadam"]}
    with pytest.raises(ConfigError, match="did you mean 'NAdam'"):
        look_first(design_of(tune={"suggestions_per_strategy": 2, "space": space}))
    broken = design_of({"schedule": "own_training:broken"})
    with pytest.raises(ConfigError, match="must return a factor for a share of 0: RuntimeError: no rate"):
        look_first(broken)
    with importing("labels"):
        look_first(broken)


def test_a_refit_has_nothing_to_watch_for_a_plateau():
    with pytest.raises(ConfigError, match="sweep.refit: must be false with `train.schedule: plateau`"):
        look_first(design_of({"schedule": "plateau"}, refit=True))


def test_a_checkpoint_to_begin_from_is_of_one_run():
    start = {"start": {"checkpoint": "somewhere", "digest": "0" * 16}}
    look_first(design_of(start))
    with pytest.raises(ConfigError, match="train.start: must be left out of a sweep; `raybert train --resume-from`"):
        look_first(design_of(start, seeds=2))
