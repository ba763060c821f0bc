"""Encoders that a sweep pretrains are part of what runs are made of, known before they are there."""

import pytest

from raybert.config import validate_config
from raybert.errors import ConfigError, SweepError
from raybert.sweeping.plan.design import read_design
from raybert.sweeping.plan.extension import check_extension
from raybert.sweeping.plan.pretrained import PretrainingFacts
from raybert.sweeping.plan.specs import PoolFacts
from raybert.sweeping.search.phase import tuned_plan
from tests.sweeping.planning import FACTS, plan_of, pools_of

STRATEGIES = ["random", "k_center", "el2n"]


def config_of(pretrain=None, grid=None, tune=None, **sections):
    sweep = {"strategies": STRATEGIES, "seeds": 2, "grid": grid or {}, "tune": tune}
    return validate_config({"pretrain": pretrain, "train": {"length": {"steps": 8}}, "sweep": sweep, **sections})


def facts_of(variant, corpus="pool"):
    pretrain = variant.config.pretrain
    if pretrain is None:
        return FACTS
    made_from = PretrainingFacts.of("encoder", f"{corpus} {variant.fold}", variant.config.resources)
    return PoolFacts("data", made_from.fingerprint(pretrain), 1000, 3, pretraining=made_from)


def ids_of(config, facts=facts_of):
    return {(spec.label, spec.seed, spec.fold): spec.trial_id for spec in plan_of(config, facts).trials}


def test_no_steps_are_no_pretraining_and_no_other_trial():
    plain = plan_of(config_of()).trials
    without = plan_of(config_of({"length": {"steps": 0}, "learning_rate": 0.5}), facts_of).trials
    assert [spec.trial_id for spec in without] == [spec.trial_id for spec in plain]
    assert not any(spec.encoders for spec in without)


def test_an_encoder_is_known_by_what_it_is_made_of():
    base = ids_of(config_of({"length": {"steps": 5}}))
    assert not set(base.values()) & set(ids_of(config_of()).values())
    for other in ({"seed": 1}, {"masked": {"share": 0.3}}, {"max_length": 32}, {"contrastive": {"temperature": 0.1}}):
        assert not set(base.values()) & set(ids_of(config_of({"length": {"steps": 5}, **other})).values()), other
    free = {"checkpoint_seconds": 1, "micro_batch_size": 8}
    assert ids_of(config_of({"length": {"steps": 5}, **free})) == base
    other_texts = ids_of(config_of({"length": {"steps": 5}}), lambda variant: facts_of(variant, "other"))
    assert not set(base.values()) & set(other_texts.values())


def test_all_trials_of_a_fold_have_one_encoder_and_those_of_another_pool_another():
    trials = plan_of(config_of({"length": {"steps": 5}}, data={"folds": 2}), facts_of).trials
    by_fold = {fold: {spec.encoder for spec in trials if spec.fold == fold} for fold in (0, 1)}
    assert [len(found) for found in by_fold.values()] == [1, 1]
    assert by_fold[0] != by_fold[1]
    assert not any(spec.signal_encoder for spec in trials)


def test_a_grid_over_steps_holds_the_sweep_without_pretraining():
    grid = {"pretrain.length.steps": [0, 5]}
    both = plan_of(config_of({}, grid), facts_of).trials
    plain = {spec.trial_id for spec in plan_of(config_of()).trials}
    assert plain == {spec.trial_id for spec in both if not spec.encoder}
    assert len(both) == 2 * len(plain)
    whole = plan_of(config_of(None, {"pretrain": [None, {"length": {"steps": 5}}]}), facts_of).trials
    assert {spec.trial_id for spec in whole} == {spec.trial_id for spec in both}


def test_a_grid_over_other_keys_of_what_stays_as_it_is_is_one_trial():
    trials = plan_of(config_of({"length": {"steps": 0}}, {"pretrain.learning_rate": [1e-4, 1e-3]}), facts_of).trials
    assert {spec.trial_id for spec in trials} == {spec.trial_id for spec in plan_of(config_of()).trials}
    assert all(spec.grid == {} for spec in trials)


TUNE = {"suggestions_per_strategy": 4, "startup_suggestions": 2}


def test_a_search_gives_its_trials_encoders_of_their_own_and_signals_are_those_of_the_file():
    space = {"pretrain.length.steps": {"choice": [0, 9]}, "pretrain.masked.share": {"low": 0.1, "high": 0.4}}
    design = read_design(config_of({"length": {"steps": 5}}, tune={**TUNE, "space": space}))
    pools = pools_of(design, facts_of)
    arms = {arm.strategy: arm for arm in plan_of(design.config, facts_of).arms}
    best = {"pretrain.length.steps": 9, "pretrain.masked.share": 0.2}
    plan = tuned_plan(design, pools, arms.values(), dict.fromkeys((arm.name for arm in arms.values()), best))
    (file_encoder,) = {spec.encoder for spec in plan.proxies}
    trials = {spec.label: spec for spec in plan.trials if spec.role == "trial"}
    assert len({spec.encoder for spec in trials.values()} | {file_encoder}) == 2
    assert {label: spec.signal_encoder for label, spec in trials.items()} == {
        "random": "",
        "k_center": file_encoder,  # embeddings of it
        "el2n": "",  # its proxies are runs, whose ids say what they were trained from
    }
    # Data sets are those of the file: nothing is prepared anew for what a search finds.
    assert {spec.data_key for spec in plan.trials} <= pools.keys()
    tried = arms["random"].runs({"pretrain.length.steps": 0, "pretrain.masked.share": 0.2})
    assert [spec.encoder for spec in tried] == [""]
    again = arms["random"].runs({"pretrain.length.steps": 0, "pretrain.masked.share": 0.3})
    assert [spec.trial_id for spec in again] == [spec.trial_id for spec in tried]


@pytest.mark.parametrize(
    ("pretrain", "key", "domain", "message"),
    [
        (None, "pretrain.length.steps", [0, 5], "must have a section `pretrain` beside it"),
        (
            {},
            "pretrain.corpus.source",
            ["pool", "x.txt"],
            "must be the same in all runs, because it decides what the en",
        ),
        ({}, "pretrain.checkpoint_seconds", [1, 2], "must be the same in all runs, because it changes no result"),
        ({}, "pretrain.lenght", [1, 2], "unknown key; did you mean 'length'"),
        ({}, "pretrain.masked.share", [0.1, 1.5], "must be < 1, got 1.5"),
    ],
)
def test_what_cannot_be_searched_is_refused_before_anything_runs(pretrain, key, domain, message):
    with pytest.raises(ConfigError, match=message):
        read_design(config_of(pretrain, tune={**TUNE, "space": {key: {"choice": domain}}}))


def test_runs_of_several_workers_do_not_pretrain_in_a_search():
    space = {"pretrain.length.steps": {"choice": [0, 5]}}
    with pytest.raises(ConfigError, match=r"space.pretrain.length.steps: must be left out with resources.workers_per"):
        read_design(config_of({}, tune={**TUNE, "space": space}, resources={"workers_per_trial": 2}))


def test_a_folder_goes_on_with_the_same_pretraining_alone_and_the_keys_that_differ_are_said():
    old, section = config_of(), {"length": {"steps": 5}}
    check_extension(config_of(section), read_design(config_of({**section, "checkpoint_seconds": 5})))
    with pytest.raises(SweepError, match=r"pretrain was null, is \{length: \{steps: 5\}\}; give"):
        check_extension(old, read_design(config_of(section)))
    with pytest.raises(SweepError, match=r"pretrain\.length\.steps was 5, is 6; give"):
        check_extension(config_of(section), read_design(config_of({"length": {"steps": 6}})))


def test_no_trial_differs_in_what_changes_no_result():
    with pytest.raises(ConfigError, match="sweep.grid.pretrain.checkpoints.every: must be a key of"):
        read_design(config_of({}, {"pretrain.checkpoints.every": [1, 2]}))
