"""A trial gives the same bits in a fresh process, in a used one, and whoever ran before it."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from raybert.config import validate_config
from raybert.selection.keys import HashedIds, draw_keys, tie_keys
from raybert.sweeping.folder.layout import SweepFolder
from raybert.sweeping.folder.trial_folder import TrialFolder
from raybert.sweeping.single.differences import compare_trials
from raybert.sweeping.trial import run, surroundings
from raybert.sweeping.trial.run import make_pool, run_trial
from raybert.tables import EVALUATIONS, LOSSES, PREDICTIONS, RAN_ON, SELECTION, TRIALS
from tests.processes import called
from tests.raybert_01 import age_checkpoint, age_trial
from tests.sweeping.planning import plan_of

CONFIG = {
    "train": {"length": {"steps": 8}, "batch_size": 16, "learning_rate": 1e-3},
    "sweep": {"strategies": ["random", "random_epoch", "loss_threshold"], "seeds": 2},
}


def plan_for(prepared):
    config = validate_config(CONFIG)
    return plan_of(config, prepared.facts)


def outcome(folder: SweepFolder, trial_id: str) -> dict:
    result = folder.trial(trial_id).result()
    return {k: v for k, v in result.items() if not k.endswith("seconds")}


def run_here(prepared, spec, path: Path) -> dict:
    folder = SweepFolder(path)
    status = run_trial(spec, prepared.data, prepared.encoder, (), folder, report=lambda row: None)
    assert status == "complete", folder.trial(spec.trial_id).error()
    return outcome(folder, spec.trial_id)


def test_ids_are_hashed_once_for_all_seeds_and_again_for_other_ids(prepared, monkeypatch):
    hashed = []
    real = HashedIds.of
    monkeypatch.setattr(HashedIds, "of", lambda ids: hashed.append(len(ids)) or real(ids))
    monkeypatch.setattr(run, "_last_hashed", {})
    data = prepared.data
    specs = [spec for spec in plan_for(prepared).trials if spec.label == "random"]
    pools = {spec.seed: make_pool(spec, data, ()) for spec in specs}
    assert hashed == [len(data.train)]
    for seed, pool in pools.items():
        assert np.array_equal(pool.tie_keys, tie_keys(data.example_ids, seed))
        assert np.array_equal(pool.draw_keys, draw_keys(data.example_ids, seed))
    other = replace(data, example_ids=data.example_ids[::-1])
    found = make_pool(specs[0], other, ()).draw_keys
    assert np.array_equal(found, pools[specs[0].seed].draw_keys[::-1])


@pytest.mark.long
@pytest.mark.slow
def test_a_used_process_gives_what_a_fresh_one_gives(prepared, tmp_path):
    specs = plan_for(prepared).trials
    used = {spec.trial_id: run_here(prepared, spec, tmp_path / "used") for spec in specs}
    torch.manual_seed(12345)
    np.random.default_rng(1).random(3)
    again = {spec.trial_id: run_here(prepared, spec, tmp_path / "again") for spec in reversed(specs)}
    assert used == again
    last = specs[-1].trial_id
    assert called(run_here, prepared, specs[-1], tmp_path / "fresh") == used[last]


def test_seeds_are_paired_over_strategies(prepared):
    specs = {(spec.label, spec.seed): spec for spec in plan_for(prepared).trials}
    assert specs["random", 1].model_seed == specs["loss_threshold", 1].model_seed
    assert specs["random", 0].model_seed != specs["random", 1].model_seed


@pytest.mark.slow
def test_a_trial_keeps_each_examples_last_loss_and_the_pass_that_it_is_of(prepared, tmp_path):
    (spec, *_) = (spec for spec in plan_for(prepared).trials if spec.label == "random_epoch")
    run_here(prepared, spec, tmp_path)
    trial = SweepFolder(tmp_path).trial(spec.trial_id)
    losses = trial.read_losses()
    assert [(array.dtype, array.shape) for array in losses.values()] == [("float32", (300,)), ("int32", (300,))]
    chosen = pd.read_parquet(trial.path / "selection.parquet")
    last_pass = chosen.groupby("position")["pass"].max()
    # 300 // 10 examples a pass are two batches of 16: of eight steps, four passes.
    assert chosen["pass"].nunique() == 4
    expected = np.full(300, -1)
    expected[last_pass.index] = last_pass
    np.testing.assert_array_equal(losses["loss_pass"], expected)
    np.testing.assert_array_equal(np.isnan(losses["loss"]), expected == -1)
    assert (losses["loss"][expected >= 0] > 0).all()


@pytest.mark.slow
def test_a_trial_that_raybert_01_left_unfinished_is_continued_bit_identically(prepared, tmp_path, monkeypatch):
    monkeypatch.setattr(surroundings, "SECONDS_BETWEEN_LOOKS", 0.0)  # the trial may end within half a second
    (spec, *_) = (spec for spec in plan_for(prepared).trials if spec.label == "random_epoch")
    whole = run_here(prepared, spec, tmp_path / "whole")
    folder = SweepFolder(tmp_path / "parts")
    trial = folder.trial(spec.trial_id)

    def stop_after_three(row):
        if row["evaluation"] == 3:
            folder.stop_request.touch()

    assert run_trial(spec, prepared.data, prepared.encoder, (), folder, report=stop_after_three) == "stopped"
    age_trial(trial.path)
    age_checkpoint(trial.checkpoints)
    assert [path.name for path in trial.path.glob("*.jsonl")] == ["epochs.jsonl"]
    folder.stop_request.unlink()
    assert run_here(prepared, spec, folder.path) == whole
    assert {path.name for path in trial.path.glob("*.jsonl")} == {"evaluations.jsonl", "restarts.jsonl"}
    first = SweepFolder(tmp_path / "whole").trial(spec.trial_id)
    for comparison in compare_trials(first, trial):
        assert comparison.differences == (), comparison.what


@pytest.mark.slow
def test_what_a_trial_writes_has_the_declared_columns(prepared, tmp_path):
    spec = plan_for(prepared).trials[0]
    run_here(prepared, spec, tmp_path)
    trial = SweepFolder(tmp_path).trial(spec.trial_id)
    own = {c.name for c in TRIALS.columns if c.origin != "tables"}
    assert {*own, *RAN_ON} == {*trial.result(), "notes"}
    assert spec.summary().keys() == {c.name for c in TRIALS.columns if c.origin == "plan"}
    assert all(set(row) == {c.name for c in EVALUATIONS.columns if c.origin == "run"} for row in trial.rows())
    selection = pd.read_parquet(trial.path / "selection.parquet")
    assert {c.name: c.dtype for c in SELECTION.columns} == {
        name: str(dtype) for name, dtype in selection.dtypes.items()
    }
    losses = trial.read_losses()
    assert {c.name: c.dtype for c in LOSSES} == {name: str(array.dtype) for name, array in losses.items()}
    predictions = pd.read_parquet(trial.path / "predictions.parquet").rename(columns={"prob_0": "prob_<c>"})
    assert {c.name: c.dtype for c in PREDICTIONS} == {c.name: str(predictions[c.name].dtype) for c in PREDICTIONS}


@pytest.mark.slow
def test_a_failure_is_recorded_with_its_traceback_and_a_result_is_never_made_twice(prepared, tmp_path):
    folder = SweepFolder(tmp_path)
    spec = plan_for(prepared).trials[0]

    def broken(*arguments, **options):
        raise ValueError("on purpose")

    status = run_trial(spec, prepared.data, prepared.encoder, (), folder, lambda row: None, fit_function=broken)
    assert status == "failed"
    text = folder.trial(spec.trial_id).error()
    assert text.splitlines()[0] == "ValueError: on purpose"
    assert "in broken" in text
    folder.trial(spec.trial_id).forget_failure()
    run_here(prepared, spec, tmp_path)
    status = run_trial(spec, prepared.data, prepared.encoder, (), folder, lambda row: None, fit_function=broken)
    assert status == "complete"


@pytest.mark.ray
@pytest.mark.slow
def test_the_pipeline_scores_what_a_plain_loop_scores_and_only_once(ray_cluster, prepared, tmp_path, capfd):
    import ray

    from raybert.models import load_backbone
    from raybert.selection.pipeline import ScoringJob, run_scoring
    from raybert.selection.room import Room
    from raybert.selection.scorers.models import EmbeddingScorer
    from raybert.selection.scorers.scorer import Arithmetic, ScoringData
    from raybert.selection.store import ScoreStore
    from raybert.training import Inference

    store = ScoreStore(tmp_path)
    job = ScoringJob(
        EmbeddingScorer(prepared.encoder, "mean"), "data", prepared.data.fingerprint, 300, Arithmetic("fp32", 16384)
    )
    scoring_data = ScoringData(prepared.data, prepared.splits.train, Arithmetic("fp32", 16384))
    progress = []
    arguments = ([job], {"data": ray.put(scoring_data)}, store)
    assert run_scoring(*arguments, room=Room(ray_cluster.cpus), progress=progress.append)
    assert "MapWorker" not in capfd.readouterr().err  # Ray warns of every actor of the pool, past Python
    model = load_backbone(prepared.encoder)
    plain = Inference(model, prepared.data, "fp32").embeddings(prepared.data.train)
    np.testing.assert_allclose(store.load(job.key)["embeddings"], plain, atol=1e-6)
    assert progress[-1].rows_done == progress[-1].rows_total == 300
    before = store.completion(job.key)
    assert run_scoring(*arguments, room=Room(ray_cluster.cpus), progress=lambda _: pytest.fail("scored again"))
    assert store.completion(job.key) == before
    store.block_path(job.key, 0).write_bytes(b"torn")
    notes = []
    assert run_scoring(*arguments, room=Room(ray_cluster.cpus), note=notes.append)
    assert "it is computed again" in notes[0]
    np.testing.assert_allclose(store.load(job.key)["embeddings"], plain, atol=1e-6)


@pytest.mark.slow
def test_the_stored_configuration_says_everything(prepared, tmp_path):
    spec = plan_for(prepared).trials[0]
    run_here(prepared, spec, tmp_path)
    text = (SweepFolder(tmp_path).trial(spec.trial_id).path / "config.yaml").read_text()
    assert f"# trial_id: {spec.trial_id}" in text
    assert "steps: 8" in text
    json.dumps(spec.summary())


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["random", "random_epoch", "loss_threshold", "rounds"])
def test_a_kill_between_the_last_step_and_the_result_costs_what_follows_the_last_checkpoint(
    strategy, prepared, tmp_path, monkeypatch
):
    in_rounds = {"name": "confidence", "schedule": "rounds", "rounds": 2, "random_start": 10, "label": "rounds"}
    named = in_rounds if strategy == "rounds" else strategy
    config = validate_config(
        {
            "train": {**CONFIG["train"], "checkpoint_seconds": 0},  # at every evaluation
            "sweep": {"strategies": ["random", named] if strategy != "random" else ["random"], "seeds": 2},
        }
    )
    spec = plan_of(config, prepared.facts).trials[-1]
    assert spec.label == strategy
    expected = run_here(prepared, spec, tmp_path / "whole")
    with monkeypatch.context() as patched:
        patched.setattr(TrialFolder, "finish", killed)
        with pytest.raises(KeyboardInterrupt):
            run_here(prepared, spec, tmp_path / "torn")
    steps = []
    torn = SweepFolder(tmp_path / "torn")
    again = run_trial(spec, prepared.data, prepared.encoder, (), torn, lambda row: None, report_step=steps.append)
    trial = torn.trial(spec.trial_id)
    assert (again, steps) == ("complete", [8]), trial.error()
    assert outcome(torn, spec.trial_id) == expected
    for comparison in compare_trials(SweepFolder(tmp_path / "whole").trial(spec.trial_id), trial):
        assert comparison.differences == (), comparison.what
    assert [path.name for path in trial.checkpoints.iterdir()] == ["best"]
    assert not (trial.path / "epoch_plans").exists()


def killed(*_):
    raise KeyboardInterrupt
