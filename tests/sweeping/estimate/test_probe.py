import random
from dataclasses import replace

import numpy as np
import pytest
import torch

from raybert.config import validate_config
from raybert.sweeping.estimate.probe import FEWEST_STEPS, FORWARD_SLICES, MOST_STEPS, _sample, local_prober, undisturbed
from raybert.sweeping.estimate.shapes import group_shapes, shape_key
from tests.sweeping.planning import plan_of


def plan_for(prepared, **sections):
    document = {"train": {"length": {"steps": 8}, "batch_size": 16, "learning_rate": 1e30}, **sections}
    config = validate_config({"sweep": {"strategies": ["all", "random", "el2n"], "seeds": 1}, **document})
    return plan_of(config, prepared.facts)


def prober(prepared, plan):
    keys = {spec.data_key for spec in plan.trials}
    return local_prober(dict.fromkeys(keys, prepared.data), dict.fromkeys(keys, prepared.encoder))


@pytest.mark.slow
def test_a_probe_measures_steps_forward_passes_and_files_whatever_the_learning_rate(prepared):
    plan = plan_for(prepared)
    (shape,) = group_shapes(plan.trials)
    probe = prober(prepared, plan)(shape, 0.0)
    assert FEWEST_STEPS <= len(probe.step_seconds) <= MOST_STEPS
    assert 1 <= len(probe.forward_seconds) <= FORWARD_SLICES
    assert min(*probe.step_seconds, *probe.forward_seconds, probe.build_seconds, probe.save_seconds) > 0
    assert probe.batch_units == pytest.approx(16 * prepared.data.train.lengths.mean())
    assert probe.embed_seconds is None
    assert probe.seconds > sum(probe.step_seconds)


@pytest.mark.slow
def test_a_probe_knows_the_size_of_the_checkpoints(prepared, tmp_path):
    from raybert.models import build_classifier
    from raybert.training import checkpoint

    plan = plan_for(prepared)
    (shape,) = group_shapes(plan.trials)
    probe = prober(prepared, plan)(shape, 0.0)
    model = build_classifier(prepared.encoder, prepared.data.label_names, 0, shape.spec.config.model)
    optimizer = torch.optim.AdamW(model.parameters())
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    checkpoint.save_best(tmp_path, model)
    weights = model.state_dict()
    checkpoint.save_last(tmp_path, "key", weights, weights, {"optimizer": optimizer.state_dict()})
    size = lambda name: sum(path.stat().st_size for path in (tmp_path / name).iterdir())  # noqa: E731
    assert probe.best_bytes == size("best")
    assert probe.last_bytes == pytest.approx(size("last"), rel=0.03)


@pytest.mark.slow
def test_a_probe_leaves_the_process_as_it_was(prepared):
    plan = plan_for(prepared)
    (shape,) = group_shapes(plan.trials)
    torch.manual_seed(7)
    random.seed(7)
    np.random.default_rng(7)
    torch.set_num_threads(2)
    before = torch.get_rng_state(), random.getstate()
    prober(prepared, plan)(shape, 0.0)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert random.getstate() == before[1]
    assert torch.get_num_threads() == 2
    assert torch.is_grad_enabled()


def test_a_failure_puts_everything_back_too():
    state = torch.get_rng_state()

    @undisturbed()
    def fail():
        torch.manual_seed(1)
        torch.set_grad_enabled(False)
        raise ValueError("on purpose")

    with pytest.raises(ValueError, match="on purpose"):
        fail()
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.is_grad_enabled()


def test_trials_are_of_one_shape_whatever_they_train_on_and_the_longest_is_probed(prepared):
    plan = plan_for(prepared, train={"batch_size": 16, "length": {"epochs": 2, "min_steps": 4}})
    (shape,) = group_shapes(plan.trials)
    assert shape.num_steps == sum(spec.total_steps for spec in plan.trials)
    assert shape.spec.total_steps == max(spec.total_steps for spec in plan.trials)


@pytest.mark.parametrize(
    ("section", "key", "value", "is_same"),
    [
        ("train", "batch_size", 8, False),
        ("train", "gradient_checkpointing", True, False),
        ("train", "learning_rate", 0.5, True),
        ("train", "length", {"steps": 99}, True),
        ("model", "dropout", 0.3, True),
        ("model", "freeze_layers", 1, False),
        ("data", "max_length", 64, False),
        ("selection", "budget", 0.5, True),
    ],
)
def test_a_shape_is_what_makes_a_step_longer(prepared, section, key, value, is_same):
    spec = plan_for(prepared).trials[0]
    document = spec.config.model_dump(mode="json")
    document[section][key] = value
    assert (shape_key(replace(spec, config=validate_config(document))) == shape_key(spec)) is is_same


def test_slices_are_disjoint_random_rows_of_about_the_size_that_is_asked_for():
    sizes = np.random.default_rng(1).integers(1, 60, 1000)
    parts = _sample(sizes, 500)
    assert len(parts) == FORWARD_SLICES
    assert len(np.unique(np.concatenate(parts))) == sum(map(len, parts))
    assert all(400 < sizes[part].sum() <= 560 for part in parts)
    (only,) = _sample(np.array([3, 4]), 500)
    assert sorted(only) == [0, 1]
