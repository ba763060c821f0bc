"""A sweep with `budget: auto`: sizes by seed, the draw beside it, and what is compared with what."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from scipy import stats

import raybert
from raybert.analysis.results.load import num_chosen
from tests.in_one_process import sweep_in_this_process
from tests.processes import called

pytestmark = pytest.mark.slow
SEEDS = 3


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("auto")
    generator = np.random.default_rng(4)
    labels = generator.integers(0, 2, 240)
    words = np.array([["rain", "cold", "and", "or"], ["sun", "warm", "and", "or"]])
    texts = [" ".join(generator.choice(words[label], 5)) for label in labels]
    pd.DataFrame({"text": texts, "label": labels}).to_csv(folder / "pool.csv", index=False)
    document = {
        "data": {"source": str(folder / "pool.csv"), "max_length": 16, "noise": {"flip": 0.25}},
        "train": {"length": {"steps": 10}, "batch_size": 8, "learning_rate": 1e-3},
        "selection": {"budget": 0.3, "proxy": {"num_seeds": 3, "epochs": 2, "learning_rate": 1e-3}},
        "sweep": {
            "strategies": [
                "random",
                "all",
                {"name": "h_score", "budget": "auto", "label": "tickets"},
                {"name": "all", "pre": "semdedup", "label": "no duplicates"},
            ],
            "seeds": SEEDS,
        },
    }
    file = folder / "sweep.yaml"
    file.write_text(yaml.safe_dump(document, sort_keys=False))
    called(sweep_in_this_process, file, folder / "run")
    return folder / "run"


def sizes(run: Path, trials: pd.DataFrame, strategy: str) -> dict[int, int]:
    rows = trials[trials["strategy"] == strategy]
    found = {}
    for trial in rows.to_dict("records"):
        chosen = pd.read_parquet(run / "trials" / trial["trial_id"] / "selection.parquet")
        assert chosen["position"].is_unique
        found[int(trial["seed"])] = len(chosen)
    return found


def test_a_rule_takes_its_own_number_the_draw_takes_as_many_and_they_are_compared(run):
    sweep = raybert.load_sweep(run)
    trials = sweep.trials
    of_rule, of_draw = (sizes(run, trials, name) for name in ("tickets", "random as tickets"))
    assert of_rule == of_draw
    assert len(of_rule) == SEEDS
    assert len({*of_rule.values()}) > 1  # other proxies, another size
    pool = int(trials["pool_size"].iloc[0])
    assert all(0 < size < pool for size in of_rule.values())
    steps = trials.set_index("strategy")["optimizer_steps"]
    assert {*steps["tickets"], *steps["random as tickets"], *steps["all"]} == {10}

    summary = sweep.summary().set_index("strategy")
    assert summary.loc["tickets", "budget"] == round(np.mean([*of_rule.values()]))
    assert summary.loc["no duplicates", "budget"] == next(iter(sizes(run, trials, "no duplicates").values())) < pool
    assert summary.loc["all", "budget"] == pool
    assert summary.loc["random", "budget"] == round(0.3 * pool)

    pairs = sweep.comparisons.set_index("strategy")["baseline"].to_dict()
    assert pairs == {"tickets": "random as tickets", "no duplicates": "all"}
    wide = trials[trials["role"] == "trial"].pivot(index="seed", columns="strategy", values="test_accuracy")
    row = sweep.comparisons.set_index("strategy").loc["tickets"]
    difference = wide["tickets"] - wide["random as tickets"]
    assert row["difference"] == pytest.approx(difference.mean(), abs=1e-12)
    expected = stats.ttest_rel(wide["tickets"], wide["random as tickets"]).pvalue
    assert row["p"] == pytest.approx(expected, abs=1e-9, nan_ok=True)
    notes = (run / "results" / "notes.txt").read_text()
    assert "Traceback" not in notes


def test_what_has_not_finished_does_not_count_for_the_size(run, tmp_path):
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    trials = raybert.load_sweep(copy).trials
    (first, *rest) = trials[trials["strategy"] == "tickets"]["trial_id"]
    (copy / "trials" / first / "result.json").unlink()
    found = raybert.load_sweep(copy)
    expected = np.mean([len(pd.read_parquet(run / "trials" / name / "selection.parquet")) for name in rest])
    assert found.summary().set_index("strategy").loc["tickets", "budget"] == round(expected)
    for name in rest:
        (copy / "trials" / name / "result.json").unlink()
    pending = raybert.load_sweep(copy).trials
    assert {*pending.loc[pending["strategy"] == "tickets", "budget"]} == {int(trials["pool_size"].iloc[0])}


def test_texts_say_how_many_were_taken_and_not_the_whole_pool(run):
    sweep = raybert.load_sweep(run)
    size, pool = (
        int(sweep.summary().set_index("strategy").loc["tickets", "budget"]),
        int(sweep.trials["pool_size"].max()),
    )
    text = (run / "results" / "summaries" / "tickets.txt").read_text()
    assert f"{size:,} of {pool:,} examples" in text
    assert "the whole pool; " in (run / "results" / "summaries" / "all.txt").read_text()


def test_the_number_is_that_of_the_runs_own_file_which_a_refit_has_too(run, tmp_path):
    trials = raybert.load_sweep(run).trials
    trial_id = trials.loc[trials["strategy"] == "tickets", "trial_id"].iloc[0]
    folder = run / "trials" / trial_id
    rows = pd.read_parquet(folder / "selection.parquet")
    assert num_chosen(folder) == len(rows)
    rows.assign(**{"pass": np.zeros(len(rows), np.int32)}).to_parquet(tmp_path / "selection.parquet")
    assert num_chosen(tmp_path) is None  # chosen anew in every pass
    (tmp_path / "selection.parquet").write_bytes(b"PAR1")
    assert num_chosen(tmp_path) is None
    assert num_chosen(tmp_path / "nowhere") is None
