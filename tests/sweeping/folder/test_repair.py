"""Torn, empty and deleted files of a results folder: recovery with a word about it."""

import numpy as np
import pandas as pd
import pytest

from raybert.config import dump_yaml, validate_config
from raybert.files import is_whole_parquet
from raybert.sweeping.folder.layout import SweepFolder
from raybert.sweeping.folder.repair import read_or_note, read_previous_config, set_aside_damaged_results


@pytest.fixture
def trial(tmp_path):
    trial = SweepFolder(tmp_path).trial("t")
    trial.path.mkdir(parents=True)
    for name in ("selection.parquet", "predictions.parquet"):
        pd.DataFrame({"row": np.arange(100)}).to_parquet(trial.path / name)
    trial.write_losses(np.arange(100), np.zeros(100))
    trial.finish({"validation_accuracy": 1.0})
    return trial


def cut(path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def empty(path) -> None:
    path.write_bytes(b"")


@pytest.mark.parametrize("damage", [cut, empty])
@pytest.mark.parametrize("name", ["result.json", "selection.parquet", "predictions.parquet", "losses.npz"])
def test_a_finished_trial_with_a_damaged_file_is_run_again_and_the_file_is_kept(trial, tmp_path, name, damage):
    damage(trial.path / name)
    before, notes = (trial.path / name).read_bytes(), []
    assert trial.damaged() == [trial.path / name]
    set_aside_damaged_results(SweepFolder(tmp_path), ["t", "unknown"], notes.append)
    assert trial.status() == "pending"
    assert (trial.path / f"{name}.damaged").read_bytes() == before
    assert notes == [f"note: trials/t: {name} damaged, set aside as *.damaged; the trial is run again"]


def test_a_whole_trial_is_left_alone(trial, tmp_path):
    notes = []
    set_aside_damaged_results(SweepFolder(tmp_path), ["t"], notes.append)
    assert trial.status() == "complete"
    assert notes == []
    (trial.path / "predictions.parquet").unlink()
    assert trial.damaged() == [], "what a user has deleted to save space is no damage"


@pytest.mark.parametrize("left", [[], [1], [1, 3], [2, 3]])
def test_a_finished_trial_that_lacks_evaluations_is_run_again(trial, tmp_path, left):
    trial.finish({"validation_accuracy": 1.0, "optimizer_steps": 30})
    for number in (1, 2, 3):
        trial.append_row({"evaluation": number, "step": 10 * number})
    assert trial.damaged() == []
    (trial.path / "evaluations.jsonl").unlink()
    for number in left:
        trial.append_row({"evaluation": number, "step": 10 * number})
    notes = []
    set_aside_damaged_results(SweepFolder(tmp_path), ["t"], notes.append)
    assert trial.status() == "pending"
    assert "evaluations.jsonl damaged" in notes[0]


def test_a_parquet_file_is_whole_with_both_its_ends(trial):
    path = trial.path / "selection.parquet"
    assert is_whole_parquet(path)
    path.write_bytes(b"PAR1")
    assert not is_whole_parquet(path)


def test_a_torn_configuration_is_written_anew_even_where_what_is_left_of_it_is_valid(tmp_path):
    config = validate_config({"train": {"batch_size": 16}})
    text, path = dump_yaml(config), tmp_path / "resolved.yaml"
    path.write_text(text)
    notes = []
    assert read_previous_config(tmp_path, notes.append) == config
    assert notes == []
    lines = text.splitlines(keepends=True)
    for kept in ("", "".join(lines[: len(lines) // 2]), text[: len(text) // 3], "\x00" * 100):
        path.write_text(kept)
        assert read_previous_config(tmp_path, notes.append) is None
        assert "resolved.yaml is damaged and written anew" in notes.pop()
    path.unlink()
    assert read_previous_config(tmp_path, notes.append) is None
    assert notes == []


def test_a_torn_mapping_is_said_and_a_missing_one_is_not(tmp_path):
    notes = []
    path = tmp_path / "manifest.json"
    assert read_or_note(path, notes.append) is None
    path.write_text('{"a": 1}')
    assert read_or_note(path, notes.append) == {"a": 1}
    assert notes == []
    path.write_text('{"a"')
    assert read_or_note(path, notes.append) is None
    assert notes == ["note: manifest.json is damaged and written anew"]
