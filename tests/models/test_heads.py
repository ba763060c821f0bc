"""Heads and pooling of ours: by hand, saved and loaded, frozen, and able to learn anything small by heart."""

import numpy as np
import pytest
import torch

import raybert
from raybert.config import HeadConfig, LossConfig, ModelConfig, TrainConfig, validate_config
from raybert.errors import ConfigError, ModelError
from raybert.models import build_classifier, load_classifier
from raybert.models.layers import layer_depths
from raybert.models.pooled import Pooling, build_head
from raybert.training import FitRequest, FixedPasses, Inference, LocalSurroundings, fit
from raybert.training.optimization.optimizer import build_optimizer

HEADS = [
    None,
    {"name": "linear"},
    {"name": "mlp", "sizes": (24, 16)},
    {"name": "residual", "blocks": 2},
]


def classifier(encoder, names, seed=0, **model):
    return build_classifier(encoder, names, seed, ModelConfig(**model))


def test_pooling_by_hand():
    hidden = torch.tensor([[[1.0, -5.0], [3.0, -1.0], [100.0, 100.0]], [[2.0, 2.0], [0.0, 0.0], [0.0, 0.0]]])
    mask = torch.tensor([[1, 1, 0], [1, 0, 0]])
    assert Pooling("cls", 2)(hidden, mask).tolist() == [[1, -5], [2, 2]]
    assert Pooling("mean", 2)(hidden, mask).tolist() == [[2, -3], [2, 2]]
    assert Pooling("max", 2)(hidden, mask).tolist() == [[3, -1], [2, 2]]
    attention = Pooling("attention", 2)
    with torch.no_grad():
        attention.score.weight.copy_(torch.tensor([[np.log(3.0) / 2, 0.0]]))
        attention.score.bias.fill_(7.0)
    torch.testing.assert_close(attention(hidden, mask)[0], torch.tensor([2.5, -2.0]))  # shares 1/4 and 3/4


def test_a_residual_block_by_hand():
    head = build_head(HeadConfig(name="residual", blocks=1, dropout=0.0), 4, 2).eval()
    block, x = head[0], torch.tensor([[1.0, 2.0, 3.0, 6.0]])
    normal = (x - 3.0) / torch.sqrt(torch.tensor(3.5) + 1e-5)
    expected = x + torch.nn.functional.gelu(normal @ block.linear.weight.T + block.linear.bias)
    torch.testing.assert_close(block(x), expected)
    assert [type(layer).__name__ for layer in head] == ["ResidualBlock", "LayerNorm", "Dropout", "Linear"]


@pytest.mark.parametrize("pooling", ["cls", "mean", "max", "attention"])
@pytest.mark.parametrize("head", HEADS[1:])
def test_a_head_is_loaded_as_it_was_saved(tiny_bert, tokens, tmp_path, pooling, head):
    model = classifier(tiny_bert, tokens.label_names, 3, pooling=pooling, head=head)
    rows = np.array([3, 90, 1])
    expected = Inference(model, tokens, "fp32").probs(tokens.train, rows)
    model.save_pretrained(tmp_path / "best")
    loaded = raybert.load_model(tmp_path / "best")
    np.testing.assert_array_equal(Inference(loaded, tokens, "fp32").probs(tokens.train, rows), expected)
    assert loaded.label_names == tokens.label_names


def test_the_seed_decides_the_head_and_a_used_model_is_as_new(tiny_bert, tokens):
    options = {"pooling": "attention", "head": {"name": "mlp"}}
    first = classifier(tiny_bert, tokens.label_names, 1, **options)
    state = {name: tensor.clone() for name, tensor in first.state_dict().items()}
    with torch.no_grad():
        for parameter in first.parameters():
            parameter.add_(1.0)
    random_state = torch.get_rng_state()
    again = classifier(tiny_bert, tokens.label_names, 1, **options)
    assert torch.equal(torch.get_rng_state(), random_state)
    assert again is first
    assert all(torch.equal(tensor, state[name]) for name, tensor in again.state_dict().items())
    other = classifier(tiny_bert, tokens.label_names, 2, **options)
    changed = {name for name, tensor in other.state_dict().items() if not torch.equal(tensor, state[name])}
    assert changed == {
        "pooling.score.weight",
        "pooling.score.bias",
        "head.1.weight",
        "head.1.bias",
        "head.4.weight",
    }


@pytest.mark.parametrize("head", HEADS)
def test_frozen_parts_are_not_trained_and_a_next_run_has_them_all(tiny_bert, tokens, head):
    model = classifier(tiny_bert, tokens.label_names, head=head, freeze_embeddings=True, freeze_layers=1)
    before = {name: tensor.clone() for name, tensor in model.named_parameters()}
    depths, _ = layer_depths(model.base_model)
    frozen = {name for name, p in model.named_parameters() if depths.get(id(p), 9) <= 1}
    assert any("embeddings" in name for name in frozen)
    assert any("layer.0" in name for name in frozen)
    fit_all(model, tokens, TrainConfig(batch_size=16, learning_rate=1e-3, precision="fp32", eval_every=3), steps=3)
    unchanged = {name for name, tensor in model.named_parameters() if torch.equal(tensor, before[name])}
    assert frozen <= unchanged
    assert not any("layer.1" in name and name.endswith("dense.weight") for name in unchanged)
    model = classifier(tiny_bert, tokens.label_names, head=head)
    assert all(parameter.requires_grad for parameter in model.parameters())
    with pytest.raises(ModelError, match=r"model.freeze_layers: must be in 0..2 \(layers of the encoder\), got 3"):
        classifier(tiny_bert, tokens.label_names, head=head, freeze_layers=3)


def test_a_head_of_ours_has_the_head_s_learning_rate(tiny_bert, tokens):
    model = classifier(tiny_bert, tokens.label_names, head={"name": "mlp"})
    config = TrainConfig(learning_rate=1e-4, head_learning_rate=1e-2, layer_decay=0.5)
    peaks = {id(p): group["peak"] for group in build_optimizer(model, config).param_groups for p in group["params"]}
    named = {name: peaks[id(parameter)] for name, parameter in model.named_parameters()}
    assert {peak for name, peak in named.items() if name.startswith("head.")} == {1e-2}
    assert named["backbone.embeddings.word_embeddings.weight"] == pytest.approx(1e-4 * 0.5**3)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ({"head": "resnet"}, "model.head.name: must be one of linear, mlp, residual|model.head.name"),
        ({"head": {"name": "linear", "sizes": [8]}}, "model.head.sizes: must be left out, it belongs to the head mlp"),
        ({"head": {"name": "mlp", "sizes": []}}, "model.head.sizes"),
        ({"pooling": "median"}, "model.pooling"),
    ],
)
def test_a_wrong_model_section_is_refused(model, message):
    with pytest.raises(ConfigError, match=message):
        validate_config({"model": model})


def fit_all(model, tokens, config, steps, rows=64):
    return fit(
        model,
        tokens,
        FixedPasses(np.arange(rows)),
        FitRequest(config, steps, seed=0),
        LocalSurroundings(),
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("head", "precision"),
    [
        *((head, "fp32") for head in HEADS),
        *(pytest.param(head, kind, marks=pytest.mark.long) for kind in ("bf16", "fp16") for head in HEADS),
    ],
)
def test_every_head_learns_64_examples_by_heart_in_every_precision(tiny_bert, tokens, head, precision):
    model = classifier(tiny_bert, tokens.label_names, head=head, dropout=0.0)
    config = TrainConfig(batch_size=16, learning_rate=3e-3, precision=precision, weight_decay=0.0, eval_every=120)
    fit_all(model, tokens, config, steps=120)
    probs = Inference(model, tokens, precision).probs(tokens.train, np.arange(64))
    assert (probs.argmax(1) == tokens.train.labels[:64]).mean() == 1.0


@pytest.mark.slow
@pytest.mark.parametrize(
    "loss",
    [
        {"label_smoothing": 0.1},
        {"class_weights": "inverse"},
        {"class_weights": "effective"},
        {"name": "focal"},
    ],
)
def test_every_loss_learns_64_examples_by_heart(tiny_bert, tokens, loss):
    model = load_classifier(tiny_bert, tokens.label_names, 0, dropout=0.0)
    config = TrainConfig(
        batch_size=16, learning_rate=3e-3, precision="fp32", weight_decay=0.0, eval_every=120, loss=LossConfig(**loss)
    )
    fit_all(model, tokens, config, steps=120)
    probs = Inference(model, tokens, "fp32").probs(tokens.train, np.arange(64))
    assert (probs.argmax(1) == tokens.train.labels[:64]).mean() == 1.0
