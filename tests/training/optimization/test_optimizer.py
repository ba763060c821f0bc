import math

import pytest
import torch
from transformers import (
    AutoConfig,
    AutoModelForSequenceClassification,
    get_constant_schedule_with_warmup,
    get_cosine_schedule_with_warmup,
    get_cosine_with_hard_restarts_schedule_with_warmup,
    get_cosine_with_min_lr_schedule_with_warmup,
    get_inverse_sqrt_schedule,
    get_linear_schedule_with_warmup,
    get_polynomial_decay_schedule_with_warmup,
    get_wsd_schedule,
)

from raybert.config import TrainConfig, validate_config
from raybert.errors import ConfigError
from raybert.models import load_classifier
from raybert.models.layers import layer_depths
from raybert.training.length import RunLength
from raybert.training.optimization.optimizer import build_optimizer, set_step
from raybert.training.optimization.plateau import plateau_factor
from raybert.training.optimization.schedules import check_schedule, learning_rate_factor, weight_decay_at

T = 40
SCHEDULES = {
    "linear": lambda optimizer, warmup: get_linear_schedule_with_warmup(optimizer, warmup, T),
    "cosine": lambda optimizer, warmup: get_cosine_schedule_with_warmup(optimizer, warmup, T),
    "constant": get_constant_schedule_with_warmup,
    "inverse_sqrt": get_inverse_sqrt_schedule,
}
WITH_KEYS = [
    (
        {"name": "polynomial", "power": 3.0, "min_factor": 0.1},
        lambda optimizer, warmup: get_polynomial_decay_schedule_with_warmup(optimizer, warmup, T, 0.1, 3.0),
    ),
    (
        {"name": "cosine_restarts", "cycles": 3},
        lambda optimizer, warmup: get_cosine_with_hard_restarts_schedule_with_warmup(optimizer, warmup, T, 3),
    ),
    (
        {"name": "cosine", "min_factor": 0.2},
        lambda optimizer, warmup: get_cosine_with_min_lr_schedule_with_warmup(optimizer, warmup, T, min_lr_rate=0.2),
    ),
    (
        {"name": "wsd", "decay_fraction": 0.25},
        lambda optimizer, warmup: get_wsd_schedule(optimizer, warmup, 10, T, decay_type="linear"),
    ),
]
SMALL = {
    "bert": {"hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 24},
    "roberta": {"hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 24},
    "distilbert": {"dim": 16, "n_layers": 3, "n_heads": 2, "hidden_dim": 24},
    "modernbert": {"hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 24},
    "deberta-v2": {"hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 24},
    "electra": {
        "embedding_size": 8,
        "hidden_size": 16,
        "num_hidden_layers": 3,
        "num_attention_heads": 2,
        "intermediate_size": 24,
    },
}


def dummy() -> torch.optim.Optimizer:
    return torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)


@pytest.mark.parametrize(
    ("schedule", "of_transformers"),
    [*SCHEDULES.items(), *WITH_KEYS],
    ids=lambda value: None if callable(value) else str(value),  # a function's words hold its address
)
@pytest.mark.parametrize("warmup", [{"warmup_fraction": 0.0}, {"warmup_fraction": 0.11}, {"warmup_steps": 7}])
def test_schedules_are_those_of_transformers(schedule, of_transformers, warmup):
    config = TrainConfig(schedule=schedule, **warmup)
    optimizer = dummy()
    theirs = of_transformers(optimizer, config.warmup(T))
    for step in range(T):
        assert learning_rate_factor(config, step, T) == pytest.approx(theirs.get_last_lr()[0], abs=1e-9), step
        optimizer.step()
        theirs.step()


@pytest.mark.parametrize("warmup_steps", [8, 20])
def test_one_cycle_is_that_of_torch(warmup_steps):
    optimizer = dummy()
    theirs = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=1.0, total_steps=T, pct_start=warmup_steps / T)
    config = TrainConfig(schedule="one_cycle", warmup_steps=warmup_steps)
    for step in range(T):
        assert learning_rate_factor(config, step, T) == pytest.approx(theirs.get_last_lr()[0], abs=1e-9), step
        if step < T - 1:
            optimizer.step()
            theirs.step()


def test_a_schedule_depends_on_the_share_that_is_done_and_ends_low():
    for name in ("linear", "cosine", "one_cycle"):
        config = TrainConfig(schedule=name, warmup_fraction=0.1)
        assert learning_rate_factor(config, 500, 1000) == pytest.approx(
            learning_rate_factor(config, 5000, 10000), abs=2e-3
        )
        assert learning_rate_factor(config, 999, 1000) < 0.01


def stairs(share, total_steps):
    return 0.5 ** int(share * 4) if total_steps == T else 7.0


def negative(share, total_steps):
    return -share


def test_a_schedule_of_one_s_own_sees_the_share_after_the_warm_up():
    config = TrainConfig(schedule=f"{__name__}:stairs", warmup_steps=8)
    check_schedule(config)
    factors = [learning_rate_factor(config, step, T) for step in (0, 4, 8, 15, 16, 24, 32, 39, 40)]
    assert factors == [0, 0.5, 1, 1, 0.5, 0.25, 0.125, 0.125, 0.0625]
    with pytest.raises(ConfigError, match=r"negative' must return a number >= 0 for a share of 0.5, got -0.5"):
        check_schedule(TrainConfig(schedule=f"{__name__}:negative"))
    with pytest.raises(ConfigError, match="must return a factor for a share of 0: TypeError: .*positional argument"):
        check_schedule(TrainConfig(schedule=f"{__name__}:dummy"))


@pytest.mark.parametrize(
    ("schedule", "message"),
    [
        ("cosin", "train.schedule.name: must be linear, cosine, .* got 'cosin'"),
        (
            {"name": "cosine", "power": 3},
            "train.schedule.power: must be left out with the schedule cosine, it is of pol",
        ),
        (
            {"name": "constant", "min_factor": 0.1},
            "train.schedule.min_factor: must be left out with the schedule const",
        ),
        ({"name": "plateau", "factor": 1.5}, "train.schedule.factor: must be < 1"),
    ],
)
def test_keys_that_a_schedule_does_not_have_are_refused(schedule, message):
    with pytest.raises(ConfigError, match=message):
        validate_config({"train": {"schedule": schedule}})


def test_a_name_alone_stands_in_ids_as_it_always_did():
    assert TrainConfig(schedule="cosine").identity(())["schedule"] == "cosine"
    assert (
        TrainConfig(schedule={"name": "wsd", "decay_fraction": 0.5}).identity(())["schedule"]["decay_fraction"] == 0.5
    )


@pytest.mark.parametrize("direction", ["max", "min"])
@pytest.mark.parametrize("patience", [1, 2, 3])
@pytest.mark.parametrize("min_change", [0.0, 0.04])
def test_a_plateau_is_that_of_torch(direction, patience, min_change):
    scores = [0.5, 0.6, 0.63, 0.6, 0.6, 0.61, 0.7, 0.7, 0.7, 0.7, 0.74, 0.75, 0.72, 0.71, 0.78, 0.7, 0.7, 0.7, 0.7]
    metric = "accuracy" if direction == "max" else "loss"
    rule = {"name": "plateau", "factor": 0.5, "patience": patience, "min_change": min_change, "min_factor": 0.1}
    config = TrainConfig(schedule=rule, early_stopping={"metric": metric}, warmup_steps=0)
    optimizer = dummy()
    theirs = torch.optim.lr_scheduler.ReduceLROnPlateau(
        optimizer, direction, 0.5, patience - 1, min_change, "abs", min_lr=0.1
    )
    rows = []
    for number, score in enumerate(scores):
        rows.append({"step": number + 1, f"validation_{metric}": score})
        theirs.step(score)
        assert plateau_factor(config, rows, RunLength(T, 8)) == pytest.approx(optimizer.param_groups[0]["lr"]), number


def test_evaluations_inside_the_warm_up_do_not_count_for_a_plateau():
    config = TrainConfig(schedule="plateau", warmup_steps=20)
    rows = [{"step": step, "pass": step / 20, "validation_accuracy": 0.5} for step in (8, 16, 24, 32, 40)]
    assert plateau_factor(config, rows, RunLength(T, 8)) == 0.25
    assert plateau_factor(config, rows, RunLength(T, 8, passes=4.0)) == 1.0  # 2 of 4 passes are 20 of 40
    assert plateau_factor(TrainConfig(), rows, RunLength(T, 8)) == 1.0


def test_weight_decay_moves_in_a_straight_line():
    config = TrainConfig(weight_decay=0.1, final_weight_decay=0.3)
    assert [weight_decay_at(config, step, 40) for step in (0, 20)] == pytest.approx([0.1, 0.2])
    assert weight_decay_at(TrainConfig(weight_decay=0.1), 39, 40) == 0.1


def test_two_ways_to_say_warmup_are_one_too_many():
    with pytest.raises(ConfigError, match="must have `warmup_steps` or `warmup_fraction`, not both"):
        validate_config({"train": {"warmup_steps": 5, "warmup_fraction": 0.2}})
    assert TrainConfig(warmup_steps=500).warmup(40) == 40


@pytest.mark.parametrize("model_type", SMALL)
def test_every_architecture_has_embeddings_three_layers_and_a_top(model_type):
    config = AutoConfig.for_model(model_type, vocab_size=40, pad_token_id=0, num_labels=2, **SMALL[model_type])
    model = AutoModelForSequenceClassification.from_config(config)
    rates = {}
    settings = TrainConfig(learning_rate=1.0, layer_decay=0.5, head_learning_rate=3.0)
    optimizer = build_optimizer(model, settings)
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    for group in optimizer.param_groups:
        rates |= {names[id(parameter)]: group["peak"] for parameter in group["params"]}
    assert len(rates) == len(names)  # nothing is left out, nothing twice
    prefix = model.base_model_prefix
    assert all(rate == 3.0 for name, rate in rates.items() if not name.startswith(f"{prefix}."))
    inside = {name[len(prefix) + 1 :]: rate for name, rate in rates.items() if name.startswith(f"{prefix}.")}
    assert all(rate == 0.5**4 for name, rate in inside.items() if name.startswith("embeddings."))
    for layer in range(3):
        of_layer = {rate for name, rate in inside.items() if f"layer.{layer}." in name or f"layers.{layer}." in name}
        assert of_layer == {0.5 ** (3 - layer)}
    _, num_layers = layer_depths(model.base_model)
    assert num_layers == 3


def test_one_rate_for_all_by_default_and_steps_scale_every_group(tiny_bert):
    model = load_classifier(tiny_bert, ("x", "y"), 0)
    optimizer = build_optimizer(model, TrainConfig(learning_rate=2e-3, weight_decay=0.3))
    assert [(group["peak"], group["weight_decay"]) for group in optimizer.param_groups] == [(2e-3, 0.3), (2e-3, 0.0)]
    tuned = build_optimizer(model, TrainConfig(learning_rate=1e-3, head_learning_rate=1e-2, layer_decay=0.9))
    set_step(tuned, 0.5, 0.7)
    for group in tuned.param_groups:
        assert group["lr"] == group["peak"] * 0.5
        assert group["weight_decay"] == (0.7 if group["is_decayed"] else 0.0)
    assert max(group["peak"] for group in tuned.param_groups) == 1e-2
    assert min(group["peak"] for group in tuned.param_groups) == pytest.approx(1e-3 * 0.9**3)
    assert math.isclose(sum(len(group["params"]) for group in tuned.param_groups), len(list(model.parameters())))
