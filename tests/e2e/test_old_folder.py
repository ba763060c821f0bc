"""A results folder that raybert 0.1 wrote before it was rebuilt: later versions read, continue and repeat it."""

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest

import raybert
from tests.e2e.commands import ROOT, run

FIXTURES = ROOT / "tests" / "fixtures"
FILE, FOLDER = "folder_0_1.yaml", "folder_0_1"
EXPECTED = FIXTURES / "folder_0_1_trials.csv"
"""Columns of the trials table as its writer knew them, by today's names."""
NUM_STRATEGIES, NUM_PROXIES = 5, 1
"""What a further seed asks for."""

pytestmark = [pytest.mark.slow, pytest.mark.ray, pytest.mark.usefixtures("ray_cluster", "no_pixels")]


@pytest.fixture
def old(tmp_path, monkeypatch) -> Path:
    """A copy of the folder, beside the data and the encoder that its paths name."""
    shutil.copytree(FIXTURES, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path / FOLDER


@pytest.fixture
def expected() -> pd.DataFrame:
    return pd.read_csv(EXPECTED, engine="python")  # whose floats are exact


def results_of(folder: Path) -> dict[str, bytes]:
    return {path.parent.name: path.read_bytes() for path in folder.glob("trials/*/result.json")}


def test_its_tables_are_what_they_were(old, expected):
    results = raybert.load_sweep(old)
    pd.testing.assert_frame_equal(
        results.trials[list(expected)], expected, check_exact=True, check_dtype=False, check_index_type=False
    )
    assert set(results.search.suggestions["state"]) == {"complete", "pruned"}
    chosen = results.selection(expected["trial_id"].iloc[0])
    assert chosen["example_id"].is_unique


@pytest.mark.long
@pytest.mark.slow
def test_it_is_reported_and_its_best_model_loads(old, expected):
    done = run("report", old)
    assert done.code == 0, done.said
    for strategy in expected["strategy"].unique():
        assert strategy in done.out
    assert (old / "plots" / "accuracy.png").exists()
    model = raybert.load_model(old / "best")
    assert sum(parameter.numel() for parameter in model.parameters()) > 30_000


SAME_RULE = "sweep.strategies=[all, random, el2n, k_center, {name: loss_threshold, refresh: 1, label: loss_threshold}]"
"""`refresh: 1` was the default of 0.1: without it training's own losses decide, and these trials are trained anew."""


@pytest.mark.long
@pytest.mark.slow
def test_its_own_command_trains_nothing_again(old):
    before = results_of(old)
    done = run("sweep", FILE, "--output", old, "--set", SAME_RULE)
    assert done.code == 0, done.said
    assert results_of(old) == before


@pytest.mark.long
def test_one_more_seed_runs_only_that_seed(old, expected):
    before = results_of(old)
    seeds = expected.loc[expected["role"] == "trial", "seed"].nunique() + 1
    done = run("sweep", FILE, "--output", old, "--set", f"sweep.seeds={seeds}", "--set", SAME_RULE)
    assert done.code == 0, done.said
    after = results_of(old)
    assert {trial: after.get(trial) for trial in before} == before
    trials = raybert.load_sweep(old).trials.set_index("trial_id")
    new = trials.loc[sorted(after.keys() - before.keys())]
    assert (new["seed"] == seeds - 1).all()
    assert len(new) == NUM_STRATEGIES + NUM_PROXIES
    assert set(expected["trial_id"]) <= set(trials.index)


@pytest.mark.parametrize("strategy", ["el2n", "loss_threshold"])
def test_a_trial_is_reproduced(old, expected, strategy):
    trial = expected.set_index("strategy").loc[strategy].iloc[0]
    done = run("reproduce", old, trial["trial_id"], "--output", old.parent / "again")
    assert done.code in (0, 1), done.said
    if done.code == 1:  # another processor, or other versions, round otherwise
        (path,) = (old.parent / "again").glob("trials/*/result.json")
        again = json.loads(path.read_text())
        for metric in ("validation_accuracy", "test_accuracy"):
            assert again[metric] == pytest.approx(trial[metric], abs=0.15), done.said
