"""The best configuration once more, on training and validation examples together."""

import json

import numpy as np
import pytest

from raybert.analysis import publish_results
from raybert.config import validate_config
from raybert.errors import ConfigError, SweepError
from raybert.sweeping.folder.layout import SweepFolder
from raybert.sweeping.phases.refit import join_validation, mean_best_share, plan_refit
from raybert.sweeping.trial.run import run_trial
from tests.sweeping.planning import plan_of

SECTIONS = {
    "data": {"max_length": 32, "train_examples": 300, "validation_examples": 60, "test_examples": 60},
    "train": {
        "length": {"epochs": 4, "min_steps": 0},
        "batch_size": 16,
        "eval_every": 2,
        "early_stopping": {"patience": 3},
    },
    "selection": {"budget": 0.2},
}


def config_for(*strategies, **sections):
    return validate_config({**SECTIONS, "sweep": {"strategies": list(strategies), "seeds": [3, 5]}, **sections})


def trials_of(prepared, config):
    plan = plan_of(config, prepared.facts)
    return [spec for spec in plan.trials if spec.role == "trial"]


@pytest.fixture(scope="module")
def joined(prepared):
    return join_validation(config_for("random"), prepared)


def test_the_pool_is_joined_by_the_validation_examples_and_nothing_else_changes(prepared, joined):
    train, validation = prepared.splits.train, prepared.splits.validation
    fresh = [i for i in validation["example_id"].to_pylist() if i not in set(train["example_id"].to_pylist())]
    assert joined.splits.train["example_id"].to_pylist() == [*train["example_id"].to_pylist(), *fresh]
    assert joined.splits.details["rows"]["train"] == len(joined.data.train) == 300 + len(fresh)
    assert joined.encoder == prepared.encoder
    assert joined.data.fingerprint != prepared.data.fingerprint
    for split in ("validation", "test"):
        np.testing.assert_array_equal(getattr(joined.data, split).ids, getattr(prepared.data, split).ids)
    np.testing.assert_array_equal(joined.data.train.ids[: len(prepared.data.train.ids)], prepared.data.train.ids)


def test_budget_and_steps_follow_the_larger_pool_and_training_ends_at_the_share(prepared, joined):
    best = trials_of(prepared, config_for("random"))[1]
    (spec,) = plan_refit(best, 0.5, joined.facts)
    n = len(joined.data.train)
    assert (best.num_chosen, best.total_steps) == (60, 16)
    assert (spec.num_chosen, spec.pool_size) == (round(0.2 * n), n)
    assert spec.total_steps == 4 * -(-spec.num_chosen // 16)
    assert spec.last_step == round(0.5 * spec.total_steps)
    assert (spec.role, spec.seed, spec.label) == ("refit", 5, "random")
    assert spec.config.train.early_stopping.patience is None
    assert spec.config.train.learning_rate == best.config.train.learning_rate
    (whole,) = plan_refit(best, 1.0, joined.facts)
    assert (whole.last_step, whole.trial_id == spec.trial_id) == (whole.total_steps, False)


def test_what_it_reads_of_other_runs_is_trained_on_the_joined_pool_too(prepared, joined):
    best = next(spec for spec in trials_of(prepared, config_for("el2n")))
    proxy, spec = plan_refit(best, 0.5, joined.facts)
    assert spec.proxies == (proxy.trial_id,)
    assert (proxy.role, proxy.pool_size) == ("proxy", len(joined.data.train))
    assert proxy.data_key == spec.data_key != best.data_key
    assert proxy.trial_id not in best.proxies


def test_the_share_is_the_mean_over_the_seeds(prepared, tmp_path):
    folder = SweepFolder(tmp_path)
    trials = trials_of(prepared, config_for("random"))
    for spec, step in zip(trials, (4, 12), strict=True):
        folder.trial(spec.trial_id).path.mkdir(parents=True)
        folder.trial(spec.trial_id).finish({"best_step": step})
    assert mean_best_share(folder, trials) == 0.5  # of 16 steps


@pytest.mark.slow
def test_it_trains_to_its_last_step_is_tested_once_and_claims_nothing_about_validation(prepared, joined, tmp_path):
    best = trials_of(prepared, config_for("random"))[0]
    (spec,) = plan_refit(best, 0.5, joined.facts)
    folder = SweepFolder(tmp_path)
    assert run_trial(spec, joined.data, joined.encoder, (), folder, lambda row: None) == "complete"
    trial = folder.trial(spec.trial_id)
    (row,) = trial.rows()
    result = trial.result()
    assert row["step"] == result["optimizer_steps"] == result["best_step"] == spec.last_step
    assert 0 < row["learning_rate"] < spec.config.train.learning_rate  # the schedule is that of T
    assert not [key for key in result if key.startswith("validation_")]
    assert result["test_accuracy"] >= 0
    import pandas as pd

    predictions = pd.read_parquet(trial.path / "predictions.parquet")
    assert set(predictions["split"]) == {"test"}


def test_folds_have_no_one_pool_to_refit_on():
    with pytest.raises(ConfigError, match=r"^sweep.refit: must be false with `data.folds`.*, got true$"):
        validate_config({"data": {"folds": 3}, "sweep": {"refit": True}})


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.long
def test_a_sweep_ends_with_the_refit_as_its_best_model(ray_cluster, tmp_path):
    import io

    from rich.console import Console

    from raybert.evaluation.find import find_target
    from raybert.evaluation.targets import stored_predictions
    from raybert.sweeping.plan.design import read_design
    from raybert.sweeping.runner import run_sweep
    from raybert.sweeping.single.reproduce import reproduce_trial
    from raybert.terminal.run_progress import RunLines
    from raybert.terminal.sweep_progress import PlainProgress

    sweep = {"strategies": ["random"], "seeds": 2, "refit": True}
    data = {**SECTIONS["data"], "train_examples": 120}
    train = {"length": {"steps": 4}, "batch_size": 16, "eval_every": 2}
    config = validate_config({"data": data, "train": train, "sweep": sweep})
    out = io.StringIO()
    outcome = run_sweep(read_design(config), tmp_path, PlainProgress(Console(file=out)))
    assert outcome.exit_code == 0, out.getvalue()
    assert outcome.num_complete == 3
    results = publish_results(tmp_path)
    refit = json.loads((tmp_path / "refit.json").read_text())
    assert (tmp_path / "best" / "trial_id").read_text().strip() == refit["trial_id"]
    assert refit["of"] in set(results.trials["trial_id"])
    assert set(refit["seeds"]) == set(results.trials["trial_id"])
    card = (tmp_path / "best" / "README.md").read_text()
    assert "was trained once more, on training and validation examples together" in card
    assert "The test split was evaluated once for this model." in card
    assert "| validation accuracy | trained on it |" in card
    target = find_target(tmp_path)
    examples, _ = stored_predictions(target, "test")
    assert len(set(examples.ids)) == 60  # by id, not by row
    with pytest.raises(SweepError, match="split: must be one of test"):
        stored_predictions(target, "validation")
    again = run_sweep(read_design(config), tmp_path, PlainProgress(Console(file=io.StringIO())))
    assert again.num_complete == 3
    progress = RunLines(Console(file=io.StringIO()))
    assert reproduce_trial(SweepFolder(tmp_path), refit["trial_id"], progress).exit_code == 0


def test_a_pool_with_planted_noise_is_joined_by_clean_examples(corpus):
    from raybert.config import DataConfig, RaybertConfig
    from raybert.data import load_splits
    from raybert.sweeping.phases.prepare import prepare

    sizes = {"max_length": 32, "train_examples": 100, "validation_examples": 40, "test_examples": 40}
    config = RaybertConfig(data=DataConfig(noise={"flip": 0.2, "duplicate": 0.1}, **sizes))
    joined = join_validation(config, prepare(config, load_splits(config.data, corpus), corpus))
    planted = joined.splits.train["planted"].to_pylist()
    assert len(planted) == len(joined.data.train) > 110
    assert [planted.count(kind) for kind in ("flip", "duplicate")] == [20, 10]
    assert set(planted[110:]) == {""}
