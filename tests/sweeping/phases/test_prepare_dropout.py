"""Strategies that read what dropout does are refused where there is none."""

import pytest

from raybert.config import validate_config
from raybert.errors import ConfigError
from raybert.sweeping.phases.prepare import prepare_design
from raybert.sweeping.plan.design import read_design


def design_of(**model):
    data = {
        "source": "docstrings",
        "max_length": 16,
        "train_examples": 60,
        "validation_examples": 30,
        "test_examples": 30,
    }
    return read_design(
        validate_config({"data": data, "model": model, "sweep": {"strategies": ["random", "bald"], "seeds": 1}})
    )


@pytest.mark.slow
def test_bald_of_an_encoder_without_dropout_is_one_line_before_anything_is_trained(corpus):
    line = r"^sweep.strategies: 'bald' must have an encoder with dropout, 'raybert-tiny' has none; set model.dropout"
    with pytest.raises(ConfigError, match=line):
        prepare_design(design_of(encoder="raybert-tiny"), corpus)
    with pytest.raises(ConfigError, match=line):
        prepare_design(design_of(encoder="raybert-tiny", dropout=0.0), corpus)
    prepare_design(design_of(encoder="raybert-tiny", dropout=0.1), corpus)
