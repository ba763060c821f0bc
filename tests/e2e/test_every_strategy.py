"""Every strategy from one sweep file, and what `select` and `scores` make of its signals."""

import os
from pathlib import Path

import pandas as pd
import pytest

import raybert
from raybert.config import load_config
from tests.e2e.commands import FILE, ROOT, SHRUNK_OPTIONS, run, sweep, timeless

pytestmark = [pytest.mark.long, pytest.mark.slow, pytest.mark.ray, pytest.mark.usefixtures("ray_cluster", "no_pixels")]


@pytest.fixture(scope="module")
def every_strategy(tmp_path_factory) -> Path:
    """A sweep of all strategies of the built-in file, and some compositions, one seed."""
    folder = tmp_path_factory.mktemp("every") / "run"
    strategies = [entry.name for entry in load_config(ROOT / "sweeps" / "all_strategies.yaml").sweep.strategies]
    strategies += [
        "{name: ifd, null_input: mask}",
        "{name: el2n, then: k_center}",
        "{name: k_center, schedule: rounds, rounds: 3, pre: [semdedup]}",
        "{name: rho_loss, schedule: epoch}",
        "{name: grand, schedule: rounds, rounds: 2}",
    ]
    options = ["--set", "sweep.seeds=1", "--set", f"sweep.strategies=[{', '.join(strategies)}]"]
    done = sweep(folder, *options)
    assert done.code == 0, done.said
    (folder / "stdout.txt").write_text(done.out)
    return folder


def test_every_strategy_runs_from_a_sweep_file_and_tells_its_price(every_strategy):
    results = raybert.load_sweep(every_strategy)
    trials = results.trials.set_index("strategy")
    assert (trials["status"] == "complete").all()
    distinct = trials[(trials["role"] == "trial") & (trials["budget_kind"] == "distinct")]
    for name, trial in distinct.iterrows():
        chosen = results.selection(trial["trial_id"])
        assert chosen["position"].nunique() == 24, name
        assert trial["optimizer_steps"] == 12, name
    # Five folds, two twins, one run for the dynamics, one proxy that saw nulls, and the proxy itself.
    assert trials["role"].value_counts().to_dict() == {"trial": 32, "part": 9, "proxy": 1}
    assert trials.loc["el2n", "examples_scored"] == 240
    assert trials.loc["rho_loss", "examples_scored"] == 480
    assert trials.loc["forgetting", "examples_scored"] == 6 * 240  # five checkpoints, and the final model
    assert trials.loc["el2n", "signal_seconds"] > 0
    assert trials.loc["el2n", "signal_seconds_shared"] < trials.loc["el2n", "signal_seconds"]
    assert trials.loc["random", "signal_seconds"] == 0


def test_a_second_sweep_on_the_same_data_computes_no_signal_again(every_strategy, tmp_path):
    names = "[el2n, rho_loss, aum, label_errors, d2, lexical_diversity, aflite_readability]"
    again = sweep(tmp_path / "again", "--set", "sweep.seeds=1", "--set", f"sweep.strategies={names}")
    assert again.code == 0, again.said
    assert "9 proxy runs are taken from the score store" in again.out
    assert "rows/s" not in again.out
    one, other = (
        timeless(raybert.load_sweep(folder).trials).set_index("trial_id")
        for folder in (every_strategy, tmp_path / "again")
    )
    pd.testing.assert_frame_equal(one.loc[other.index], other)


def test_select_writes_what_the_sweep_trained_on(every_strategy, tmp_path):
    results = raybert.load_sweep(every_strategy)
    for name, suffix in (("d2", "parquet"), ("lexical_diversity", "jsonl"), ("random", "csv")):
        file = tmp_path / f"{name}.{suffix}"
        options = ["--strategy", name, "--output", file, *SHRUNK_OPTIONS]
        done = run("select", FILE, *options)
        assert done.code == 0, done.said
        assert "24 of 240 examples" in done.out
        read = {"parquet": pd.read_parquet, "csv": pd.read_csv, "jsonl": lambda path: pd.read_json(path, lines=True)}
        subset = read[suffix](file)
        trial = results.trials.set_index("strategy").loc[name, "trial_id"]
        assert subset["example_id"].tolist() == results.selection(trial)["example_id"].tolist()
        assert subset["rank"].tolist() == list(range(1, 25))
        assert {"text", "label", "score", "weight"} <= set(subset)


def test_a_damaged_score_is_said_and_computed_again_though_its_models_are_gone(every_strategy, tmp_path):
    results = raybert.load_sweep(every_strategy).trials.set_index("strategy")
    expected = pd.read_parquet(
        every_strategy / "trials" / results.loc["label_errors", "trial_id"] / "selection.parquet"
    )
    store = Path(os.environ["RAYBERT_CACHE"]) / "scores"
    (identity,) = (path for path in store.glob("*/identity.json") if '"heldout_probs"' in path.read_text())
    (identity.parent / "block-00000.parquet").write_bytes(b"torn")
    file = tmp_path / "again.csv"
    options = ["--strategy", "label_errors", "--output", file, *SHRUNK_OPTIONS]
    done = run("select", FILE, *options)
    assert done.code == 0, done.said
    assert "block-00000.parquet: must be a whole score block" in done.out
    assert "it is computed again" in done.out
    assert pd.read_csv(file)["example_id"].tolist() == expected["example_id"].tolist()


def test_scores_are_listed_and_freed(every_strategy):
    listed = run("scores", "ls").out
    for scorer in ("embeddings", "proxy", "dynamics", "heldout_probs", "irreducible_loss", "lexical", "aflite"):
        assert scorer in listed
    key = next(line.split()[0] for line in listed.splitlines() if " lexical " in line)
    assert "1 signals removed" in run("scores", "rm", key[:12]).out
    assert key not in run("scores", "ls").out
    assert run("scores", "rm", "nothing").code == 2
