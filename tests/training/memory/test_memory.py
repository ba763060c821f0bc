"""Micro-batches that fit: found before training, halved when memory runs out, without changing what is learned."""

import numpy as np
import pytest
import torch

from raybert.config import TrainConfig
from raybert.errors import TrialError
from raybert.models import load_classifier
from raybert.training import FitRequest, FixedPasses, Inference, LocalSurroundings, fit
from raybert.training.checkpoint import write_limit
from raybert.training.memory.micro_batch import largest_fitting
from tests.processes import on_ranks

CONFIG = TrainConfig(batch_size=16, learning_rate=1e-3, precision="fp32")


@pytest.fixture
def small_device(monkeypatch, tmp_path):
    """Return what gives a model that holds only so many rows; later passes can be allowed fewer."""
    monkeypatch.setenv("RAYBERT_CACHE", str(tmp_path / "cache"))

    def limit(model, rows, *, from_pass=0):
        passes = iter(range(10**9))
        forward = model.forward

        def limited(*args, **inputs):
            if next(passes) >= from_pass and len(inputs["input_ids"]) > rows:
                raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
            return forward(*args, **inputs)

        monkeypatch.setattr(model, "forward", limited)
        return model

    return limit


def train(model, tokens, config=CONFIG, folder=None):
    return fit(
        model,
        tokens,
        FixedPasses(np.arange(96)),
        FitRequest(config, total_steps=6, seed=4),
        LocalSurroundings(checkpoint_folder=folder),
    )


def classifier(encoder, tokens):
    return load_classifier(encoder, tokens.label_names, 0, dropout=0.0)


def losses(result):
    return [row["train_loss"] for row in result.rows]


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 8, 11, 15, 16, 17, 40])
@pytest.mark.parametrize("share", [1, 2, 11, 16])
def test_doubling_and_bisecting_finds_the_largest_size_that_fits(limit, share):
    tried = []

    def fits(size):
        tried.append(size)
        return size <= limit

    assert largest_fitting(fits, share) == min(limit, share)
    assert max(tried) <= share
    assert len(tried) <= 2 * share.bit_length() + 1


def test_nothing_fits():
    with pytest.raises(torch.cuda.OutOfMemoryError, match="one example must fit"):
        largest_fitting(lambda size: False, 16)


@pytest.mark.slow
@pytest.mark.parametrize(("limit", "found"), [(3, 3), (6, 6), (100, 16)])
def test_auto_takes_what_fits_and_keeps_the_effective_batch(tiny_bert, tokens, small_device, limit, found):
    expected = train(classifier(tiny_bert, tokens), tokens)
    model = small_device(classifier(tiny_bert, tokens), limit)
    auto = CONFIG.model_copy(update={"micro_batch_size": "auto"})
    result = train(model, tokens, auto)
    assert result.micro_batch_size == found
    assert result.notes == ()
    assert result.examples_seen == expected.examples_seen
    np.testing.assert_allclose(losses(result), losses(expected), rtol=1e-5)


@pytest.mark.slow
def test_auto_remembers_and_draws_nothing(tiny_bert, tokens, small_device):
    auto = CONFIG.model_copy(update={"micro_batch_size": "auto"})
    with_dropout = load_classifier(tiny_bert, tokens.label_names, 0)
    first = train(small_device(with_dropout, 5), tokens, auto)
    with_dropout = load_classifier(tiny_bert, tokens.label_names, 0)
    again = train(small_device(with_dropout, 5, from_pass=0), tokens, auto)
    with_dropout = load_classifier(tiny_bert, tokens.label_names, 0)
    given = train(with_dropout, tokens, CONFIG.model_copy(update={"micro_batch_size": 5}))
    assert first.micro_batch_size == again.micro_batch_size == 5
    assert losses(first) == losses(again) == losses(given)


def test_memory_that_runs_out_in_mid_run_halves_the_micro_batch_and_repeats_the_step(tiny_bert, tokens, small_device):
    expected = train(classifier(tiny_bert, tokens), tokens)
    # A pass a step until the third; evaluations are passes too, of rows that fit.
    model = small_device(classifier(tiny_bert, tokens), 5, from_pass=4)
    result = train(model, tokens)
    assert result.micro_batch_size == 4
    assert [note.split(": ")[1] for note in result.notes] == [
        "micro-batches of 8 from there on",
        "micro-batches of 4 from there on",
    ]
    assert all(note.startswith("memory ran out at step ") for note in result.notes)
    assert result.optimizer_steps == 6
    np.testing.assert_allclose(losses(result), losses(expected), rtol=1e-4)


def test_one_example_that_does_not_fit_is_the_end(tiny_bert, tokens, small_device):
    with pytest.raises(TrialError, match="step 1: one example must fit into the device's memory"):
        train(small_device(classifier(tiny_bert, tokens), 0), tokens)


def test_inference_halves_what_does_not_fit(tiny_bert, tokens, small_device):
    rows = np.array([5, 3, 90, 17, 2])
    model = classifier(tiny_bert, tokens)
    expected = Inference(model, tokens, "fp32").probs(tokens.train, rows)
    found = Inference(small_device(model, 2), tokens, "fp32").probs(tokens.train, rows)
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_a_restart_obeys_the_limit_that_a_rank_has_left(tiny_bert, tokens, tmp_path):
    write_limit(tmp_path, 4)
    result = train(classifier(tiny_bert, tokens), tokens, folder=tmp_path)
    assert result.micro_batch_size == 4
    assert result.notes == ("memory ran out at step 1: micro-batches of 4 from there on",)


def test_checkpointed_activations_train_the_same_and_are_off_afterwards(tiny_bert, tokens):
    expected = train(load_classifier(tiny_bert, tokens.label_names, 0), tokens)
    model = load_classifier(tiny_bert, tokens.label_names, 0)
    result = train(model, tokens, CONFIG.model_copy(update={"gradient_checkpointing": True}))
    assert losses(result) == losses(expected)
    assert any(getattr(module, "gradient_checkpointing", False) for module in model.modules())
    model = load_classifier(tiny_bert, tokens.label_names, 0)
    assert not any(getattr(module, "gradient_checkpointing", False) for module in model.modules())


def test_tf32_is_refused_on_a_processor(tiny_bert, tokens):
    from raybert.errors import ConfigError

    with pytest.raises(ConfigError, match="tf32 needs an NVIDIA GPU"):
        train(classifier(tiny_bert, tokens), tokens, CONFIG.model_copy(update={"precision": "tf32"}))


def _train_as_limited_rank(rank: int, tokens, encoder, folder) -> tuple:
    """Train on two ranks, of which the second holds 4 rows; return losses and notes, or the error."""
    model = classifier(encoder, tokens)
    forward = model.forward

    def limited(*args, **inputs):
        if rank == 1 and len(inputs["input_ids"]) > 4:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return forward(*args, **inputs)

    model.forward = limited
    surroundings = LocalSurroundings(checkpoint_folder=folder, rank=rank, world_size=2)
    try:
        result = fit(model, tokens, FixedPasses(np.arange(96)), FitRequest(CONFIG, total_steps=6, seed=4), surroundings)
    except (TrialError, RuntimeError) as error:
        return type(error).__name__, str(error)
    return losses(result), result.notes


@pytest.mark.slow
def test_a_rank_without_memory_restarts_all_with_a_smaller_micro_batch(tiny_bert, tokens, tmp_path):
    expected = train(classifier(tiny_bert, tokens), tokens)
    partner, limited = on_ranks(_train_as_limited_rank, 2, tokens, tiny_bert, tmp_path)
    assert limited[0] == "TrialError"
    assert "step 1: rank 1 ran out of memory; micro-batches of 4 are next" in limited[1]
    assert partner[0] == "RuntimeError"  # it lost the other one in the exchange
    partner, limited = on_ranks(_train_as_limited_rank, 2, tokens, tiny_bert, tmp_path)
    np.testing.assert_allclose(partner[0], losses(expected), rtol=1e-4)
    assert partner[1] == limited[1] == ("memory ran out at step 1: micro-batches of 4 from there on",)
