"""The loss of pretraining: that of transformers on the same masks, whatever micro-batches and ranks."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from transformers import DataCollatorForLanguageModeling

from raybert.config import TrainConfig
from raybert.config.pretrain import ContrastiveConfig
from raybert.pretraining.contrast import contrastive_losses, pooled
from raybert.pretraining.masking import Masking
from raybert.pretraining.objective import Pretraining
from raybert.training import FitRequest, FixedPasses, LocalSurroundings, fit
from tests.pretraining.packed import model, packed, tokenizer
from tests.processes import on_ranks

FAST = TrainConfig(
    batch_size=16, learning_rate=1e-3, precision="fp32", checkpoint_seconds=0, best_metric="loss", eval_every=4
)


class OfTheCollator(Masking):
    """Masks that transformers' collator has drawn."""

    def with_masks(self, masks):
        object.__setattr__(self, "masks", masks)
        return self

    def draw(self, seed, number, sequence, ids, begins_word):
        read, labels = (row[: len(ids)].numpy() for row in self.masks[sequence])
        return read, labels != -100


def objective_of(reader, data, *, masked=True, contrastive=None, seed=3):
    masking = Masking.of(tokenizer()) if masked else None
    return Pretraining(reader, data, seed, "fp32", masking, contrastive)


def loss_of(objective, positions):
    inputs = objective.inputs(positions)
    denominators = objective.denominators(positions)
    losses = objective.losses(objective.forward(objective.model, inputs), inputs)
    return sum(term.sum() / d for term, d in zip(losses.terms, denominators, strict=True)), losses


def train(reader, data, config=FAST, *, steps=8, surroundings=None, **options):
    result = fit(
        reader,
        data,
        FixedPasses(np.arange(len(data.train))),
        FitRequest(config, steps, seed=4, evaluate_test=False),
        surroundings or LocalSurroundings(),
        objective_of(reader, data, **options),
    )
    return result, {name: tensor.clone() for name, tensor in reader.state_dict().items()}


@pytest.mark.parametrize("kind", ["bert", "modernbert"])
def test_the_loss_is_that_of_transformers_on_the_masks_of_its_collator(kind):
    reader, data = model(kind), packed(40, alone=True)
    rows = np.arange(20)
    collator = DataCollatorForLanguageModeling(tokenizer(), mlm_probability=0.3)
    table = data.train
    features = [{"input_ids": table.ids[table.offsets[r] : table.offsets[r + 1]].tolist()} for r in rows]
    torch.manual_seed(0)
    batch = collator(features)
    masks = {int(r): (batch["input_ids"][r], batch["labels"][r]) for r in rows}
    masking = OfTheCollator(**vars(Masking.of(tokenizer()))).with_masks(masks)
    ours, losses = loss_of(replace(objective_of(reader, data), masking=masking), rows)
    theirs = reader.mlm(**{name: each for name, each in batch.items() if name != "token_type_ids"})
    assert ours.item() == pytest.approx(theirs.loss.item(), rel=1e-6)
    chosen = batch["labels"] != -100
    hits = theirs.logits.argmax(-1) == batch["labels"]
    assert losses.counts.tolist() == chosen.sum(1).tolist()
    assert losses.hits.tolist() == (hits & chosen).sum(1).tolist()


def test_a_model_that_knows_nothing_has_the_perplexity_of_its_vocabulary():
    reader, data = model("bert"), packed(80)
    for parameter in (reader.mlm.cls.predictions.decoder.weight, reader.mlm.cls.predictions.bias):
        torch.nn.init.zeros_(parameter)
    found = objective_of(reader, data).evaluate()
    assert found["perplexity"] == pytest.approx(len(tokenizer()), rel=1e-6)
    assert found["loss"] == pytest.approx(math.log(len(tokenizer())), rel=1e-6)


def test_validation_is_masked_the_same_for_every_seed_and_evaluation():
    reader, data = model(), packed(80)
    one = objective_of(reader, data, seed=1)
    first = one.evaluate()
    one.inputs(np.arange(4))
    assert one.evaluate() == first == objective_of(reader, data, seed=2).evaluate()
    state = torch.get_rng_state()
    one.evaluate()
    assert torch.equal(state, torch.get_rng_state())


@pytest.mark.parametrize("kind", ["bert", "roberta", "modernbert"])
@pytest.mark.parametrize("masked", [True, False])
def test_without_padding_losses_and_gradients_are_the_same(kind, masked):
    """Segments of packed sequences are the texts of one row; ModernBERT's window of 16 is smaller than some."""
    data, positions = packed(60, 48), np.array([3, 0, 5, 1])
    options = {"masked": masked, "contrastive": None if masked else ContrastiveConfig(group=2)}
    found = {}
    for attention in ("sdpa", "unpadded"):
        reader = model(kind).eval()
        reader.set_attention(attention)
        loss, losses = loss_of(objective_of(reader, data, **options), positions)
        loss.backward()
        grads = {name: p.grad for name, p in reader.named_parameters() if p.grad is not None}
        found[attention] = loss.detach(), losses.values, losses.hits, grads
    torch.testing.assert_close(found["unpadded"], found["sdpa"], atol=2e-6, rtol=1e-4)


def test_with_both_tasks_every_view_is_in_the_row():
    data, positions = packed(60, 48), np.array([3, 0, 5, 1])
    losses = []
    for attention in ("sdpa", "unpadded"):
        reader = model("modernbert").eval()
        reader.set_attention(attention)
        losses.append(loss_of(objective_of(reader, data, contrastive=ContrastiveConfig(group=2)), positions)[0])
    torch.testing.assert_close(*losses)


@pytest.mark.slow
@pytest.mark.parametrize("task", ["masked", "both"])
def test_micro_batches_equal_one_batch(task):
    data = packed(100)
    options = {} if task == "masked" else {"contrastive": ContrastiveConfig(group=4, weight=0.5)}

    def run(size):
        return train(model(), data, FAST.model_copy(update={"micro_batch_size": size}), steps=6, **options)

    (whole, expected), (parts, state) = run(None), run(4)
    for name, tensor in expected.items():
        torch.testing.assert_close(state[name], tensor, atol=2e-5, rtol=1e-4)
    for one, other in zip(whole.rows, parts.rows, strict=True):
        assert one["train_loss"] == pytest.approx(other["train_loss"], rel=1e-4)
        assert one["train_accuracy"] == pytest.approx(other["train_accuracy"], abs=1e-6)


def _rank(rank, world_size, task):
    contrastive = ContrastiveConfig(group=4) if task == "both" else None
    surroundings = LocalSurroundings(rank=rank, world_size=world_size)
    result, state = train(model(), packed(100), steps=5, surroundings=surroundings, contrastive=contrastive)
    return result.rows, {name: tensor.numpy() for name, tensor in state.items()}


@pytest.mark.long
@pytest.mark.parametrize("task", ["masked", "both"])
def test_two_ranks_equal_one_process(task):
    (rows, expected) = _rank(0, 1, task)
    (shared, state), _ = on_ranks(_rank, 2, 2, task)
    for name, array in expected.items():
        np.testing.assert_allclose(state[name], array, atol=2e-5, rtol=1e-3)
    assert shared[-1]["train_loss"] == pytest.approx(rows[-1]["train_loss"], rel=1e-4)
    assert shared[-1]["tokens"] == rows[-1]["tokens"]
    assert shared[-1]["validation_loss"] == pytest.approx(rows[-1]["validation_loss"], rel=1e-4)


@pytest.mark.long
def test_it_learns_and_rows_say_how_far_it_is():
    data = packed(200)
    result, _ = train(model(), data, FAST.model_copy(update={"learning_rate": 5e-3}), steps=60)
    first, last = result.rows[0], result.rows[-1]
    assert last["validation_loss"] < first["validation_loss"] - 0.5
    assert last["validation_perplexity"] == pytest.approx(math.exp(last["validation_loss"]))
    assert last["tokens"] <= 60 * 16 * 32
    assert last["tokens"] > 0.9 * 60 * 16 * 32
    assert 0 < last["validation_masked_accuracy"] < 1


def test_the_contrastive_loss_by_hand():
    first = torch.tensor([[1.0, 0.0], [0.0, 2.0], [1.0, 1.0], [3.0, 0.0]])
    second = torch.tensor([[2.0, 0.0], [1.0, 1.0], [0.0, 1.0], [0.0, 1.0]])
    groups, documents = torch.tensor([0, 0, 0, 1]), torch.tensor([0, 1, 1, 2])
    losses, hits = contrastive_losses(first, second, groups, documents, temperature=0.5)
    half = math.sqrt(0.5)
    # The first has both others as negatives, the second and third are of one document, the last is alone in its group.
    expected = [
        -2.0 + math.log(math.exp(2.0) + math.exp(2 * half) + math.exp(0.0)),
        -2 * half + math.log(math.exp(0.0) + math.exp(2 * half)),
        -2 * half + math.log(math.exp(2 * half) + math.exp(2 * half)),
        0.0,
    ]
    assert losses.tolist() == pytest.approx(expected, abs=1e-6)
    assert hits.tolist()[:2] == [True, True]


def test_sentences_are_means_over_their_pieces():
    hidden = torch.tensor([[1.0, 2.0], [3.0, 4.0], [10.0, 20.0]])
    assert pooled(hidden, torch.tensor([0, 0, 1]), 2).tolist() == [[2.0, 3.0], [10.0, 20.0]]


@pytest.mark.parametrize("masked", [True, False])
def test_views_differ_by_dropout_and_sentences_are_those_of_the_sequences(masked):
    data = packed(60, 64, longest=12)
    reader = model(dropout=0.3)
    objective = objective_of(reader, data, masked=masked, contrastive=ContrastiveConfig(group=2))
    rows = np.arange(6)
    inputs = objective.inputs(rows)
    table = data.train
    assert objective.denominators(rows)[-1] == sum(
        1 + table.segments[table.offsets[r] : table.offsets[r + 1]].max() for r in rows
    )
    hidden, _ = objective.forward(reader, inputs)
    cells = inputs["segments"][:6].numel()
    one, two = hidden[-2 * cells : -cells], hidden[-cells:]
    assert not torch.allclose(one, two)
    reader.eval()
    hidden, _ = objective.forward(reader, inputs)
    assert torch.equal(hidden[-2 * cells : -cells], hidden[-cells:])
    found = objective.evaluate()
    assert ("perplexity" in found) == masked
    assert 0 <= found["contrastive_accuracy"] <= 1
