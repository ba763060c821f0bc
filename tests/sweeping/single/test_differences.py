import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import save_file

from raybert.sweeping.folder.layout import SweepFolder
from raybert.sweeping.single.differences import compare_trials

ROWS = [{"evaluation": i, "step": 10 * i, "train_loss": 1.0 / i, "seconds": 1.0} for i in (1, 2, 3)]


def write_trial(path, rows=ROWS, result=None, chosen=(4, 2, 9), probs=(0.25, 0.75), weight=1.0):
    trial = SweepFolder(path).trial("t")
    best = trial.checkpoints / "best"
    best.mkdir(parents=True)
    for row in rows:
        trial.append_row(row)
    ids = [f"e{position}" for position in chosen]
    selection = pd.DataFrame({"example_id": ids, "position": chosen, "pass": -1, "score": np.nan, "weight": 1.0})
    selection.to_parquet(trial.path / "selection.parquet")
    pd.DataFrame({"split": "test", "row": [0, 1], "prob_0": probs}).to_parquet(trial.path / "predictions.parquet")
    save_file({"w": torch.tensor([weight, 2.0])}, best / "model.safetensors")
    (best / "COMPLETE").touch()
    trial.write_losses(np.array([weight, np.nan]), np.array([2, -1]))
    trial.finish({"test_accuracy": 0.5, "train_seconds": 3.0, "test_loss": float("nan"), **(result or {})})
    return trial


@pytest.fixture
def first(tmp_path):
    return write_trial(tmp_path / "first")


def differences(first, again):
    return {part.what: part.differences for part in compare_trials(first, again)}


def test_the_same_bits_are_the_same_whatever_the_clock_says(first, tmp_path):
    slower = [{**row, "seconds": 9.0} for row in ROWS]
    found = compare_trials(first, write_trial(tmp_path / "again", slower, {"train_seconds": 8.0}))
    assert [(part.what, part.size, part.differences) for part in found] == [
        ("evaluations", "3 rows", ()),
        ("result", "2 values", ()),
        ("selection", "3 rows", ()),
        ("predictions", "2 rows", ()),
        ("losses", "2 examples", ()),
        ("weights", "1 tensors", ()),
    ]


def test_the_machine_is_no_result(first, tmp_path):
    """Runs of earlier versions do not say what they were trained on; what differs by it is among the results."""
    machine = {"device": "NVIDIA H200", "precision": "bf16", "attention": "sdpa", "micro_batch_size": 8}
    assert differences(first, write_trial(tmp_path / "again", result=machine))["result"] == ()


def test_evaluations_say_where_they_part_and_by_how_much(first, tmp_path):
    rows = [ROWS[0], {**ROWS[1], "train_loss": 0.5 + 2**-20}]
    found = differences(first, write_trial(tmp_path / "again", rows))
    assert found["evaluations"] == (
        "from evaluation 2 (step 20) on",
        "evaluation 3 is missing",
        "train_loss by 9.54e-07",
    )


def test_a_value_that_is_other_or_missing_is_named(first, tmp_path):
    found = differences(first, write_trial(tmp_path / "again", result={"test_accuracy": 0.75, "notes": "late"}))
    assert found["result"] == ("test_accuracy: 0.5, now 0.75 (0.25)", "notes: None, now 'late'")


def test_other_examples_are_counted_and_another_order_is_a_difference(first, tmp_path):
    found = differences(first, write_trial(tmp_path / "one", chosen=(4, 2, 8)))
    assert found["selection"] == ("1 of 3 examples are not chosen now, 1 others are",)
    found = differences(first, write_trial(tmp_path / "other", chosen=(2, 4, 9)))
    assert found["selection"] == ("example_id: 2 of 3 differ", "position: 2 of 3 differ, by at most 2")


def test_predictions_and_weights_that_differ_in_one_number_are_found(first, tmp_path):
    probability = float(np.nextafter(0.75, 1))
    found = differences(first, write_trial(tmp_path / "again", probs=(0.25, probability), weight=1.5))
    assert found["predictions"] == ("prob_0: 1 of 2 differ, by at most 1.11e-16",)
    assert found["weights"] == ("w: 1 of 2 differ, by at most 0.5",)
    assert found["losses"] == ("loss: 1 of 2 differ, by at most 0.5",)


def test_an_unfinished_run_is_compared_as_far_as_it_came_and_a_deleted_model_not_at_all(tmp_path, first):
    pruned = SweepFolder(tmp_path / "pruned").trial("t")
    pruned.path.mkdir(parents=True)
    pruned.append_row(ROWS[0])
    assert differences(pruned, first) == {"evaluations": ()}
    again = write_trial(tmp_path / "again")
    first.remove_models()
    assert "weights" not in differences(first, again)
    (again.path / "predictions.parquet").unlink()
    assert differences(first, again)["predictions"] == ("predictions.parquet is missing",)
    again.losses_path.unlink()
    assert differences(first, again)["losses"] == ("losses.npz is missing",)
    first.losses_path.unlink()  # as raybert 0.1, which kept none
    assert "losses" not in differences(first, again)
