"""Checkpoints that stay: they change nothing, are pruned safely, and begin other runs exactly."""

import os

import numpy as np
import pytest
import torch

from raybert.config import TrainConfig, validate_config
from raybert.errors import ConfigError, SweepError, TrialError
from raybert.models import load_classifier, load_model
from raybert.sweeping.plan.design import read_design
from raybert.training import FitRequest, FixedPasses, Inference, LocalSurroundings, classification_metrics, fit
from raybert.training.kept import KeptCheckpoint, drop_older, is_due, kept_checkpoints, reading
from raybert.training.start import differences
from raybert.training.state import RunState
from tests.training.stop_after import StopAfter

SETTINGS = {"batch_size": 16, "learning_rate": 1e-3, "precision": "fp32", "checkpoint_seconds": 0, "eval_every": 2}
pytestmark = pytest.mark.slow


def config_of(**train):
    return validate_config({"train": {**SETTINGS, **train}}).train


def run(tiny_bert, tokens, folder, *, model_seed=0, steps=8, surroundings=None, **train):
    model = load_classifier(tiny_bert, tokens.label_names, model_seed)
    surroundings = surroundings or LocalSurroundings(checkpoint_folder=folder)
    result = fit(model, tokens, FixedPasses(np.arange(96)), FitRequest(config_of(**train), steps, seed=4), surroundings)
    return result, {name: tensor.clone() for name, tensor in model.state_dict().items()}


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def timeless(result):
    return [{key: value for key, value in row.items() if key != "seconds"} for row in result.rows]


def steps_in(folder):
    return [one.step for one in kept_checkpoints(folder)]


def pretend(folder, step, best):
    """Make what counts as a checkpoint."""
    path = folder / f"step-{step:06d}"
    path.mkdir(parents=True)
    (path / "checkpoint.json").write_text(f'{{"step": {step}, "pass": 0, "digest": "", "settings": {{}}}}')
    (path / "COMPLETE").touch()
    drop_older(folder, 2, RunState(step=step, rows=[{"step": best}], best=0), is_end=False)


def test_a_run_that_is_continued_from_any_of_its_checkpoints_is_the_whole_run(tiny_bert, tokens, tmp_path):
    averaging = {"averaging": {"kind": "swa", "start": 0.5}}  # what is evaluated is not what trains
    whole, expected = run(tiny_bert, tokens, tmp_path / "plain", **averaging)
    watched, state = run(tiny_bert, tokens, tmp_path / "kept", checkpoints=3, **averaging)
    assert same(expected, state)
    assert timeless(watched) == timeless(whole)
    found = kept_checkpoints(tmp_path / "kept")
    assert [(one.step, one.passes) for one in found] == [(3, 0.5), (6, 1.0), (8, pytest.approx(8 / 6))]
    for one in found[:2]:
        torch.manual_seed(1)
        start = {"checkpoint": str(one.folder)}
        again, state = run(tiny_bert, tokens, tmp_path / f"from {one.step}", model_seed=7, start=start, **averaging)
        assert same(expected, state), one.step
        assert timeless(again) == timeless(whole)
        assert again.notes == ()
        np.testing.assert_array_equal(again.train_losses, whole.train_losses)
    # The model of a checkpoint is what an evaluation there measures: the average, at the end.
    probs = Inference(load_model(found[2].folder), tokens, "fp32").probs(tokens.validation)
    measured = classification_metrics(np.asarray(tokens.validation.labels), probs)
    assert measured["loss"] == pytest.approx(whole.rows[-1]["validation_loss"], rel=1e-6)


def test_a_finished_run_goes_on_with_a_longer_length_and_says_so(tiny_bert, tokens, tmp_path):
    run(tiny_bert, tokens, tmp_path / "first", checkpoints=100, steps=4)
    (end,) = kept_checkpoints(tmp_path / "first")
    assert end.step == 4
    start = {"checkpoint": str(end.folder)}
    longer, _ = run(tiny_bert, tokens, tmp_path / "second", steps=8, start=start)
    assert [row["step"] for row in longer.rows] == [2, 4, 6, 8]
    assert longer.optimizer_steps == 8
    # Rates are those of step 4.. of 8; warm-up is over.
    assert [row["learning_rate"] for row in longer.rows[2:]] == pytest.approx([1e-3 * 3 / 7, 1e-3 * 1 / 7])
    (note,) = longer.notes
    assert note.startswith("goes on from step 4 of a run of T = 4 steps, with T = 8: the learning rate and all else")
    with pytest.raises(TrialError, match="must be of before the end of this run, is of step 4 of 4; give it a longer"):
        run(tiny_bert, tokens, tmp_path / "third", steps=4, start=start)
    with pytest.raises(TrialError, match=r"of a run with other settings: train.batch_size was 16, is 8; undo the ch"):
        run(tiny_bert, tokens, tmp_path / "fourth", start=start, batch_size=8)


def test_weights_alone_begin_a_run_like_any_other(tiny_bert, tokens, tmp_path):
    run(tiny_bert, tokens, tmp_path / "first", checkpoints="epoch", steps=6)
    (end,) = kept_checkpoints(tmp_path / "first")
    for number, place in enumerate((end.folder, tmp_path / "first" / "best")):
        model = load_classifier(tiny_bert, tokens.label_names, 0)
        model.load_state_dict(load_model(place).state_dict())
        request = FitRequest(config_of(batch_size=8), 4, seed=4)
        by_hand = fit(model, tokens, FixedPasses(np.arange(96)), request, LocalSurroundings())
        torch.manual_seed(3)
        start = {"checkpoint": str(place), "weights_only": True}
        begun, state = run(tiny_bert, tokens, tmp_path / f"{number}", steps=4, batch_size=8, start=start)
        assert same(state, model.state_dict())
        assert timeless(begun) == timeless(by_hand)
    other = load_classifier(tiny_bert, ("x", "y", "z"), 0)
    other.save_pretrained(tmp_path / "other")
    with pytest.raises(TrialError, match="must be a model of the classes"):
        run(tiny_bert, tokens, None, start={"checkpoint": str(tmp_path / "other"), "weights_only": True})


@pytest.mark.parametrize("stop", [3, pytest.param(5, marks=pytest.mark.long)])
def test_what_stays_is_the_same_after_an_interruption(tiny_bert, tokens, tmp_path, stop):
    rule = {"every": 1, "keep_last": 2}
    whole, _ = run(tiny_bert, tokens, tmp_path / "whole", checkpoints=rule, steps=6)
    surroundings = StopAfter(tmp_path / "parts", stop)
    assert run(tiny_bert, tokens, None, checkpoints=rule, steps=6, surroundings=surroundings)[0].stopped
    run(tiny_bert, tokens, tmp_path / "parts", model_seed=7, checkpoints=rule, steps=6)
    best = whole.best_row["step"]
    assert steps_in(tmp_path / "whole") == steps_in(tmp_path / "parts") == sorted({5, 6, best})
    one, other = (kept_checkpoints(tmp_path / name) for name in ("whole", "parts"))
    assert [each.digest for each in one] == [each.digest for each in other]


def test_the_best_and_what_is_read_are_not_removed_and_what_lies_ahead_does_not_count(tmp_path):
    for step in (1, 2, 3, 4):
        pretend(tmp_path, step, best=min(step, 2))
    assert steps_in(tmp_path) == [2, 3, 4]  # the best, and the last two
    with reading(tmp_path / "step-000003"):
        pretend(tmp_path, 5, best=5)
        assert steps_in(tmp_path) == [3, 4, 5]
    pretend(tmp_path, 9, best=9)
    assert steps_in(tmp_path) == [5, 9]
    drop_older(tmp_path, 1, RunState(step=5, rows=[{"step": 5}], best=0), is_end=False)
    assert steps_in(tmp_path) == [5, 9]  # the run was interrupted, and 9 will be written anew
    drop_older(tmp_path, 1, RunState(step=5, rows=[{"step": 5}], best=0), is_end=True)
    assert steps_in(tmp_path) == [5]
    with pytest.raises(SweepError, match="cannot be read: No such file"), reading(tmp_path / "step-000009"):
        pass
    os.unlink(tmp_path / "step-000005" / "COMPLETE")
    assert KeptCheckpoint.read(tmp_path / "step-000005") is None
    with pytest.raises(SweepError, match="must be a whole checkpoint"), reading(tmp_path / "step-000005"):
        pass


def test_when_a_checkpoint_is_due():
    def due(rule, step, **now):
        config = config_of(checkpoints=rule).checkpoints
        return is_due(config, RunState(step=step), **{"pass_ends": False, "is_end": False, **now})

    assert [due(3, step) for step in (1, 3, 6)] == [False, True, True]
    assert [due("epoch", 3), due("epoch", 3, pass_ends=True), due("epoch", 3, is_end=True)] == [False, True, True]
    assert not due(None, 3, pass_ends=True, is_end=True)


def test_keys_are_checked_and_change_no_id():
    assert config_of(checkpoints={"every": 5, "keep_last": 1}).identity(()) == config_of().identity(())
    assert "start" not in TrainConfig().identity(())
    moved = [config_of(start={"checkpoint": place, "digest": "abc"}).identity(()) for place in ("/a", "/b")]
    assert moved[0] == moved[1]
    assert moved[0]["start"] == {"digest": "abc", "weights_only": False}
    for rule, message in (
        ({"keep_last": 2}, "train.checkpoints.keep_last: must be left out without `every`"),
        ({"every": 0}, "train.checkpoints.every: must be >= 1, epoch or null, got 0"),
        ("pass", "train.checkpoints.every: must be .*'epoch'"),
    ):
        with pytest.raises(ConfigError, match=message):
            config_of(checkpoints=rule)
    with pytest.raises(ConfigError, match=r"train.start.weights_only: must be left out without `checkpoint`"):
        config_of(start={"weights_only": True})
    with pytest.raises(
        ConfigError, match=r"train.start.checkpoint: must come with the digest of its content, got '/a'"
    ):
        read_design(validate_config({"train": {"start": {"checkpoint": "/a"}}}))


def test_settings_differ_but_for_length_and_start():
    before = {"total_steps": 5, "seed": 1, "train": {"length": {"epochs": 3}, "loss": {"name": "focal"}, "start": {}}}
    after = {"total_steps": 9, "seed": 2, "train": {"length": {"epochs": 5}, "loss": {"name": "bce"}, "new": 1}}
    assert [*differences(before, after)] == [
        "seed was 1, is 2",
        "train.loss.name was focal, is bce",
        "train.new was not there, is 1",
    ]
