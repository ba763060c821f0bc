"""The last loss of every example, whatever was trained on when, and through a checkpoint."""

import io

import numpy as np
import pytest
import torch

from raybert.errors import TrialError
from raybert.training.measures.history import LossHistory


def history_of(num_examples: int) -> LossHistory:
    return LossHistory(np.array([f"e{i}" for i in range(num_examples)]), world_size=1)


def train_on(history: LossHistory, positions, losses, step: int = 1) -> None:
    hits = torch.zeros(len(positions), dtype=torch.bool)
    history.add(np.asarray(positions), torch.tensor(losses, dtype=torch.float32), hits, step)


def random_passes(history: LossHistory, count: int, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Train `count` passes on parts of the pool; return every example's last loss and pass, kept by hand."""
    size = len(history.example_ids)
    last, when = np.full(size, np.nan, np.float32), np.full(size, -1)
    for number in range(count):
        history.begin_pass()
        for batch in np.array_split(generator.permutation(size)[: size // 2], 3):
            losses = generator.random(len(batch)).astype(np.float32)
            train_on(history, batch, losses.tolist())
            for position, loss in zip(batch, losses, strict=True):
                last[position], when[position] = loss, number
        history.read()
    return last, when


def test_it_holds_each_examples_last_loss_and_its_pass():
    history = history_of(60)
    assert np.isnan(history.losses).all()
    assert (history.loss_passes == -1).all()
    last, when = random_passes(history, 4, np.random.default_rng(0))
    np.testing.assert_array_equal(history.losses, last)
    np.testing.assert_array_equal(history.loss_passes, when)
    assert (history.losses.dtype, history.loss_passes.dtype) == (np.float32, np.int32)


def test_a_checkpoint_is_as_large_after_many_passes_as_after_one():
    def size(passes: int) -> int:
        history, buffer = history_of(5000), io.BytesIO()
        random_passes(history, passes, np.random.default_rng(0))
        torch.save(history.state(), buffer)
        return len(buffer.getvalue())

    assert size(20) == size(1)
    assert size(20) < 5000 * 8 + 4096  # a loss and a pass an example


def test_a_history_goes_on_from_its_state():
    history, other = history_of(60), history_of(60)
    random_passes(history, 3, np.random.default_rng(1))
    other.load(history.state())
    for one in (history, other):
        train_on(one, [3, 4], [0.5, 0.25])
        one.read()
        one.begin_pass()
        train_on(one, [5], [0.75])
        one.read()
    np.testing.assert_array_equal(other.losses, history.losses)
    np.testing.assert_array_equal(other.loss_passes, history.loss_passes)
    assert other.loss_passes[[3, 4, 5]].tolist() == [2, 2, 3]
    assert other.close_window() == history.close_window()


def test_a_history_goes_on_from_the_rows_a_pass_of_an_older_checkpoint():
    history = history_of(4)
    nan = np.nan
    rows = torch.tensor([[0.1, 0.2, nan, nan], [nan, nan, nan, nan], [nan, 0.3, nan, 0.4]], dtype=torch.float32)
    history.load({"losses": rows, "window": torch.tensor([0.7, 1.0, 2.0], dtype=torch.float64)})
    np.testing.assert_array_equal(history.losses, np.array([0.1, 0.3, nan, 0.4], np.float32))
    assert history.loss_passes.tolist() == [0, 2, -1, 2]
    assert history.close_window() == (0.35, 0.5)
    train_on(history, [2], [0.5])
    history.read()
    history.begin_pass()
    train_on(history, [0], [0.6])
    history.read()
    assert history.loss_passes.tolist() == [3, 2, 2, 2]


def test_a_history_goes_on_from_an_older_checkpoint_without_a_pass():
    history = history_of(4)
    history.load({"losses": torch.empty((0, 4)), "window": torch.zeros(3, dtype=torch.float64)})
    history.begin_pass()
    train_on(history, [1], [0.5])
    history.read()
    assert history.loss_passes.tolist() == [-1, 0, -1, -1]


def test_a_loss_that_is_not_finite_names_its_step_and_examples():
    history = history_of(4)
    history.begin_pass()
    train_on(history, [0, 2, 3], [0.1, np.nan, np.inf], step=7)
    with pytest.raises(
        TrialError, match=r"step 7: the training loss must be finite, got nan for 2 examples \(e2, e3\)"
    ):
        history.read()
