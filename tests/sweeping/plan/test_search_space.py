"""The search space: keys, values and conditions that are allowed, and what arms make of them."""

import optuna
import pytest

from raybert.config import validate_config
from raybert.errors import ConfigError, SweepError
from raybert.sweeping.plan.comparison import Plan
from raybert.sweeping.plan.design import read_design
from raybert.sweeping.plan.extension import check_extension
from raybert.sweeping.plan.roles import PART
from raybert.sweeping.search.phase import tuned_plan, tuning_runs
from raybert.sweeping.search.samplers import make_sampler
from tests.sweeping.planning import plan_of, pools_of
from tests.sweeping.search.driving import RATE, arms_of, config_of

STRATEGIES = {"strategies": ["random", "el2n", {"name": "loss_threshold", "threshold": 0.4}]}


def sample(config, number=0, label="random"):
    space = read_design(config).spaces[label]
    sampler = make_sampler(config.sweep.tune, number, has_conditions=space.has_conditions)
    trial = optuna.create_study(sampler=sampler).ask()
    return space.sample(trial), trial.distributions


def test_ranges_steps_whole_numbers_and_choices_become_distributions():
    space = {
        **RATE,
        "train.batch_size": {"low": 8, "high": 32, "step": 8},
        "train.weight_decay": {"low": 0, "high": 1},
        "train.warmup_fraction": {"low": 0.0, "high": 0.2, "step": 0.05},
        "train.betas": {"choice": [[0.9, 0.999], [0.9, 0.98]]},
        "train.schedule": {"choice": ["linear", "cosine"]},
    }
    _, found = sample(config_of({"space": space}))
    assert found == {
        "train.learning_rate": optuna.distributions.FloatDistribution(1e-5, 1e-3, log=True),
        "train.batch_size": optuna.distributions.IntDistribution(8, 32, step=8),
        "train.weight_decay": optuna.distributions.FloatDistribution(0, 1),  # a real number, though the ends are whole
        "train.warmup_fraction": optuna.distributions.FloatDistribution(0.0, 0.2, step=0.05),
        "train.betas": optuna.distributions.CategoricalDistribution(["[0.9, 0.999]", "[0.9, 0.98]"]),
        "train.schedule": optuna.distributions.CategoricalDistribution(["linear", "cosine"]),
    }


def test_the_values_of_a_suggestion_arrive_in_its_runs():
    space = {"train.betas": {"choice": [[0.9, 0.999], [0.9, 0.98]]}, "strategies.el2n.direction": {"choice": ["easy"]}}
    arms = arms_of(config_of({"space": space, "seeds_per_suggestion": 2, "metric": "macro_f1"}, sweep=STRATEGIES))
    runs = arms[1].runs({"train.betas": "[0.9, 0.98]", "strategies.el2n.direction": "easy"})
    assert [(run.role, run.seed, run.config.train.betas) for run in runs] == [
        ("tune", 1000, (0.9, 0.98)),
        ("tune", 1001, (0.9, 0.98)),
    ]
    assert runs[0].strategy.inner.direction == "easy"
    assert runs[0].config.train.best_metric == "macro_f1"
    assert runs[0].signal_runs == arms[1].readers[0].signal_runs  # planned before tuning
    assert len({run.trial_id for run in runs} | {reader.trial_id for reader in arms[1].readers}) == 4


def test_a_condition_decides_which_keys_are_searched():
    space = {
        "model.head.name": {"choice": ["linear", "mlp"]},
        "model.head.sizes": {"choice": [[64], [256]], "when": {"model.head.name": "mlp"}},
    }
    config = config_of({"space": space})
    found = [sample(config, number)[0] for number in range(20)]
    assert {params["model.head.name"] for params in found} == {"linear", "mlp"}
    assert all(("model.head.sizes" in params) == (params["model.head.name"] == "mlp") for params in found)


def test_keys_of_one_strategy_come_last_and_only_in_its_arm():
    space = {"strategies.loss_threshold(threshold=0.4).threshold": {"low": 0.1, "high": 0.9}, **RATE}
    spaces = read_design(config_of({"space": space}, sweep=STRATEGIES)).spaces
    assert [domain.key for domain in spaces["loss_threshold(threshold=0.4)"].domains] == list(reversed(space))
    assert [domain.key for domain in spaces["el2n"].domains] == ["train.learning_rate"]


@pytest.mark.parametrize(
    ("space", "message"),
    [
        ({"train.learnin_rate": {"low": 1, "high": 2}}, "unknown key; did you mean 'learning_rate'"),
        ({"train.learning_rate": {"low": 0, "high": 2}}, r"must be > 0, got 0$"),
        ({"train.schedule": {"choice": ["linear", "cosin"]}}, "train.schedule.name: must be linear, cosine"),
        ({"train.batch_size": {"low": 8, "high": 16, "int": False}}, "whole numbers only"),
        ({"train.batch_size": {"low": 1, "high": 4, "step": 1.5}}, r"whole number, as the key is, got 1\.5"),
        ({"train.weight_decay": {"low": 0.5, "high": 3.5, "int": True}}, r"whole number, as the key is, got 0\.5"),
        (
            {"data.max_length": {"low": 8, "high": 16}},
            "must be a key of train, model, pretrain or selection, or strategies",
        ),
        ({"modl.dropout": {"low": 0, "high": 0.2}}, "did you mean 'model'"),
        ({"model.encoder": {"choice": ["a", "b"]}}, "decides what the data are"),
        ({"model.revision": {"choice": ["a", "b"]}}, "decides what the data are"),
        ({"resources.cpus_per_worker": {"low": 1, "high": 2}}, "must be a key of train, model, pretrain or selection"),
        ({"train.precision": {"choice": ["fp32"]}}, "must be the same in all runs"),
        ({"selection.proxy.epochs": {"low": 1, "high": 2}}, "signals are computed once"),
        ({"strategies.el2m.direction": {"choice": ["hard"]}}, "unknown strategy 'el2m'; did you mean 'el2n'"),
        ({"strategies.el2n.direktion": {"choice": ["hard"]}}, "unknown key; did you mean 'direction'"),
        ({"strategies.el2n.then": {"choice": ["k_center", "random"]}}, "must not change which signals 'el2n' needs"),
        ({"strategies.el2n.schedule": {"choice": ["once", "rounds"]}}, "separate entries of sweep.strategies"),
    ],
)
def test_what_cannot_be_searched_is_refused_before_anything_runs(space, message):
    (key,) = space
    with pytest.raises(ConfigError, match=rf"^sweep\.tune\.space\.{key}(\.int|\.low|\.step)?: .*{message}"):
        read_design(config_of({"space": space}, sweep=STRATEGIES))


MLP, FOCAL = {"model": {"head": {"name": "mlp"}}}, {"train": {"loss": {"name": "focal"}}}
HEAD = {"model.head.name": {"choice": ["linear", "mlp"]}, "model.head.sizes": {"choice": [[128], [256, 64]]}}


@pytest.mark.parametrize(
    ("space", "sections", "message"),
    [
        (HEAD, MLP, r"head\.sizes: must be allowed with every value of model\.head\.name.*belongs to the head mlp"),
        (
            {"train.loss.name": {"choice": ["bce", "focal"]}, "train.loss.alpha": {"low": 0.1, "high": 0.5}},
            FOCAL,
            r"train\.loss\.alpha: must be allowed with every value of train\.loss\.name.*belongs to the loss focal",
        ),
        (
            {"train.warmup_steps": {"choice": [None, 10]}, "train.warmup_fraction": {"low": 0.0, "high": 0.3}},
            {},
            r"warmup_fraction: must be allowed with every value of train\.warmup_steps.*not both.*say with `when`",
        ),
    ],
)
def test_values_that_cannot_be_together_are_refused_before_they_are_suggested(space, sections, message):
    with pytest.raises(ConfigError, match=message):
        read_design(config_of({"space": space}, **sections))


def test_a_condition_keeps_values_apart_that_cannot_be_together():
    sizes = {**HEAD["model.head.sizes"], "when": {"model.head.name": "mlp"}}
    assert read_design(config_of({"space": {**HEAD, "model.head.sizes": sizes}}, **MLP))


def test_a_budget_above_the_pool_is_refused_before_it_is_suggested():
    space = {"selection.budget": {"low": 100, "high": 5000}}
    with pytest.raises(ConfigError, match=r"^sweep\.tune\.space\.selection\.budget: must be in 1\.\.1000 .*got 5000$"):
        arms_of(config_of({"space": space}, selection={"budget": 100}))
    assert arms_of(config_of({"space": space}, selection={"budget": 100}, sweep={"strategies": ["all"]}))


def test_a_key_of_the_grid_cannot_be_searched():
    config = config_of({"space": RATE}, sweep={"grid": {"train.learning_rate": [1e-4, 2e-4]}})
    with pytest.raises(ConfigError, match=r"^sweep\.tune\.space\.train\.learning_rate: must be left out, sweep\.grid"):
        read_design(config)


@pytest.mark.parametrize(
    ("tune", "message"),
    [
        ({"space": {"train.learning_rate": {"low": 2, "high": 1}}}, "low: must be <= high, got 2 and 1"),
        ({"space": {"train.learning_rate": {"low": 0, "high": 1, "log": True}}}, "low: must be > 0 with `log: true`"),
        ({"space": {"train.learning_rate": {"lwo": 1}}}, r"train\.learning_rate\.lwo: unknown key; did you mean 'low'"),
        ({"space": {"train.betas": {"choice": [1], "low": 1}}}, "must have `choice` alone"),
        ({"space": {"train.batch_size": {"low": 8, "high": 20, "step": 8}}}, "in whole steps, got 8"),
        ({"space": {"train.batch_size": {"choice": [8, 8]}}}, "distinct values"),
        ({"space": {**RATE, "train.batch_size": {"choice": [8], "when": {"model.dropout": 1}}}}, "stands before it"),
        ({"points_to_evaluate": [{}] * 5}, r"at most suggestions_per_strategy \(4\), got 5"),
        ({"seeds_per_suggestion": 0}, "seeds_per_suggestion: must be >= 1"),
        ({"sampler": "tpee"}, "sampler: must be one of 'tpe'"),
        ({"length": {}}, r"length: must have one of `fraction`, `epochs` and `steps`, got none"),
        ({"length": {"steps": 5, "epochs": 1}}, r"length: must have one of .*, got epochs and steps"),
        ({"validation": 1.0}, r"validation: must be < 1"),
        ({"length": {"fraction": 1.0}}, r"length\.fraction: must be < 1"),
    ],
)
def test_a_wrong_section_says_what_is_wrong(tune, message):
    with pytest.raises(ConfigError, match=rf"^sweep\.tune.*{message}"):
        config_of(tune)


def test_values_of_a_condition_must_be_values_of_the_other_key():
    space = {
        "train.schedule": {"choice": ["linear"]},
        **{key: {**value, "when": {"train.schedule": "cosine"}} for key, value in RATE.items()},
    }
    with pytest.raises(ConfigError, match=r"when\.train\.schedule: must be one of linear, as in `space`, got 'cosine'"):
        read_design(config_of({"space": space}))


@pytest.mark.parametrize("value", [2.0, "a", True])
def test_a_point_outside_the_space_is_refused(value):
    config = config_of({"points_to_evaluate": [{"train.learning_rate": value}]})
    with pytest.raises(
        ConfigError, match=r"^sweep\.tune\.points_to_evaluate\[0\]\.train\.learning_rate: must be in 1e-05"
    ):
        arms_of(config)


def test_nothing_is_compared_on_a_tuning_seed():
    with pytest.raises(ConfigError, match=r"sweep.seeds: must not hold 1001, which `tune` uses"):
        config_of({"seeds_per_suggestion": 2}, sweep={"seeds": [0, 1001]})


def test_there_is_an_arm_for_every_strategy_and_grid_point_that_makes_a_difference():
    sweep = {**STRATEGIES, "grid": {"selection.budget": [0.1, 0.2]}}
    config = config_of(sweep=sweep)
    arms = arms_of(config)
    assert [(arm.name, arm.strategy, arm.grid) for arm in arms] == [
        ("random selection.budget=0.1", "random", {"selection.budget": 0.1}),
        ("el2n selection.budget=0.1", "el2n", {"selection.budget": 0.1}),
        ("loss_threshold(threshold=0.4)", "loss_threshold(threshold=0.4)", {}),
        ("random selection.budget=0.2", "random", {"selection.budget": 0.2}),
        ("el2n selection.budget=0.2", "el2n", {"selection.budget": 0.2}),
    ]
    assert [len(arm.grid_points) for arm in arms] == [1, 1, 2, 1, 1]
    assert read_design(config).num_suggestions == 24  # at most: without the data nothing is known to be the same
    assert arms[0].summary() == {"arm": arms[0].name, "strategy": "random", "grid": arms[0].grid, "suggestions": 4}


@pytest.mark.slow
def test_a_shared_search_has_one_arm_with_the_strategy_as_a_choice():
    space = {**RATE, "strategies.el2n.direction": {"choice": ["hard", "easy"]}}
    config = config_of({"space": space, "shared": True}, sweep=STRATEGIES)
    (arm,) = arms_of(config)
    assert (arm.strategy, arm.num_suggestions) == (None, 12)
    found = [sample(config, number)[0] for number in range(30)]
    assert {params["strategy"] for params in found} == {"random", "el2n", "loss_threshold(threshold=0.4)"}
    assert all(("strategies.el2n.direction" in params) == (params["strategy"] == "el2n") for params in found)
    assert arm.runs(found[0])[0].label == found[0]["strategy"]


def test_a_subset_of_the_pool_is_tuned_on_and_the_whole_of_it_compared():
    config = config_of({"pool_fraction": 0.15}, selection={"budget": 200})
    arm = arms_of(config)[0]
    variant = arm.candidates[0].variant
    assert variant.config.data.train_examples == 150
    assert variant.config.selection.budget == 30
    assert config.data.train_examples is None
    design = read_design(config)
    best = {arm.name: {"train.learning_rate": 2e-4}}
    (spec, *_) = tuned_plan(design, pools_of(design), [arm], best).trials
    assert (spec.num_chosen, spec.pool_size, spec.config.data.train_examples) == (200, 1000, None)
    assert spec.config.train.learning_rate == 2e-4


@pytest.mark.parametrize(
    ("length", "train", "steps"),
    [  # a budget of 100 in batches of 16 is 7 steps an epoch, the pool of 1000 is 63
        (None, {"epochs": 30, "min_steps": 50}, 210),
        ({"fraction": 0.2}, {"epochs": 30, "min_steps": 50}, 42),
        ({"fraction": 0.2}, {"epochs": 3, "min_steps": 50}, 10),  # a fifth of min_steps
        ({"fraction": 0.2}, {"steps": 33}, 7),
        ({"epochs": 2}, {"epochs": 3, "min_steps": 50}, 14),
        ({"steps": 9}, {"epochs": 3, "min_steps": 50}, 9),
    ],
)
def test_runs_of_the_search_may_be_shorter_and_the_comparison_trains_at_full_length(length, train, steps):
    config = config_of({"length": length}, train={"length": train, "batch_size": 16})
    (arm, *_) = arms_of(config)
    (run,) = arm.runs({"train.learning_rate": 2e-4})
    assert run.total_steps == arm.readers[0].total_steps == steps
    design = read_design(config)
    (spec, *_) = tuned_plan(design, pools_of(design), [arm], {arm.name: {"train.learning_rate": 2e-4}}).trials
    whole = config_of(train={"length": train, "batch_size": 16})
    (full, *_) = tuned_plan(
        read_design(whole), pools_of(read_design(whole)), [arm], {arm.name: {"train.learning_rate": 2e-4}}
    ).trials
    assert spec.trial_id == full.trial_id


def test_a_length_is_searched_or_given():
    config = config_of({"length": {"epochs": 1}, "space": {"train.length.epochs": {"low": 1, "high": 3}}})
    with pytest.raises(ConfigError, match=r"space\.train\.length\.epochs: must be left out with `sweep\.tune\.length`"):
        read_design(config)


def test_studies_are_named_by_their_arms_unless_the_file_names_them():
    arms = arms_of(config_of(sweep=STRATEGIES))

    def names(**tune):
        found = config_of(tune, sweep=STRATEGIES).sweep.tune
        return [found.name_of_study(arm.name, "mine") for arm in arms[:2]]

    assert names() == ["random", "el2n"]
    assert names(storage="postgresql://h/n") == ["mine: random", "mine: el2n"]
    assert names(study_name="imdb {arm}!", storage="postgresql://h/n") == ["imdb random!", "imdb el2n!"]
    with pytest.raises(ConfigError, match=r"study_name: must have \{arm\} in it .* has 3 studies, got 'imdb'"):
        arms_of(config_of({"study_name": "imdb"}, sweep=STRATEGIES))
    (arm,) = arms_of(config_of({"study_name": "imdb", "shared": True}, sweep=STRATEGIES))
    assert config_of({"study_name": "imdb"}).sweep.tune.name_of_study(arm.name, "mine") == "imdb"


def test_the_comparison_takes_the_best_values_and_leaves_the_proxies_as_they_are():
    space = {**RATE, "strategies.el2n.direction": {"choice": ["hard", "easy"]}}
    config = config_of({"space": space}, sweep=STRATEGIES)
    design = read_design(config)
    arms = arms_of(config)
    best = {
        "random": {"train.learning_rate": 1e-4},
        "el2n": {"train.learning_rate": 9e-4, "strategies.el2n.direction": "easy"},
    }
    plan = tuned_plan(design, pools_of(design), arms, best)
    untuned = plan_of(config)
    assert [
        (spec.label, spec.seed, spec.config.train.learning_rate) for spec in plan.trials if spec.role == "trial"
    ] == [
        ("random", 0, 1e-4),
        ("el2n", 0, 9e-4),
        ("random", 1, 1e-4),
        ("el2n", 1, 9e-4),
    ]
    assert plan.proxies == untuned.proxies
    tuned = next(spec for spec in plan.trials if spec.label == "el2n")
    assert tuned.strategy.inner.direction == "easy"
    assert tuned.signal_runs == next(spec for spec in untuned.trials if spec.label == "el2n").signal_runs
    runs = tuning_runs(Plan(untuned.trials, arms))
    assert [(run.role, run.seed) for run in runs] == [(PART, 1000)]


def test_of_a_shared_search_only_the_winner_is_compared():
    config = config_of({"shared": True}, sweep=STRATEGIES)
    design = read_design(config)
    arms = arms_of(config)
    plan = tuned_plan(
        design, pools_of(design), arms, {arms[0].name: {"strategy": "random", "train.learning_rate": 3e-4}}
    )
    assert {spec.label for spec in plan.trials if spec.role == "trial"} == {"random"}


def test_proxies_that_serve_all_seeds_serve_the_search_too():
    config = config_of(sweep=STRATEGIES, selection={"proxy": {"per_seed": False}})
    plan = plan_of(config)
    assert tuning_runs(Plan(plan.trials, arms_of(config))) == plan.proxies


def test_a_begun_search_may_get_more_suggestions_and_arms_but_means_the_same():
    old = config_of()
    for change in ({"suggestions_per_strategy": 9}, {"asha": None}, {"seed_test": None}):
        check_extension(old, read_design(config_of(change)))
    own = {"space": {**RATE, "strategies.el2n.direction": {"choice": ["easy"]}}}
    check_extension(old, read_design(config_of(own, sweep={"strategies": ["random", "random_stratified", "el2n"]})))
    for change, line in (
        ({"seeds_per_suggestion": 2}, r"sweep\.tune\.seeds_per_suggestion was 1, is 2"),
        ({"sampler": "random"}, r"sweep\.tune\.sampler was tpe, is random"),
        ({"pool_fraction": 0.5}, r"sweep\.tune\.pool_fraction was null, is 0\.5"),
        ({"shared": True}, r"sweep\.tune\.shared was false, is true"),
        ({"validation": 0.5}, r"sweep\.tune\.validation was null, is 0\.5"),
        ({"study_name": "{arm}!"}, r"sweep\.tune\.study_name was null, is '\{arm\}!'"),
        ({"length": {"epochs": 1}}, r"sweep\.tune\.length was null, is not there"),
        ({"metric": "loss"}, r"sweep\.tune\.metric was null, is loss"),
        (
            {"space": {"train.learning_rate": {"low": 1e-5, "high": 2e-3, "log": True}}},
            r"learning_rate\.high was [\d.e-]+, is 0\.002",
        ),
    ):
        with pytest.raises(SweepError, match=rf"(?s)in more than suggestions_per_strategy.*{line}"):
            check_extension(old, read_design(config_of(change)))
        check_extension(old, read_design(config_of(change)), search_begun=False)
    check_extension(old, read_design(validate_config({**old.model_dump(mode="json"), "sweep": {}})))


def test_a_shared_search_cannot_get_another_strategy():
    old = config_of({"shared": True})
    new = config_of({"shared": True}, sweep={"strategies": ["random", "random_stratified", "all"]})
    with pytest.raises(SweepError, match=r"sweep\.strategies was .*, is \[random, random_stratified, all\];"):
        check_extension(old, read_design(new))
