"""The main command on the embedded default: what it ends with, again, extended, refused, killed."""

import shutil
from pathlib import Path

import pandas as pd
import pytest

import raybert
from tests.e2e.commands import FILE, SHRUNK_OPTIONS, forked_command, run_apart, sweep, timeless
from tests.sweeping.folder.test_contents import undeclared

REQUIRED = [
    "trial_id",
    "strategy",
    "seed",
    "fold",
    "budget",
    "status",
    "best_pass",
    "validation_accuracy",
    "validation_macro_f1",
    "test_accuracy",
    "test_macro_f1",
    "test_weighted_f1",
    "test_auc_roc",
    "test_auc_pr",
    "test_loss",
    "examples_seen",
    "optimizer_steps",
    "train_seconds",
    "selection_seconds",
    "wall_seconds",
    "error",
]

pytestmark = [pytest.mark.slow, pytest.mark.ray, pytest.mark.usefixtures("ray_cluster")]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("undisturbed") / "run"
    done = sweep(folder)
    assert done.code == 0, done.said
    (folder / "stdout.txt").write_text(done.out)
    return folder


def test_the_sweep_file_ends_with_a_table_plots_and_the_best_model(undisturbed):
    printed = (undisturbed / "stdout.txt").read_text()
    for name in (
        "all",
        "random",
        "random_stratified",
        "random_epoch",
        "loss_threshold",
        "confidence",
        "el2n",
        "k_center",
        "proxy",
    ):
        assert name in printed
    assert "plot: " in printed
    results = raybert.load_sweep(undisturbed)
    assert list(results.trials.columns[: len(REQUIRED)]) == REQUIRED
    assert (results.trials["status"] == "complete").all()
    assert len(results.trials) == 8 * 2 + 2
    assert (results.trials.set_index("strategy")["optimizer_steps"] == 12).drop("proxy").all()
    assert {"train_loss", "validation_loss", "train_accuracy", "validation_accuracy", "samples"} <= set(
        results.evaluations
    )
    frames = {"trials": results.trials, "evaluations": results.evaluations, "summary": results.summary()}
    for table, frame in frames.items():
        stored = pd.read_parquet(undisturbed / "results" / f"{table}.parquet")
        assert len(stored) == len(frame) == len(pd.read_csv(undisturbed / "results" / f"{table}.csv"))
    for plot in ("accuracy", "samples_per_pass"):
        assert (undisturbed / "plots" / f"{plot}.png").stat().st_size > 5000


def test_its_folder_holds_nothing_undeclared(undisturbed):
    assert undeclared(undisturbed) == ["stdout.txt"]  # which this test has written


def test_the_best_model_loads_with_plain_transformers(undisturbed):
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    model = AutoModelForSequenceClassification.from_pretrained(undisturbed / "best")
    tokens = AutoTokenizer.from_pretrained(undisturbed / "best")("Return the mean of an array.", return_tensors="pt")
    assert model(**tokens).logits.shape == (1, model.config.num_labels)
    assert "pandas" in model.config.id2label.values()


def test_a_selection_can_be_read_back(undisturbed):
    results = raybert.load_sweep(undisturbed)
    trials = results.trials.set_index("strategy")
    chosen = results.selection(trials.loc["el2n", "trial_id"].iloc[0])
    assert len(chosen) == chosen["example_id"].nunique() == 24
    assert chosen["score"].notna().all()
    passes = results.selection(trials.loc["random_epoch", "trial_id"].iloc[0])
    assert (passes.groupby("pass").size() == 24).all()
    predictions = results.predictions(trials.loc["all", "trial_id"].iloc[0])
    test = predictions[predictions["split"] == "test"]
    predicted = test.filter(like="prob_").to_numpy().argmax(1)
    assert (predicted == test["label"]).mean() == pytest.approx(trials.loc["all", "test_accuracy"].iloc[0])


def test_the_same_command_again_runs_nothing_and_more_seeds_run_the_difference(undisturbed, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(undisturbed, folder)
    before = {path: path.stat().st_mtime_ns for path in folder.glob("trials/*/result.json")}
    done = sweep(folder, "--set", "sweep.seeds=3", "--set", "sweep.strategies=[random]")
    assert done.code == 0, done.said
    after = {path: path.stat().st_mtime_ns for path in folder.glob("trials/*/result.json")}
    assert {path: after[path] for path in before} == before
    assert len(after) == len(before) + 1  # of the third seed


def test_a_changed_file_is_refused_with_the_change(undisturbed):
    done = sweep(undisturbed, "--set", "train.batch_size=16")
    assert done.code == 2
    assert "train.batch_size was 32, is 16; give `output` a new folder" in done.err


@pytest.mark.long
def test_a_process_and_a_ray_of_its_own_and_two_trials_at_once_change_nothing(undisturbed, tmp_path):
    done = run_apart("sweep", FILE, "--output", tmp_path / "run", *SHRUNK_OPTIONS)
    assert done.code == 0, done.said
    assert_same_tables(undisturbed, tmp_path / "run")


@pytest.mark.long
def test_kill_9_in_the_middle_and_the_same_command_give_the_undisturbed_tables(undisturbed, address, tmp_path):
    folder = tmp_path / "run"
    with forked_command("sweep", FILE, "--output", folder, "--address", address, *SHRUNK_OPTIONS) as process:
        for _ in range(5):
            process.read_until(": complete")
        process.kill()
    survivors = set(folder.glob("trials/*/result.json"))
    assert 5 <= len(survivors) < 18
    stamps = {path: path.read_bytes() for path in survivors}
    done = sweep(folder)
    assert done.code == 0, done.said
    assert {path: path.read_bytes() for path in survivors} == stamps
    assert_same_tables(undisturbed, folder)


def assert_same_tables(one: Path, other: Path) -> None:
    expected, found = raybert.load_sweep(one), raybert.load_sweep(other)
    pd.testing.assert_frame_equal(timeless(found.trials), timeless(expected.trials))
    pd.testing.assert_frame_equal(timeless(found.evaluations), timeless(expected.evaluations))
