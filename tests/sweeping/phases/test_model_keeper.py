"""Which models are kept: the best by seed-aggregated validation, within a number and a size."""

from raybert.config import validate_config
from raybert.sweeping.folder.layout import SweepFolder
from raybert.sweeping.phases.model_keeper import ModelKeeper, checkpoint_bytes
from raybert.sweeping.plan.comparison import make_plan
from raybert.sweeping.plan.grid import expand_grid
from raybert.sweeping.plan.specs import PoolFacts

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
    plan = make_plan(config, {variant.data_key: FACTS for variant in expand_grid(config)})
    folder, notes = SweepFolder(tmp_path), []
    return ModelKeeper(folder, config, notes.append), plan.trials, folder, notes


def finish(folder, spec, size=1000):
    trial = folder.trial(spec.trial_id)
    best = trial.checkpoints / "best"
    best.mkdir(parents=True)
    (best / "model.safetensors").write_bytes(b"x" * size)
    (best / "COMPLETE").touch()
    value = ACCURACY.get((spec.label, spec.seed), 0.1)
    trial.finish({"validation_accuracy": value, "validation_loss": value})


def kept(folder, trials):
    return {(spec.label, spec.seed) for spec in trials if folder.trial(spec.trial_id).has_model()}


def run(tmp_path, **sections):
    keeper, trials, folder, notes = sweep_of(tmp_path, **sections)
    keeper.begin(trials)
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
    # random is better in the end, .75 against .775, but its models went while el2n had its first seed of .60 only.
    assert kept(folder, trials) == PROXIES | {("el2n", 0)}


def test_a_disk_budget_deletes_from_the_worst_on_and_never_the_best(tmp_path):
    _, trials, folder, notes = run(tmp_path, limits={"disk_gb": 4100 / 1e9})
    assert kept(folder, trials) == PROXIES | {("all", 0), ("all", 1)}
    assert checkpoint_bytes(folder) == 4000
    assert notes == []
    keeper, trials, folder, notes = sweep_of(tmp_path, limits={"disk_gb": 1 / 1e9})
    keeper.begin(trials)  # another process goes on, with less room
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
