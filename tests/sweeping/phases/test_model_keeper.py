"""Which models are kept: the best by seed-aggregated validation, within a number and a size."""

import shutil
from dataclasses import replace
from itertools import permutations

from raybert.config import validate_config
from raybert.sweeping.folder.best import best_trials
from raybert.sweeping.folder.layout import SweepFolder
from raybert.sweeping.phases.model_keeper import ModelKeeper, checkpoint_bytes
from raybert.sweeping.plan.specs import PoolFacts
from tests.sweeping.planning import plan_of

FACTS = PoolFacts("data", "encoder", num_examples=1000, num_classes=2)
ACCURACY = {
    ("random", 0): 0.70,
    ("random", 1): 0.80,
    ("el2n", 0): 0.60,
    ("el2n", 1): 0.95,
    ("all", 0): 0.9,
    ("all", 1): 0.85,
}


def sweep_of(tmp_path, metric="accuracy", **sections):
    config = validate_config(
        {
            "sweep": {"strategies": ["all", "random", "el2n"], "seeds": 2, **sections.pop("sweep", {})},
            "train": {"best_metric": metric},
            **sections,
        }
    )
    plan = plan_of(config, lambda variant: replace(FACTS, num_examples=FACTS.num_examples + 10 * variant.fold))
    folder, notes = SweepFolder(tmp_path), []
    return ModelKeeper(folder, config, plan.trials, notes.append), plan.trials, folder, notes


def finish(folder, spec, size=1000, value=None):
    trial = folder.trial(spec.trial_id)
    best = trial.checkpoints / "best"
    best.mkdir(parents=True)
    (best / "model.safetensors").write_bytes(b"x" * size)
    (best / "COMPLETE").touch()
    value = ACCURACY.get((spec.label, spec.seed), 0.1) if value is None else value
    trial.finish({"validation_accuracy": value, "validation_loss": value})


def kept(folder, trials):
    return {(spec.label, spec.seed) for spec in trials if folder.trial(spec.trial_id).has_model()}


def run(tmp_path, **sections):
    keeper, trials, folder, notes = sweep_of(tmp_path, **sections)
    keeper.begin()
    for spec in trials:
        finish(folder, spec)
        keeper.ended(spec)
    return keeper, trials, folder, notes


PROXIES = {("proxy", 0), ("proxy", 1)}


def test_without_limits_everything_stays(tmp_path):
    _, trials, folder, _ = run(tmp_path)
    assert kept(folder, trials) == PROXIES | set(ACCURACY)


def test_the_best_n_are_those_of_the_best_configurations(tmp_path):
    _, trials, folder, _ = run(tmp_path, sweep={"keep_best": 3})
    # Means: all .875, el2n .775, random .75; inside el2n seed 1 is better.
    assert kept(folder, trials) == PROXIES | {("all", 0), ("all", 1), ("el2n", 1)}


def test_a_loss_is_better_when_it_is_lower(tmp_path):
    _, trials, folder, _ = run(tmp_path, metric="loss", sweep={"keep_best": 1})
    # Means: random .75, el2n .775, all .875. One seed of .60 alone did not save el2n from those with two of them.
    assert kept(folder, trials) == PROXIES | {("random", 1)}


def test_folds_of_whole_pools_of_different_sizes_are_one_configuration_as_for_the_best_model(tmp_path):
    keeper, trials, folder, _ = sweep_of(
        tmp_path, data={"folds": 2}, sweep={"strategies": ["all", "random"], "seeds": 1, "keep_best": 1}
    )
    keeper.begin()
    accuracy = {("all", 0): 0.95, ("all", 1): 0.4, ("random", 0): 0.7, ("random", 1): 0.8}
    for spec in trials:
        finish(folder, spec, value=accuracy[spec.label, spec.fold])
        keeper.ended(spec)
    # By the sizes of its pools `all` would be two configurations, and one lucky fold of it the best.
    assert len({spec.num_chosen for spec in trials if spec.label == "all"}) == 2
    (left,) = [spec for spec in trials if folder.trial(spec.trial_id).has_model()]
    values = {spec.trial_id: accuracy[spec.label, spec.fold] for spec in trials}
    assert left.trial_id == best_trials([spec.summary() for spec in trials], values, "accuracy")[0]
    assert (left.label, left.fold) == ("random", 1)


def test_whatever_comes_first_the_best_configuration_has_a_model_in_the_end(tmp_path):
    keeper, trials, folder, _ = sweep_of(tmp_path, sweep={"keep_best": 1})
    compared = [spec for spec in trials if spec.label in ("random", "el2n")]
    values = {spec.trial_id: ACCURACY[spec.label, spec.seed] for spec in compared}
    best = set(best_trials([spec.summary() for spec in compared], values, "accuracy"))
    for number, order in enumerate(permutations(compared)):
        keeper = ModelKeeper(folder, keeper.config, compared, print)
        for spec in compared:
            shutil.rmtree(folder.trial(spec.trial_id).path, ignore_errors=True)
        keeper.begin()
        for spec in order:
            finish(folder, spec)
            keeper.ended(spec)
        assert {spec.trial_id for spec in compared if folder.trial(spec.trial_id).has_model()} <= best, number
        assert any(folder.trial(trial_id).has_model() for trial_id in best), number


def test_a_disk_budget_deletes_from_the_worst_on_and_never_the_best(tmp_path):
    _, trials, folder, notes = run(tmp_path, limits={"disk_gb": 4100 / 1e9})
    assert kept(folder, trials) == PROXIES | {("all", 0), ("all", 1)}
    assert checkpoint_bytes(folder) == 4000
    assert notes == []
    keeper, trials, folder, notes = sweep_of(tmp_path, limits={"disk_gb": 1 / 1e9})
    keeper.begin()  # another process goes on, with less room
    assert kept(folder, trials) == PROXIES | {("all", 0)}
    keeper.ended(trials[-1])
    assert len(notes) == 1
    assert "checkpoints must fit into 1e-09 GB" in notes[0]


def test_failed_trials_and_damaged_models_do_not_count(tmp_path):
    keeper, trials, folder, _ = sweep_of(tmp_path, sweep={"keep_best": 1})
    best = next(spec for spec in trials if (spec.label, spec.seed) == ("all", 0))
    other = next(spec for spec in trials if (spec.label, spec.seed) == ("random", 1))
    folder.trial(best.trial_id).fail("TrialError: x")
    finish(folder, other)
    for spec in (best, other):
        keeper.ended(spec)
    assert kept(folder, trials) == {("random", 1)}


def test_pretrained_encoders_take_of_the_space_and_are_never_deleted(tmp_path):
    encoder = tmp_path / "models" / "0123"
    for name, size in (("model/model.safetensors", 3000), ("checkpoint/last/state.pt", 500), ("evaluations.jsonl", 70)):
        (encoder / name).parent.mkdir(parents=True, exist_ok=True)
        (encoder / name).write_bytes(b"x" * size)
    assert checkpoint_bytes(SweepFolder(tmp_path)) == 3500
    # Beside the encoder and two proxies of 1,000 each there is room for two of the six models.
    _, trials, folder, notes = run(tmp_path, limits={"disk_gb": 7.6e-6})
    assert len(kept(folder, trials) - PROXIES) == 2
    assert (encoder / "model" / "model.safetensors").stat().st_size == 3000
    assert notes == []
    _, _, _, notes = run(tmp_path / "tight", limits={"disk_gb": 1e-6})
    assert "trials, proxies and pretrained encoders need take" in notes[0]
