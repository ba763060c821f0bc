"""Passes whose plan says who is together in an optimizer step, and in which order: the loop keeps both."""

from dataclasses import dataclass, field

import numpy as np
import pytest
import torch

from raybert.config import TrainConfig
from raybert.data import TokenizedData, collate
from raybert.models import load_classifier
from raybert.training import FitRequest, LocalSurroundings, PassPlan, fit
from raybert.training.state import pack_plan, unpack_plan
from tests.processes import on_ranks
from tests.training.stop_after import StopAfter

CONFIG = TrainConfig(batch_size=8, learning_rate=1e-3, precision="fp32", checkpoint_seconds=0, eval_every=1)
BATCHES = ([7, 3, 95, 0, 21], [50, 2], [90, 4, 1, 88, 6, 33, 12, 11])
"""Of different sizes, the largest in the end; neither sorted nor of similar length."""


class Given:
    """Passes of given batches; odd passes take them backwards."""

    def next_pass(self, number, previous, view):
        if number:
            assert previous.batches is not None
            assert [part.tolist() for part in previous.batches] == [list(part) for part in batches_of(number - 1)]
        weights = np.where(np.concatenate(batches_of(number)) < 40, 0.5, 1.5).astype(np.float32)
        return PassPlan.of_batches(batches_of(number), weights)


def batches_of(number: int) -> tuple[list[int], ...]:
    return BATCHES[::-1] if number % 2 else BATCHES


@dataclass(frozen=True)
class Watched(TokenizedData):
    """Data that remember which rows of the pool became inputs, in their order."""

    asked: list = field(default_factory=list)

    def batch(self, table, positions):
        if table is self.train:
            self.asked.append(positions.tolist())
        return super().batch(table, positions)


def train(encoder, data, config=CONFIG, *, surroundings=None, model_seed=0, dropout=None, total_steps=7, **length):
    model = load_classifier(encoder, data.label_names, model_seed, **({} if dropout is None else {"dropout": dropout}))
    request = FitRequest(config, total_steps, seed=4, **length)
    return fit(model, data, Given(), request, surroundings or LocalSurroundings()), model


def test_every_step_is_the_batch_that_the_plan_says(tiny_bert, tokens):
    data = Watched(**vars(tokens))
    result, _ = train(tiny_bert, data)
    expected = [*BATCHES, *BATCHES[::-1], BATCHES[0]]
    assert data.asked == [list(part) for part in expected]
    assert result.optimizer_steps == 7
    assert result.samples_per_pass == (15, 15, 15)
    assert [row["pass"] for row in result.rows] == pytest.approx([1 / 3, 2 / 3, 1, 4 / 3, 5 / 3, 2, 7 / 3], abs=1e-4)


def test_the_first_loss_is_that_of_the_first_batch(tiny_bert, tokens):
    result, _ = train(tiny_bert, tokens, dropout=0.0, total_steps=1)
    model = load_classifier(tiny_bert, tokens.label_names, 0, dropout=0.0).eval()
    inputs = collate(tokens.train, np.array(BATCHES[0]), 0, False)
    labels = inputs.pop("labels")
    with torch.no_grad():
        expected = torch.nn.functional.cross_entropy(model(**inputs).logits, labels).item()
    assert result.rows[0]["train_loss"] == pytest.approx(expected, rel=1e-5)


def test_micro_batches_are_parts_of_a_batch_in_its_order(tiny_bert, tokens):
    data = Watched(**vars(tokens))
    train(tiny_bert, data, CONFIG.model_copy(update={"micro_batch_size": 3}), total_steps=2)
    assert data.asked == [[7, 3, 95], [0, 21], [50, 2]]


@pytest.mark.parametrize(
    ("length", "seen", "steps"),
    [({"passes": 2.0}, [5, 7, 15, 23, 25, 30], 6), ({"examples": 13}, [5, 7, 13], 3)],
)
def test_a_run_may_be_as_long_as_its_passes_or_examples(tiny_bert, tokens, length, seen, steps):
    data = Watched(**vars(tokens))
    result, _ = train(tiny_bert, data, total_steps=24, **length)
    assert [row["examples_seen"] for row in result.rows] == seen
    assert result.optimizer_steps == steps
    if "examples" in length:  # the last batch is cut
        assert data.asked[-1] == list(BATCHES[2][:6])


@pytest.mark.slow
@pytest.mark.parametrize("steps", [1, 3, 4])
def test_a_run_that_is_stopped_inside_a_pass_goes_on_bit_identically(tiny_bert, tokens, tmp_path, steps):
    whole, expected = train(tiny_bert, tokens)
    first, _ = train(tiny_bert, tokens, surroundings=StopAfter(tmp_path, steps))
    assert first.stopped
    assert first.optimizer_steps == steps
    torch.manual_seed(999)
    second, model = train(tiny_bert, tokens, surroundings=LocalSurroundings(checkpoint_folder=tmp_path), model_seed=7)
    for name, tensor in expected.state_dict().items():
        assert torch.equal(model.state_dict()[name], tensor)
    np.testing.assert_array_equal(second.train_losses, whole.train_losses)
    assert second.samples_per_pass == whole.samples_per_pass


def _train_as_rank(rank, world_size, tokens, encoder):
    data = Watched(**vars(tokens))
    surroundings = LocalSurroundings(rank=rank, world_size=world_size)
    result, _ = train(encoder, data, dropout=0.0, surroundings=surroundings)
    return [row["train_loss"] for row in result.rows], result.test_probs, data.asked


@pytest.mark.slow
def test_two_ranks_share_each_batch(tiny_bert, tokens):
    losses, probs, _ = _train_as_rank(0, 1, tokens, tiny_bert)
    (first, second) = on_ranks(_train_as_rank, 2, 2, tokens, tiny_bert)
    np.testing.assert_allclose(first[0], losses, rtol=1e-5)
    np.testing.assert_allclose(first[1], probs, atol=1e-5)
    assert first[2][:3] == [list(part[::2]) for part in BATCHES]
    assert second[2][:3] == [list(part[1::2]) for part in BATCHES]


def test_in_order_cuts_positions_as_they_come():
    plan = PassPlan.in_order(np.array([9, 1, 8, 2, 7]), 2, np.arange(5, dtype=np.float32))
    assert [part.tolist() for part in plan.batches] == [[9, 1], [8, 2], [7]]
    assert plan.positions.tolist() == [9, 1, 8, 2, 7]
    assert plan.weights.tolist() == [0, 1, 2, 3, 4]


def test_a_checkpoint_has_the_batches_and_one_of_raybert_01_has_none():
    packed = pack_plan(PassPlan.of_batches(BATCHES))
    assert [part.tolist() for part in unpack_plan(packed).batches] == [list(part) for part in BATCHES]
    del packed["batch_sizes"]
    assert unpack_plan(packed).batches is None
    assert unpack_plan(pack_plan(PassPlan(np.arange(3)))).batches is None
