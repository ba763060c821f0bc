"""Folders of before `raybert-tiny` was pretrained: they go on by its new name alone, with the ids of their trials."""

import dataclasses
import json

import pytest

from raybert.config import dump_yaml, validate_config
from raybert.errors import SweepError
from raybert.models.embedded import FINGERPRINTS, TINY, TINY_RANDOM
from raybert.sweeping.folder.older import check_encoder_names
from raybert.sweeping.folder.repair import read_previous_config
from raybert.sweeping.folder.spec_file import StoredSpec, read_spec, write_spec
from raybert.sweeping.plan.design import read_design
from raybert.sweeping.plan.extension import check_extension
from raybert.sweeping.plan.specs import PoolFacts
from tests.sweeping.planning import FACTS, plan_of

(SHIPPED,) = FINGERPRINTS


def config_of(encoder=TINY, **sweep):
    return validate_config({"model": {"encoder": encoder}, "sweep": {"strategies": ["all", "random"], **sweep}})


def folder_of(path, config, fingerprint):
    """What a sweep leaves that `check_encoder_names` reads."""
    (path / "resolved.yaml").write_text(dump_yaml(config))
    data = {"key": {"source": "docstrings", "encoder": TINY, "encoder_fingerprint": fingerprint}}
    (path / "manifest.json").write_text(json.dumps({"data": data, "versions": {}}))
    return read_previous_config(path, pytest.fail)


def test_the_old_encoder_has_its_new_name_and_the_old_one_is_refused_with_the_way_on(tmp_path):
    before = folder_of(tmp_path, config_of(), "of random weights")
    assert before == config_of(TINY_RANDOM)
    with pytest.raises(SweepError) as refused:
        check_encoder_names(tmp_path, before, config_of())
    assert "--set model.encoder=raybert-tiny-random`" in str(refused.value)
    assert "\n" not in str(refused.value)
    check_encoder_names(tmp_path, before, config_of(TINY_RANDOM))
    check_extension(before, read_design(config_of(TINY_RANDOM, seeds=5)))


def test_its_trials_have_the_ids_that_they_had():
    old = plan_of(config_of(), PoolFacts("data", "of random weights", 1000, 3)).trials
    new = plan_of(config_of(TINY_RANDOM), PoolFacts("data", "of random weights", 1000, 3)).trials
    pretrained = plan_of(config_of(), PoolFacts("data", SHIPPED, 1000, 3)).trials
    assert [spec.trial_id for spec in new] == [spec.trial_id for spec in old]
    assert not {spec.trial_id for spec in pretrained} & {spec.trial_id for spec in old}


def test_a_folder_of_the_pretrained_encoder_keeps_its_name(tmp_path):
    before = folder_of(tmp_path, config_of(), SHIPPED)
    assert before == config_of()
    check_encoder_names(tmp_path, before, config_of())


def test_a_grid_of_encoders_has_the_new_name_too(tmp_path):
    grid = {"model.encoder": [TINY, "./other"]}
    before = folder_of(tmp_path, config_of(grid=grid), "of random weights")
    assert before.sweep.grid["model.encoder"] == (TINY_RANDOM, "./other")
    with pytest.raises(SweepError, match="had random weights"):
        check_encoder_names(tmp_path, before, config_of(grid=grid))


def test_a_folder_whose_manifest_is_gone_has_trials_of_other_ids_only(tmp_path):
    (tmp_path / "resolved.yaml").write_text(dump_yaml(config_of()))
    assert read_previous_config(tmp_path, pytest.fail) == config_of()


@pytest.mark.parametrize(("fingerprint", "name"), [("of random weights", TINY_RANDOM), (SHIPPED, TINY)])
def test_a_trial_that_is_repeated_alone_has_the_encoder_that_it_had(tmp_path, fingerprint, name):
    spec = plan_of(config_of(), dataclasses.replace(FACTS, encoder_fingerprint=fingerprint)).trials[0]
    write_spec(tmp_path, StoredSpec(spec, "data", fingerprint, ()))
    assert read_spec(tmp_path).spec.config.model.encoder == name
