"""Training on changed examples: only what is trained on changes, and neither parts, restarts nor ranks change how."""

import numpy as np
import pytest
import torch

from raybert.config import TrainConfig, validate_config
from raybert.config.augment import AugmentConfig
from raybert.data import TokenizedData
from raybert.data.augment import Augmentation, TokenChanges
from raybert.models import load_classifier
from raybert.sweeping.plan.design import read_design
from raybert.sweeping.plan.roles import PROXY, TRIAL
from raybert.training import FitRequest, FixedPasses, LocalSurroundings, fit
from tests.processes import on_ranks
from tests.sweeping.planning import plan_of
from tests.training.stop_after import StopAfter

FAST = TrainConfig(batch_size=16, learning_rate=1e-3, precision="fp32", checkpoint_seconds=0)
CHOSEN = np.arange(10, 58)  # 3 batches a pass


def dropping(**settings) -> Augmentation:
    special = np.zeros(120, bool)
    special[[0, 2, 3]] = True
    config = AugmentConfig(name="token_dropping", **{"rate": 0.4, **settings})
    return Augmentation(config, TokenChanges(config, special, np.zeros(120, bool)))


def train(tiny_bert, tokens, augmentation, *, config=FAST, surroundings=None, total_steps=7):
    model = load_classifier(tiny_bert, tokens.label_names, 0, dropout=0.0)
    request = FitRequest(config, total_steps, seed=4, augmentation=augmentation)
    result = fit(model, tokens, FixedPasses(CHOSEN), request, surroundings or LocalSurroundings())
    return result, {name: tensor.clone() for name, tensor in model.state_dict().items()}


class Watched(TokenizedData):
    """Notes every row of a table that became an input."""

    def batch(self, table, positions):
        seen.append((table, np.asarray(positions)))
        return super().batch(table, positions)


seen: list = []


def test_only_chosen_examples_are_changed_and_nothing_that_is_scored_or_evaluated(tiny_bert, tokens):
    watched = Watched(**vars(tokens))
    seen.clear()
    train(tiny_bert, watched, dropping(), total_steps=6)
    tables = {id(watched.train): "train", id(watched.validation): "validation", id(watched.test): "test"}
    assert {tables.get(id(table), "changed") for table, _ in seen} == {"changed", "validation", "test"}
    changed = [table for table, _ in seen if id(table) not in tables]
    assert sum(len(table) for table in changed) == 6 * 16
    lengths = np.concatenate([table.lengths for table in changed])
    assert lengths.sum() < 2 * tokens.train.lengths[CHOSEN].sum()
    labels = np.sort(np.concatenate([table.labels for table in changed]))
    np.testing.assert_array_equal(labels, np.sort(np.tile(tokens.train.labels[CHOSEN], 2)))


def test_a_run_that_stops_and_goes_on_ends_as_one_that_did_not(tiny_bert, tokens, tmp_path):
    whole, expected = train(tiny_bert, tokens, dropping())
    first, _ = train(tiny_bert, tokens, dropping(), surroundings=StopAfter(tmp_path, 5))
    assert first.stopped
    again, state = train(tiny_bert, tokens, dropping(), surroundings=LocalSurroundings(tmp_path))
    assert [row["train_loss"] for row in again.rows] == [row["train_loss"] for row in whole.rows]
    assert all(torch.equal(state[name], expected[name]) for name in expected)
    plain, _ = train(tiny_bert, tokens, None)
    assert plain.rows[-1]["train_loss"] != whole.rows[-1]["train_loss"]


def test_other_changes_do_not_go_on_from_a_checkpoint(tokens):
    keys = {
        FitRequest(FAST, 7, seed=4, augmentation=each).run_key("data", 1)
        for each in (None, dropping(), dropping(rate=0.3), dropping(each_pass=False))
    }
    assert len(keys) == 4
    assert FitRequest(FAST, 7, seed=4).run_key("data", 1) == FitRequest(FAST, 7, seed=4, augmentation=None).run_key(
        "data", 1
    )


def test_parts_of_a_batch_are_changed_as_the_whole(tiny_bert, tokens):
    whole, _ = train(tiny_bert, tokens, dropping())
    parts, _ = train(tiny_bert, tokens, dropping(), config=FAST.model_copy(update={"micro_batch_size": 3}))
    np.testing.assert_allclose(
        [row["train_loss"] for row in parts.rows], [row["train_loss"] for row in whole.rows], rtol=1e-5
    )


def _train_as_rank(rank, world_size, tiny_bert, tokens):
    result, state = train(tiny_bert, tokens, dropping(), surroundings=LocalSurroundings(None, rank, world_size))
    return [row["train_loss"] for row in result.rows], {name: tensor.numpy() for name, tensor in state.items()}


@pytest.mark.slow
def test_two_ranks_change_each_example_as_one_process_does(tiny_bert, tokens):
    losses, state = _train_as_rank(0, 1, tiny_bert, tokens)
    two, _ = on_ranks(_train_as_rank, 2, 2, tiny_bert, tokens)
    np.testing.assert_allclose(two[0], losses, rtol=1e-5)
    for name, array in state.items():
        np.testing.assert_allclose(two[1][name], array, atol=2e-5, rtol=1e-3)


def test_ids_change_for_what_trains_on_changed_examples_and_for_nothing_else():
    sections = {"sweep": {"strategies": ["random", "el2n"], "seeds": [0]}}
    plain = plan_of(validate_config(sections)).trials
    augmented = plan_of(validate_config({**sections, "data": {"augment": "token_dropping"}})).trials
    by_role = {
        role: [{s.trial_id for s in specs if s.role == role} for specs in (plain, augmented)] for role in (PROXY, TRIAL)
    }
    assert by_role[PROXY][0] == by_role[PROXY][1]
    assert len(by_role[TRIAL][0] | by_role[TRIAL][1]) == 4
    assert {spec.data_key for spec in plain} == {spec.data_key for spec in augmented}
    assert [spec.augment is not None for spec in augmented] == [spec.role == TRIAL for spec in augmented]


def test_a_grid_compares_with_and_without_on_one_data_set():
    grid = {"data.augment": [None, "token_dropping", {"name": "word_swapping", "rate": 0.2}]}
    sweep = {"strategies": ["random"], "seeds": [0], "grid": grid}
    design = read_design(validate_config({"sweep": sweep}))
    assert len({variant.data_key for variant in design.variants}) == 1
    trials = plan_of(validate_config({"sweep": sweep})).trials
    assert len({spec.trial_id for spec in trials}) == 3
    assert [spec.augment and spec.augment.name for spec in trials] == [None, "token_dropping", "word_swapping"]
