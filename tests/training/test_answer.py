"""What rank 0 hands back reads back to the last bit, from a file without pickles."""

import dataclasses
import zipfile

import numpy as np
import pytest

from raybert.training.answer import read_answer, write_answer
from raybert.training.objective import MeasuredElsewhere
from raybert.training.ran_on import RanOn
from raybert.training.result import FitResult

RESULT = FitResult(
    rows=[{"evaluation": 1, "step": 3, "validation_loss": 0.1 + 0.2, "train_loss": float("nan"), "name": "ü\n"}],
    best_row={"evaluation": 1, "validation_loss": 1e-320},
    stopped=False,
    optimizer_steps=3,
    examples_seen=24,
    samples_per_pass=(8, 8, 8),
    examples_scored=0,
    test_metrics={"test_accuracy": 1 / 3},
    validation_probs=np.array([[0.1, 0.9]], np.float32),
    test_probs=None,
    train_losses=np.array([np.nan, 1e-45, np.inf], np.float32),
    train_loss_passes=np.array([-1, 0, 2], np.int32),
    train_seconds=1.5,
    evaluation_seconds=0.25,
    selection_seconds=0.0,
    notes=("a note",),
    micro_batch_size=4,
    extra={"far": MeasuredElsewhere(np.array([[0.3, 0.7]], np.float32), {"accuracy": 1 / 3})},
    ran_on=RanOn("cpu", "bf16", "sdpa", 4),
)


@pytest.mark.parametrize("result", [RESULT, dataclasses.replace(RESULT, ran_on=None, test_metrics=None, notes=())])
def test_every_field_reads_back(result, tmp_path):
    write_answer(tmp_path / "answer.npz", result)
    found = read_answer(tmp_path / "answer.npz")
    for field in dataclasses.fields(FitResult):
        one, other = getattr(result, field.name), getattr(found, field.name)
        if isinstance(one, np.ndarray):
            assert (one.dtype, one.shape, one.tobytes()) == (other.dtype, other.shape, other.tobytes()), field.name
        else:
            assert repr(one) == repr(other), field.name  # NaN is not equal to itself


def test_an_array_of_objects_is_not_read(tmp_path):
    write_answer(tmp_path / "answer.npz", RESULT)
    with zipfile.ZipFile(tmp_path / "answer.npz") as stored:
        assert sorted(stored.namelist()) == sorted(
            f"{name}.npy" for name in ("facts", "validation_probs", "train_losses", "train_loss_passes", "extra.far")
        )
    with np.load(tmp_path / "answer.npz") as stored:
        arrays = {name: stored[name] for name in stored}
    np.savez(tmp_path / "answer.npz", **arrays, test_probs=np.array([{}], dtype=object))
    with pytest.raises(ValueError, match="Object arrays cannot be loaded"):
        read_answer(tmp_path / "answer.npz")
