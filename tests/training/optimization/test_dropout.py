import math

import numpy as np
import pytest
import torch
from torch.nn import functional

from raybert.config import TrainConfig
from raybert.models import load_classifier
from raybert.training import FitRequest, FixedPasses, LocalSurroundings, fit
from raybert.training.optimization.dropout import FastDropout, draw_mask


@pytest.mark.parametrize("p", [0.1, 0.3, 0.5])
def test_the_share_of_zeros_is_p_and_the_mean_is_one(p):
    torch.manual_seed(0)
    mask = draw_mask(torch.empty(1000, 1000), p)
    deviation = math.sqrt(p * (1 - p) / 1e6)
    assert abs((mask == 0).double().mean().item() - p) < 4 * deviation + 2**-17
    assert abs(mask.double().mean().item() - 1) < 5 * deviation / (1 - p)
    assert mask.unique().tolist() == pytest.approx([0, 1 / (1 - p)], rel=1e-4)


def test_neighbours_and_calls_are_independent():
    torch.manual_seed(1)
    first, second = (draw_mask(torch.empty(1, 400_000), 0.1)[0] == 0 for _ in range(2))
    pairs = [(first[:-1], first[1:]), (first[:-4], first[4:]), (first, second)]
    for one, other in pairs:
        assert abs((one & other).double().mean().item() - 0.01) < 5 * math.sqrt(0.01 * 0.99 / 400_000)


def test_the_masks_follow_from_torchs_generator_alone():
    values = torch.randn(3, 5, 7)
    masks = []
    for _ in range(2):
        torch.manual_seed(5)
        np.random.seed(len(masks))  # noqa: NPY002 - shows that the global one plays no part
        masks.append(torch.cat([draw_mask(values, 0.4), draw_mask(values, 0.4)]))
    assert torch.equal(*masks)


def test_dropout_multiplies_values_and_gradients_by_the_mask():
    values = torch.randn(64, 32, requires_grad=True)
    torch.manual_seed(2)
    with FastDropout():
        dropped = torch.nn.Dropout(0.25)(values)
    dropped.sum().backward()
    torch.manual_seed(2)
    mask = draw_mask(values, 0.25)
    assert torch.equal(dropped, values * mask)
    assert torch.equal(values.grad, mask)


def test_nothing_is_drawn_in_eval_mode_or_at_p_0():
    values = torch.randn(8, 8)
    state = torch.get_rng_state()
    with FastDropout():
        assert torch.nn.Dropout(0.5).eval()(values) is values
        assert torch.nn.Dropout(0.0)(values) is values
    assert torch.equal(state, torch.get_rng_state())


@pytest.mark.parametrize("kind", ["none", "bool", "float"])
def test_attention_without_dropped_probabilities_is_that_of_torch(kind):
    query, key, value = torch.randn(3, 2, 4, 6, 8)
    allowed = torch.ones(2, 1, 6, 6, dtype=torch.bool)
    allowed[:, :, :, 4:] = False
    mask = {"none": None, "bool": allowed, "float": torch.zeros(2, 1, 6, 6).masked_fill(~allowed, -1e9)}[kind]
    expected = functional.scaled_dot_product_attention(query, key, value, mask)
    with FastDropout():  # a probability below a 131,072nd is rounded to 0
        computed = functional.scaled_dot_product_attention(query, key, value, attn_mask=mask, dropout_p=1e-6)
    torch.testing.assert_close(computed, expected)


def test_attention_drops_probabilities_not_values():
    query, key = torch.randn(2, 3, 4, 16, 8)
    value = torch.eye(16).expand(3, 4, 16, 16)
    torch.manual_seed(3)
    with FastDropout():
        probs = functional.scaled_dot_product_attention(query, key, value, dropout_p=0.5)
    torch.manual_seed(3)
    plain = functional.scaled_dot_product_attention(query, key, value)
    torch.testing.assert_close(probs, plain * draw_mask(plain, 0.5))


def train(encoder, tokens, precision, **settings):
    config = TrainConfig(batch_size=16, precision=precision, **settings)
    model = load_classifier(encoder, tokens.label_names, 0)
    epochs = FixedPasses(np.arange(96))
    result = fit(model, tokens, epochs, FitRequest(config, total_steps=6, seed=4), LocalSurroundings())
    return result.train_losses


@pytest.mark.slow
def test_checkpointed_activations_draw_torchs_own_masks(tiny_bert, tokens):
    # The second forward pass of a checkpointed layer happens outside the mode; equal gradients need equal masks.
    plain, fast = (train(tiny_bert, tokens, "bf16", gradient_checkpointing=on) for on in (True, False))
    assert np.isfinite(plain).any()
    assert not np.array_equal(plain, fast, equal_nan=True)
