"""Checkpoints that stay, as a user meets them: kept, compared, named, and begun from."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import raybert
from tests.e2e import commands
from tests.e2e.test_single import FILE, result_of, reviews, run

pytestmark = [pytest.mark.slow, pytest.mark.long]
KEPT = ("--set", "train.checkpoints={every: 8, keep_last: 3}", "--set", "sweep.grid={}")


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("kept")
    reviews(240, 1).to_csv(folder / "all.csv", index=False)
    (folder / "file.yaml").write_text(FILE % (folder / "all.csv"))
    code, out, err = run("train", folder / "file.yaml", "--output", folder / "run", *KEPT)
    assert code == 0, out + err
    return folder


def checkpoint(place: Path, step: int) -> Path:
    (found,) = (place / "run").glob(f"trials/*/checkpoint/step-{step:06d}")
    return found


def from_checkpoint(place: Path, step: int, name: str, *options: object) -> tuple[int, str]:
    code, out, err = run(
        "train",
        place / "file.yaml",
        "--resume-from",
        checkpoint(place, step),
        "--output",
        place / name,
        *KEPT,
        *options,
    )
    return code, out + err


def test_checkpoints_are_compared_on_validation_and_each_is_a_model(place):
    code, out, err = run("evaluate", place / "run", "--checkpoints")
    assert code == 0, out + err
    table = pd.read_csv(place / "run" / "evaluation" / "checkpoints.csv")
    assert table["checkpoint"].tolist() == ["step-000008", "step-000016", "step-000024"]
    assert set(table["split"]) == {"validation"}
    rows = raybert.load_sweep(place / "run").evaluations.set_index("step")
    last = table.set_index("step").loc[24]
    for metric in ("accuracy", "macro_f1", "loss"):  # the evaluation at this step measured the same weights
        assert last[metric] == pytest.approx(rows.loc[24, f"validation_{metric}"], rel=1e-6)
    assert "note: the test split" not in out + err
    document = json.loads(run("evaluate", place / "run", "--checkpoints", "--json")[1])
    assert [row["accuracy"] for row in document["checkpoints"]] == pytest.approx(table["accuracy"].tolist())
    code, out, err = run("evaluate", place / "run", "--checkpoints", "--split", "test")
    assert "the test split was read for 3 checkpoints" in out + err
    # One of them alone is evaluated as itself, not as the best model of its run.
    found = raybert.evaluate(checkpoint(place, 8), split="validation")
    assert found.overall.loc["accuracy", "value"] == pytest.approx(table.loc[0, "accuracy"])
    predicted = raybert.predict(checkpoint(place, 8), place / "all.csv")
    assert len(predicted) == 240
    code, out, err = run("evaluate", place / "run", "--checkpoints", "--data", place / "all.csv")
    assert code == 2
    assert "leave out --data and its columns" in " ".join((out + err).replace("│", " ").split())


def test_the_rest_of_a_run_from_a_checkpoint_is_that_run(place):
    code, printed = from_checkpoint(place, 16, "again")
    assert code == 0, printed
    (first, second) = (result_of(place / name) for name in ("run", "again"))
    assert first.pop("trial_id") != second.pop("trial_id")  # it stands on a checkpoint, which may be anybody's
    assert first == second
    again = (place / "again").glob("trials/*/predictions.parquet")
    whole = (place / "run").glob("trials/*/predictions.parquet")
    pd.testing.assert_frame_equal(pd.read_parquet(next(again)), pd.read_parquet(next(whole)))
    code, printed = from_checkpoint(place, 16, "again", "--resume")
    assert (code, "finished earlier" in printed) == (0, True)


def test_a_longer_run_says_what_it_is_and_other_differences_are_refused_in_one_line(place):
    code, printed = from_checkpoint(place, 24, "longer", "--set", "train.length.steps=36")
    assert code == 0, printed
    result = result_of(place / "longer")
    assert (result["optimizer_steps"], result["total_steps"]) == (36, 36)
    assert "goes on from step 24 of a run of T = 24 steps, with T = 36" in result["notes"]
    for options, what in (
        (("--set", "train.batch_size=8"), "differs from this one: train.batch_size was 16, is 8; undo the change, or"),
        (("--seed", "3"), "seed was 0, is 3"),
        (("--set", "data.max_length=12"), "data.max_length was 16, is 12"),
        (("--strategy", "random_epoch"), "must not be continued with 'random_epoch', which chooses anew while it"),
        (("--strategy", "random"), "strategy.name was all, is random"),
    ):
        code, printed = from_checkpoint(place, 16, "refused", *options)
        assert code == 2, printed
        assert what in " ".join(printed.split()), printed
    assert not (place / "refused").exists()
    code, out, err = run("train", place / "file.yaml", "--resume-from", place / "run", "--output", place / "refused")
    assert code == 2
    assert "must be a checkpoint that `train.checkpoints` has kept; there are" in out + err
    code, out, err = run("train", place / "file.yaml", "--weights-only", "--output", place / "refused")
    assert code == 2
    assert "must be left out without `resume_from`" in out + err


def test_weights_alone_begin_another_run(place):
    code, printed = from_checkpoint(place, 24, "tuned", "--weights-only", "--set", "train.length.steps=4")
    assert code == 0, printed
    (rows,) = ([json.loads(line) for line in path.open()] for path in (place / "tuned").glob("trials/*/eval*.jsonl"))
    best = raybert.load_sweep(place / "run").evaluations
    assert rows[0]["step"] == 4
    # It begins where the other one ended, not from nothing.
    assert rows[0]["train_loss"] < best["train_loss"].iloc[0]
    assert np.isfinite(rows[0]["validation_loss"])
    again = commands.run("reproduce", next((place / "tuned").glob("trials/*")))
    assert again.code == 0, again.said
