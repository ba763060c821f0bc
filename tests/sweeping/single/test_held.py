"""What `raybert train --resume` takes for the run that is in a folder, and what it refuses; nothing is trained here."""

import json

import pytest

from raybert.config import dump_yaml, load_config
from raybert.errors import ExitCode, SweepError
from raybert.sweeping.folder.layout import SweepFolder
from raybert.sweeping.plan.narrow import narrow_to_one
from raybert.sweeping.single.held import is_finished

FILE = {"train": {"length": {"epochs": 2}, "batch_size": 16}, "selection": {"budget": 64}}


def asked(*overrides, file=FILE):
    """What `raybert train FILE --set ...` asks for."""
    return narrow_to_one(load_config(file, list(overrides)), "all", 0).config


def folder_of(path, config, *, finished=True):
    trial = path / "trials" / "0123456789ab"
    trial.mkdir(parents=True)
    (path / "resolved.yaml").write_text(dump_yaml(config))
    line = {"trial_id": trial.name, "role": "trial", "strategy": "all"}
    (path / "plan.json").write_text(json.dumps({"name": "x", "trials": [line]}))
    if finished:
        (trial / "result.json").write_text("{}")
    return SweepFolder(path)


def refusal(folder, config):
    with pytest.raises(SweepError) as refused:
        is_finished(folder, config, resume=True)
    message = str(refused.value)
    assert refused.value.exit_code == ExitCode.BAD_INPUT
    assert "\n" not in message
    return message.removeprefix(f"{folder.path}: holds ")


LONGER = "a run of another length has other learning rates from its first step on, so none is made longer"


def test_a_finished_run_is_not_trained_further_by_another_length_and_says_why_and_what_to_do(tmp_path):
    folder = folder_of(tmp_path, asked())
    assert refusal(folder, asked("train.length.epochs=4")) == (
        "a finished run of another file: train.length.epochs was 2.0, is 4.0; give `output` a new folder, or undo the "
        f"change; {LONGER} (`raybert train FILE --resume-from {tmp_path} --weights-only` begins a new one with what "
        "this one has learned, and without the flag with all of a checkpoint that `train.checkpoints` has kept)"
    )


def test_an_unfinished_run_goes_on_as_it_was_begun_or_not_at_all(tmp_path):
    folder = folder_of(tmp_path, asked(), finished=False)
    assert is_finished(folder, asked(), resume=True) is False
    assert refusal(folder, asked("train.length={steps: 90}")) == (
        "an unfinished run of another file: train.length.epochs was 2.0, is null; train.length.min_steps was 100, is "
        "null; train.length.steps was null, is 90; give `output` a new folder, or undo the change; " + LONGER
    )
    assert refusal(folder, asked("train.weight_decay=0.1")) == (
        "an unfinished run of another file: train.weight_decay was 0.01, is 0.1; give `output` a new folder, or undo "
        "the change"
    )


def test_every_key_that_decides_a_result_is_named_with_both_values(tmp_path):
    folder = folder_of(tmp_path, asked())
    changed = asked("data.max_length=12", "model.pooling=mean", "train.batch_size=8", "resources.cpus_per_worker=2")
    assert refusal(folder, changed) == (
        "a finished run of another file: data.max_length was 128, is 12; model.pooling was null, is mean; "
        "resources.cpus_per_worker was 1, is 2; train.batch_size was 16, is 8; give `output` a new folder, or undo the "
        "change"
    )


@pytest.mark.parametrize("finished", [True, False])
def test_keys_that_decide_nothing_about_a_result_may_change(tmp_path, finished):
    folder = folder_of(tmp_path, asked(), finished=finished)
    free = [
        "name=other",
        "limits.retries=1",
        "resources.concurrent_trials=1",
        "train.checkpoint_seconds=5",
        "train.checkpoints={every: epoch, keep_last: 3}",
        "monitor.gradient_norm=2",
        "sweep.seeds=[0, 5, 7]",
        "sweep.strategies=[all, random]",
    ]
    assert is_finished(folder, asked(*free), resume=True) is finished


def test_a_length_that_says_the_same_in_other_words_is_the_same(tmp_path):
    (tmp_path / "passes").mkdir()
    folder = folder_of(tmp_path / "passes", asked(file={}))
    assert is_finished(folder, asked("train.length.epochs=3", file={}), resume=True)  # the default, written out
    folder = folder_of(tmp_path / "steps", asked("train.length={steps: 9}"))
    assert is_finished(folder, asked("train.length={steps: 9, min_steps: 7}"), resume=True)  # of no use beside `steps`
