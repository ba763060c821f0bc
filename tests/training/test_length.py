"""Runs that are as long as their passes, or their examples: where they stand, when they end, and that they resume."""

from dataclasses import dataclass, field

import numpy as np
import pytest
import torch

from raybert.config import AveragingConfig, TrainConfig
from raybert.models import load_classifier
from raybert.training import FitRequest, FixedPasses, LocalSurroundings, PassPlan, fit
from raybert.training.length import RunLength
from raybert.training.optimization.schedules import learning_rate_factor
from raybert.training.state import RunState
from tests.processes import on_ranks
from tests.training.stop_after import StopAfter

FAST = TrainConfig(batch_size=16, learning_rate=1e-3, precision="fp32", checkpoint_seconds=0, warmup_fraction=0.0)


@dataclass
class Keeping:
    """Keeps so many examples in pass 0, 1, 2, ..., and remembers what it saw of the run before each."""

    sizes: tuple[int, ...]
    max_steps: int | None = None
    seen: list[tuple[float, int]] = field(default_factory=list)

    def next_pass(self, number, previous, view):
        self.seen.append((view.position, view.step))
        return PassPlan(np.arange(self.sizes[min(number, len(self.sizes) - 1)]), max_steps=self.max_steps)


class Counting(LocalSurroundings):
    """Keeps what it is told of the steps."""

    def __init__(self):
        super().__init__()
        self.told = []

    def stepped(self, step):
        self.told.append(step)


def train(tiny_bert, tokens, planner, config=FAST, *, surroundings=None, total_steps=18, model_seed=0, **length):
    model = load_classifier(tiny_bert, tokens.label_names, model_seed)
    request = FitRequest(config, total_steps, seed=4, **length)
    return fit(model, tokens, planner, request, surroundings or LocalSurroundings()), model


def column(result, name):
    return [row[name] for row in result.rows]


def test_positions_of_three_shrinking_passes_are_shares_of_the_schedule():
    # 100, 40 and 10 of 100 examples in batches of 10, 3 passes: 10 + 4 + 1 steps, on the schedule of 30.
    length = RunLength(30, 10, passes=3.0)
    positions = []
    for number, num_batches in enumerate((10, 4, 1)):
        for batch in range(num_batches):
            positions.append(length.position(RunState(whole_passes=number, batch=batch), num_batches))
    assert positions == [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12.5, 15, 17.5, 20]
    factors = [learning_rate_factor(FAST, position, 30) for position in positions]
    by_hand = [30, 29, 28, 27, 26, 25, 24, 23, 22, 21, 20, 17.5, 15, 12.5, 10]
    assert factors == pytest.approx([left / 30 for left in by_hand])
    warm = FAST.model_copy(update={"warmup_fraction": 0.5})  # 15 steps of warm-up, of which 12.5 are done in mid-pass
    assert learning_rate_factor(warm, 12.5, 30) == pytest.approx(12.5 / 15)
    assert length.position(RunState(whole_passes=3), 0) == 30


@pytest.mark.parametrize(
    ("length", "state", "expected"),
    [
        (RunLength(30, 10), RunState(step=7), (7, 9)),  # of steps, whatever a pass has
        (RunLength(30, 10, passes=3.0), RunState(whole_passes=1), (10, 3)),  # 0.6 passes of 5 batches
        (RunLength(30, 10, examples=300), RunState(examples_seen=70), (7, 9)),
    ],
)
def test_the_steps_to_a_position_are_counted_as_the_length_is(length, state, expected):
    assert (length.position(state, 0), length.steps_to(16, 50, state)) == expected


def test_a_run_of_passes_ends_after_them_with_rates_and_evaluations_by_its_position(tiny_bert, tokens):
    planner, told = Keeping((96, 32, 8)), Counting()
    config = FAST.model_copy(update={"learning_rate": 1.0e-3})
    result, _ = train(tiny_bert, tokens, planner, config, surroundings=told, passes=3.0)
    # 6 + 2 + 1 steps; after each the run stands at 1 ... 6, 9, 12, 18 of 18.
    assert result.optimizer_steps == 9
    assert result.samples_per_pass == (96, 32, 8)
    assert result.examples_seen == 136
    assert planner.seen == [(0, 0), (6, 6), (12, 8)]
    assert told.told == [1, 2, 3, 4, 5, 6, 9, 12, 18]
    # Evaluated whenever a further T / 10 (2) is done: after 2, 4, 6, 9, 12, 18.
    assert column(result, "step") == [2, 4, 6, 7, 8, 9]
    assert column(result, "pass") == [0.3333, 0.6667, 1.0, 1.5, 2.0, 3.0]
    assert column(result, "learning_rate") == pytest.approx([1e-3 * left / 18 for left in (17, 15, 13, 12, 9, 6)])


@pytest.mark.slow
def test_a_run_whose_passes_are_whole_is_the_run_of_as_many_steps(tiny_bert, tokens):
    by_steps, one = train(tiny_bert, tokens, FixedPasses(np.arange(96)), total_steps=12)
    by_passes, other = train(tiny_bert, tokens, FixedPasses(np.arange(96)), total_steps=12, passes=2.0)
    for name, tensor in one.state_dict().items():
        assert torch.equal(tensor, other.state_dict()[name])
    timeless = [
        [{k: v for k, v in row.items() if k != "seconds"} for row in each.rows] for each in (by_steps, by_passes)
    ]
    assert timeless[0] == timeless[1]


@pytest.mark.parametrize(("passes", "steps", "last"), [(1.5, 9, 1.5), (2.25, 14, 2.3333), (0.2, 2, 0.3333)])
def test_a_part_of_a_pass_is_whole_batches(tiny_bert, tokens, passes, steps, last):
    result, _ = train(tiny_bert, tokens, FixedPasses(np.arange(96)), total_steps=14, passes=passes)
    assert result.optimizer_steps == steps  # of 6 a pass
    assert result.rows[-1]["pass"] == last


def test_a_pass_that_its_plan_cuts_counts_by_its_share(tiny_bert, tokens):
    planner = Keeping((96,), max_steps=3)  # of 6
    result, _ = train(tiny_bert, tokens, planner, total_steps=12, passes=2.0)
    assert result.optimizer_steps == 12
    assert [position for position, _ in planner.seen] == [0, 3, 6, 9]
    assert result.rows[-1]["pass"] == 2.0


def test_a_run_of_examples_ends_with_the_last_one(tiny_bert, tokens):
    planner = Keeping((96, 40))  # 6 steps, then 3 a pass: 16, 16, 8
    result, _ = train(tiny_bert, tokens, planner, total_steps=9, examples=150)
    assert result.examples_seen == 150  # 96 + 40 + 14 of a batch of 16
    assert result.optimizer_steps == 10
    assert [position for position, _ in planner.seen] == pytest.approx([0, 96 / 150 * 9, 136 / 150 * 9])


def test_training_ends_at_a_position_before_the_end_and_keeps_its_schedule(tiny_bert, tokens):
    result, _ = train(tiny_bert, tokens, Keeping((96, 32, 8)), passes=3.0, last_step=12)
    assert (result.optimizer_steps, result.rows[-1]["pass"]) == (8, 2.0)
    assert result.rows[-1]["learning_rate"] == pytest.approx(1e-3 * 9 / 18)


@pytest.mark.slow
@pytest.mark.parametrize("length", [{"passes": 3.0}, {"examples": 130}])
@pytest.mark.parametrize("steps", [5, 6, 7, 8])
def test_a_run_that_is_stopped_continues_bit_identically(tiny_bert, tokens, tmp_path, length, steps):
    averaged = AveragingConfig(kind="swa", start=0.3)
    config = FAST.model_copy(update={"averaging": averaged, "micro_batch_size": 5})
    whole, expected = train(tiny_bert, tokens, Keeping((96, 40, 8)), config, **length)
    planner = Keeping((96, 40, 8))
    first, _ = train(tiny_bert, tokens, planner, config, surroundings=StopAfter(tmp_path, steps), **length)
    assert (first.stopped, first.optimizer_steps) == (True, steps)
    again = LocalSurroundings(checkpoint_folder=tmp_path)
    second, model = train(tiny_bert, tokens, planner, config, surroundings=again, model_seed=7, **length)
    for name, tensor in expected.state_dict().items():
        assert torch.equal(tensor, model.state_dict()[name])
    timeless = [[{k: v for k, v in row.items() if k != "seconds"} for row in each.rows] for each in (whole, second)]
    assert timeless[0] == timeless[1]
    assert second.samples_per_pass == whole.samples_per_pass
    np.testing.assert_array_equal(second.train_losses, whole.train_losses)


def test_a_checkpoint_of_a_run_by_steps_is_not_continued_by_passes():
    by_steps = FitRequest(FAST, 18, seed=4)
    by_passes = FitRequest(FAST, 18, seed=4, passes=3.0)
    by_examples = FitRequest(FAST, 18, seed=4, examples=288)
    assert len({request.run_key("data", 1) for request in (by_steps, by_passes, by_examples)}) == 3


def test_averaging_begins_at_its_share_of_the_passes(tiny_bert, tokens):
    config = FAST.model_copy(update={"averaging": AveragingConfig(kind="swa", start=0.6)})
    averaged, _ = train(tiny_bert, tokens, Keeping((96, 32, 8)), config, passes=3.0)
    plain, _ = train(tiny_bert, tokens, Keeping((96, 32, 8)), passes=3.0)
    # Positions 12 and 18 are averaged; the first of them alone is what it would be without.
    differ = [
        one != other
        for one, other in zip(column(averaged, "validation_loss"), column(plain, "validation_loss"), strict=True)
    ]
    assert differ == [False] * 5 + [True]


def _train_as_rank(rank, world_size, tokens, encoder, length):
    torch.set_num_threads(1)
    model = load_classifier(encoder, tokens.label_names, 0, dropout=0.0)
    surroundings = LocalSurroundings(rank=rank, world_size=world_size)
    result = fit(model, tokens, Keeping((96, 40, 5)), FitRequest(FAST, 18, seed=4, **length), surroundings)
    return result.optimizer_steps, result.examples_seen, result.samples_per_pass, column(result, "train_loss")


@pytest.mark.slow
@pytest.mark.parametrize(("length", "steps"), [({"passes": 3.0}, 10), ({"examples": 137}, 10)])
def test_two_ranks_agree_on_the_end(tiny_bert, tokens, length, steps):
    one = _train_as_rank(0, 1, tokens, tiny_bert, length)
    two, _ = on_ranks(_train_as_rank, 2, 2, tokens, tiny_bert, length)
    assert one[:3] == two[:3]
    assert one[0] == steps  # the last has 1 example: a rank has none of it
    np.testing.assert_allclose(two[3], one[3], rtol=1e-5)
