"""The section `pretrain` of a sweep file: what it takes, and what is said of what it does not take."""

import pytest
import yaml

from raybert.config import dump_yaml, load_config
from raybert.config.pretrain import PretrainConfig
from raybert.errors import ConfigError


def section(**keys):
    return load_config({"pretrain": keys}).pretrain


def test_no_section_is_no_pretraining_and_an_empty_mapping_has_every_default():
    assert load_config({}).pretrain is None
    assert load_config({"pretrain": None}).pretrain is None
    assert section().is_on
    assert section().corpus.is_pool
    assert section().as_file() == PretrainConfig(learning_rate=1e-4)


def test_a_file_reads_back_as_it_was_written():
    for given in ({}, {"corpus": "texts.txt", "length": {"steps": 0}}, {"masked": None, "contrastive": {"group": 4}}):
        config = load_config({"pretrain": given})
        assert load_config(yaml.safe_load(dump_yaml(config))) == config


def test_a_number_of_steps_takes_the_place_of_the_default_epochs_as_a_grid_needs_it():
    config = load_config(yaml.safe_load(dump_yaml(load_config({"pretrain": {}}))), ["pretrain.length.steps=7"])
    assert config.pretrain.as_file().length.steps == 7


def test_a_corpus_may_be_written_as_its_source():
    assert section(corpus="pool") == section(corpus={"source": "pool"}) == section()
    corpus = section(corpus={"source": "texts.csv", "text": "body", "validation_fraction": "20%"}).corpus.as_corpus()
    assert (corpus.source, corpus.text, corpus.validation_fraction) == ("texts.csv", "body", 0.2)


def test_what_changes_no_weights_is_no_part_of_what_an_encoder_is_made_of():
    same = section(micro_batch_size=8, checkpoint_seconds=1, checkpoints={"every": 5}).identity()
    assert same == section().identity()
    for other in ({"seed": 1}, {"masked": {"share": 0.3}}, {"learning_rate": 1e-3}, {"contrastive": {}}):
        assert section(**other).identity() != same
    assert section(length={"steps": 0}, seed=5).identity() == {}


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"pretrain": {"length": {"steps": -1}}}, "pretrain.length.steps: must be >= 0, got -1"),
        ({"pretrain": {"length": {"hours": 1}}}, "pretrain.length: must be steps, epochs or tokens, so that the same"),
        ({"pretrain": {"length": {"steps": 3, "epochs": 2}}}, "pretrain.length: must have one of steps, epochs and"),
        ({"pretrain": {"corpus": {"text": "body"}}}, "pretrain.corpus.text: must be left out without a `source`"),
        ({"pretrain": {"corpus": {"of": ["a"]}}}, "pretrain.corpus.of: unknown key"),
        ({"pretrain": {"masked": None}}, "pretrain.masked: must not be null without `contrastive`"),
        ({"pretrain": {"masks": 1}}, "pretrain.masks: unknown key; did you mean 'masked'"),
        ({"pretrain": {}, "model": {"kind": "iris"}}, "pretrain: must be left out with `model.kind: iris`"),
        ({"pretrain": {}, "model": {"kind": "mine:net"}}, "pretrain: must be left out with `model.kind: mine:net`"),
        ({"pretrain": {}, "model": {"trust_remote_code": True}}, "pretrain: must be left out with `model.trust_remote"),
        ({"learning_rate": 1e-3}, "learning_rate: unknown key; did you mean 'train.learning_rate'"),
    ],
)
def test_what_is_wrong_is_said_in_a_line_by_its_key(document, message):
    with pytest.raises(ConfigError) as error:
        load_config(document)
    assert str(error.value).startswith(message)
    assert "\n" not in str(error.value)
