"""Optimizers by name: they are those of torch, Lion is that of its paper, and all go on exactly from a checkpoint."""

import io

import numpy as np
import pytest
import torch
from torch import nn

from raybert.config import OptimizerConfig, TrainConfig, validate_config
from raybert.errors import ConfigError
from raybert.models import load_classifier
from raybert.training import FitRequest, FixedPasses, LocalSurroundings, fit
from raybert.training.optimization.lion import Lion
from raybert.training.optimization.named import check_optimizer, states_per_parameter
from raybert.training.optimization.optimizer import build_optimizer, set_step
from tests.training.stop_after import StopAfter

HERE = "tests.training.optimization.test_named"
ALL = [
    {"name": "adafactor"},
    {"name": "adafactor", "options": {"beta2_decay": -0.7, "d": 2.0}},
    {"name": "sgd"},
    {"name": "sgd", "momentum": 0.9, "nesterov": True},
    {"name": "sgd", "momentum": 0.5, "options": {"dampening": 0.1}},
    {"name": "lion"},
    {"name": "torch.optim.NAdam"},
    {"name": "torch.optim.Adagrad"},
    {"name": "torch.optim.RMSprop", "options": {"alpha": 0.9, "momentum": 0.3}},
    {"name": f"{HERE}:amsgrad", "options": {"betas": [0.8, 0.9]}},
]
SAME_IN_TORCH = {
    "adafactor": torch.optim.Adafactor,
    "sgd": torch.optim.SGD,
    "torch.optim.NAdam": torch.optim.NAdam,
    "torch.optim.Adagrad": torch.optim.Adagrad,
    "torch.optim.RMSprop": torch.optim.RMSprop,
    f"{HERE}:amsgrad": lambda groups, **options: torch.optim.AdamW(groups, amsgrad=True, **options),
}


def amsgrad(groups, betas=(0.9, 0.999)):
    return torch.optim.AdamW(groups, betas=betas, amsgrad=True)


def of_one_group(groups):
    return torch.optim.SGD([weights for group in groups for weights in group["params"]], lr=0.1)


def of_nothing(groups):
    return groups


def raising(groups):
    raise RuntimeError("no such thing\nand more")


class Forgetful(torch.optim.SGD):
    def state_dict(self):
        return {**super().state_dict(), "path": io.StringIO()}


def trained(config, steps, again_after=None):
    """Return the weights of a small net after some steps, with its optimizer taken through a file on the way."""
    torch.manual_seed(1)
    net = nn.Sequential(nn.Linear(4, 5), nn.LayerNorm(5), nn.Linear(5, 2))
    optimizer = build_optimizer(net, config)
    inputs, labels = torch.randn(12, 4), torch.arange(12) % 2
    for step in range(steps):
        if step == again_after:
            kept = io.BytesIO()
            torch.save(optimizer.state_dict(), kept)
            kept.seek(0)
            optimizer = build_optimizer(net, config)
            optimizer.load_state_dict(torch.load(kept, weights_only=True))
        set_step(optimizer, 1 / (1 + step), 0.1)
        nn.functional.cross_entropy(net(inputs), labels).backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
    return [parameter.detach().clone() for parameter in net.parameters()], optimizer


def config_of(optimizer, **train):
    return validate_config({"train": {"learning_rate": 0.01, "optimizer": optimizer, **train}}).train


@pytest.mark.parametrize("optimizer", ALL, ids=str)
def test_every_optimizer_goes_on_bit_identically_and_is_that_of_torch(optimizer):
    config = config_of(optimizer)
    weights, made = trained(config, 5)
    for one, other in zip(weights, trained(config, 5, again_after=2)[0], strict=True):
        assert torch.equal(one, other)
    assert [group["weight_decay"] for group in made.param_groups] == [0.1, 0.0]
    if optimizer["name"] not in SAME_IN_TORCH:
        return
    # The same steps with the class of torch, written down here.
    torch.manual_seed(1)
    net = nn.Sequential(nn.Linear(4, 5), nn.LayerNorm(5), nn.Linear(5, 2))
    matrices, rest = [net[0].weight, net[2].weight], [net[0].bias, net[1].weight, net[1].bias, net[2].bias]
    options = {key: value for key, value in optimizer.items() if key not in ("name", "options")}
    theirs = SAME_IN_TORCH[optimizer["name"]](
        [{"params": matrices, "weight_decay": 0.1, "lr": 0.01}, {"params": rest, "weight_decay": 0.0, "lr": 0.01}],
        **options,
        **optimizer.get("options", {}),
    )
    inputs, labels = torch.randn(12, 4), torch.arange(12) % 2
    for step in range(5):
        for group in theirs.param_groups:
            group["lr"] = 0.01 / (1 + step)
        nn.functional.cross_entropy(net(inputs), labels).backward()
        theirs.step()
        theirs.zero_grad()
    for one, other in zip(weights, net.parameters(), strict=True):
        assert torch.equal(one, other)


def test_lion_moves_by_signs_as_in_its_paper():
    weights = nn.Parameter(torch.tensor([1.0, -2.0, 0.5]))
    untouched = nn.Parameter(torch.tensor([3.0]))
    optimizer = Lion([weights, untouched], lr=0.1, betas=(0.9, 0.99), weight_decay=0.5)
    weights.grad = torch.tensor([2.0, -1.0, 0.0])
    optimizer.step()
    # w (1 - 0.1 * 0.5) - 0.1 sign(0.9 * 0 + 0.1 g); m = 0.01 g.
    torch.testing.assert_close(weights.detach(), torch.tensor([0.95 - 0.1, -1.9 + 0.1, 0.475]))
    torch.testing.assert_close(optimizer.state[weights]["exp_avg"], torch.tensor([0.02, -0.01, 0.0]))
    weights.grad = torch.tensor([-0.1, -1.0, 0.0])
    optimizer.step()
    # 0.9 * 0.02 + 0.1 * -0.1 = 0.008: up to here the sign of the average, not of the gradient.
    torch.testing.assert_close(weights.detach(), torch.tensor([0.85 * 0.95 - 0.1, -1.8 * 0.95 + 0.1, 0.475 * 0.95]))
    torch.testing.assert_close(optimizer.state[weights]["exp_avg"], torch.tensor([0.0188, -0.0199, 0.0]))
    assert untouched.item() == 3.0


def test_adamw_is_made_as_before_and_its_ids_stay():
    config = TrainConfig()
    optimizer = build_optimizer(nn.Linear(2, 2), config)
    assert type(optimizer) is torch.optim.AdamW
    assert (optimizer.defaults["fused"], optimizer.defaults["betas"], optimizer.defaults["eps"]) == (
        True,
        (0.9, 0.999),
        1e-8,
    )
    assert "optimizer" not in config.identity(())
    assert config_of("sgd").identity(())["optimizer"]["name"] == "sgd"
    assert states_per_parameter(config) == 2.0
    assert [states_per_parameter(config_of(one)) for one in ("lion", "sgd", "adafactor")] == [1.0, 0.0, 0.0]


def test_a_name_alone_is_short_for_a_section():
    assert config_of("lion") == config_of({"name": "lion"})
    assert config_of(None).optimizer == OptimizerConfig()


@pytest.mark.parametrize(
    ("train", "message"),
    [
        ({"optimizer": "adam"}, "train.optimizer.name: must be adamw, adafactor, sgd, lion, a class of torch such as"),
        ({"optimizer": "sgd", "betas": [0.8, 0.9]}, "train.betas: must be left out with the optimizer sgd, it is of"),
        ({"optimizer": "lion", "epsilon": 1e-6}, "train.epsilon: must be left out with the optimizer lion"),
        ({"optimizer": {"name": "lion", "momentum": 0.9}}, "train.optimizer.momentum: must be left out with the opt"),
        (
            {"optimizer": {"name": "sgd", "nesterov": True}},
            "train.optimizer.nesterov: must be false without `momentum`",
        ),
        ({"optimizer": {"name": "lion", "options": {"lr": 1}}}, "must not have `lr`, which is `train.learning_rate`"),
        ({"optimizer": {"options": {"eps": 1}}}, "train.optimizer.options: must not have `eps`, which is `train.epsi"),
    ],
)
def test_keys_that_an_optimizer_does_not_have_are_refused(train, message):
    with pytest.raises(ConfigError) as caught:
        validate_config({"train": train})
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("optimizer", "message"),
    [
        ("torch.optim.Nadam", r"torch [\d.+\w]+ has no 'torch.optim.Nadam'; did you mean 'NAdam'\?"),
        ("torch.optim.LBFGS", "'torch.optim.LBFGS' .*must be able|cannot be made"),
        ("torch.optim.Muon", "train.optimizer: 'torch.optim.Muon' cannot be made: ValueError: Muon only supports 2D"),
        ("torch.optim.SparseAdam", "must be able to do a step .*: RuntimeError: SparseAdam does not support dense"),
        ({"name": "lion", "options": {"beta": 1}}, "'lion' cannot be made with beta: TypeError: .*'beta'"),
        (f"{HERE}:raising", f"train.optimizer: '{HERE}:raising' cannot be made: RuntimeError: no such thing$"),
        (f"{HERE}:of_nothing", "must return a torch.optim.Optimizer, got list"),
        (f"{HERE}:of_one_group", "must return an optimizer of the groups that it is given"),
        (f"{HERE}:Forgetful", "must be able to do a step and to go on from its `state_dict`"),
        (f"{HERE}:HERE", "must be callable"),
        (f"{HERE}:nowhere", "the module has no 'nowhere'"),
    ],
)
def test_what_cannot_train_is_refused_before_it_does(optimizer, message):
    with pytest.raises(ConfigError, match=message):
        check_optimizer(config_of(optimizer))


def test_a_decay_of_an_optimizer_without_one_is_refused():
    with pytest.raises(ConfigError, match="train.weight_decay: must be left out with the optimizer torch.optim.Rprop"):
        check_optimizer(config_of("torch.optim.Rprop", weight_decay=0.1))
    check_optimizer(config_of("torch.optim.Rprop"))


@pytest.mark.slow
@pytest.mark.parametrize(
    "optimizer",
    [
        {"name": "sgd", "momentum": 0.9, "nesterov": True},
        *(pytest.param({"name": name}, marks=pytest.mark.long) for name in ("adafactor", "lion", "torch.optim.NAdam")),
        pytest.param({"name": f"{HERE}:amsgrad"}, marks=pytest.mark.long),
    ],
    ids=str,
)
def test_a_run_that_is_stopped_continues_bit_identically(tiny_bert, tokens, tmp_path, optimizer):
    config = validate_config(
        {
            "train": {
                "optimizer": optimizer,
                "batch_size": 16,
                "learning_rate": 1e-3,
                "precision": "fp32",
                "checkpoint_seconds": 0,
                "layer_decay": 0.9,
                "head_learning_rate": 2e-3,
                "final_weight_decay": 0.2,
                "eval_every": 3,
            }
        }
    ).train

    def run(model_seed, surroundings):
        model = load_classifier(tiny_bert, tokens.label_names, model_seed)
        request = FitRequest(config, 7, seed=4)
        result = fit(model, tokens, FixedPasses(np.arange(96)), request, surroundings)
        return result, {name: tensor.clone() for name, tensor in model.state_dict().items()}

    whole, expected = run(0, LocalSurroundings())
    assert run(0, StopAfter(tmp_path, 4))[0].stopped
    torch.manual_seed(999)
    second, state = run(7, LocalSurroundings(checkpoint_folder=tmp_path))
    assert all(torch.equal(expected[name], state[name]) for name in expected)
    np.testing.assert_array_equal(second.test_probs, whole.test_probs)
    np.testing.assert_array_equal(second.train_losses, whole.train_losses)
