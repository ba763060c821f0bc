"""Every wrong value of every key is one line in our words; what is meant unmistakably is read."""

import datetime
import math
import re
from typing import get_args

import numpy as np
import pytest
from pydantic import BaseModel

from raybert.config import (
    RaybertConfig,
    StrategyConfig,
    file_schema,
    load_config,
    validate_config,
    validate_model,
)
from raybert.config.hints import _ELSEWHERE, section_at
from raybert.errors import ConfigError
from raybert.selection import registry
from raybert.selection.catalogue import build_strategy, strategy_names
from raybert.testing import TextSignal

IDIOMS = re.compile(
    r"\bvalid (?!\()|instance|Input|input\b|pattern|\bNone\b|\bTrue\b|\bFalse\b|\bdict|\btuple|\bint\b|\binteger|\bfloat|"
    r"pars|NoneType|\bstr\b|\bstring\b|Value error|BaseModel|Config\b|\bbool|callable\b(?!`)|\bclass '|typing|Literal|"
    r"pydantic|datetime|array\(|\bkeyword|argument|__|inf_nan|unhashable|object has no|subscriptable",
)
WRONG = [
    "word",
    "",
    "0,5",
    3.7,
    -1,
    0,
    10**12,
    True,
    None,
    [],
    [None],
    ["a", 1],
    [[1]],
    {},
    {"a": 1},
    {1: 2},
    {"name": 3},
    math.nan,
    math.inf,
    "nan",
    datetime.date(2024, 1, 1),
    b"bytes",
    {1, 2},
]


def keys_of(model: type[BaseModel], prefix: str = ""):
    for key, field in model.model_fields.items():
        yield f"{prefix}{key}"
        for kind in (field.annotation, *get_args(field.annotation)):
            if isinstance(kind, type) and issubclass(kind, BaseModel) and kind is not StrategyConfig:
                yield from keys_of(kind, f"{prefix}{key}.")


def document_with(path: str, value) -> dict:
    *sections, key = path.split(".")
    document = {key: value}
    if sections == ["sweep", "tune"]:
        document = {"suggestions_per_strategy": 3, "space": {"train.batch_size": {"choice": [1, 2]}}, **document}
    for section in reversed(sections):
        document = {section: document}
    return document


def check_lines(error: ConfigError, path: str, value) -> None:
    for line in str(error).split("\n"):
        said, _, got = line.partition(": ")[2].partition("; known: ")[0].partition(", got ")
        assert not IDIOMS.search(said), (path, value, line)
        assert not re.search(r"\bNone\b|\bTrue\b|\bFalse\b", got), (path, value, line)
        assert len(line) < 360, (path, value, line)
    first = str(error).split("\n")[0]
    assert first.split(":")[0].split("[")[0].startswith(path.split(".")[0]), (path, value, first)


KEYS = sorted(keys_of(RaybertConfig))


def test_the_walk_finds_keys_of_every_level():
    assert {"name", "train.loss.gamma", "sweep.tune.asha.grace_fraction", "selection.scorers.loss.of"} <= {*KEYS}
    assert len(KEYS) > 130


@pytest.mark.parametrize("path", KEYS)
def test_no_wrong_value_of_a_key_is_told_in_words_of_python(path):
    for value in WRONG:
        try:
            validate_config(document_with(path, value))
        except ConfigError as error:
            check_lines(error, path, value)


@pytest.mark.parametrize("inner", ["sweep.strategies", "selection.signals", "sweep.grid", "sweep.tune.space"])
@pytest.mark.parametrize("value", WRONG, ids=repr)
def test_no_wrong_item_of_a_list_or_mapping_is_told_in_words_of_python(inner, value):
    for document in (document_with(inner, [value]), document_with(inner, {"train.batch_size": value})):
        try:
            validate_config(document)
        except ConfigError as error:
            check_lines(error, inner, value)


@pytest.mark.parametrize("key", ["low", "high", "log", "step", "int", "choice", "when"])
def test_no_wrong_domain_of_a_search_is_told_in_words_of_python(key):
    for value in WRONG:
        space = {"train.learning_rate": {"low": 1, "high": 2, key: value}}
        try:
            validate_config(document_with("sweep.tune.space", space))
        except ConfigError as error:
            check_lines(error, "sweep.tune.space", value)


@pytest.mark.parametrize("name", [*strategy_names(), *sorted(registry.filters)])
def test_no_wrong_parameter_of_a_strategy_is_told_in_words_of_python(name):
    kind = registry.strategies.get(name) or registry.filters[name]
    for key in [*kind.model_fields, "schedule", "rounds", "pre", "then", "candidates", "label"]:
        for value in WRONG:
            try:
                build_strategy(validate_model(StrategyConfig, {"name": name, key: value}, "sweep"), "sweep")
            except ConfigError as error:
                check_lines(error, "sweep", (key, value))


class Counting(TextSignal):
    """Count something."""

    name = "counting"
    at_most: int | None = None
    words: tuple[str, ...] = ()


@pytest.mark.parametrize(
    ("parameters", "line"),
    [
        ({"at_most": "many"}, "signal.at_most: must be a whole number or null, got 'many'"),
        ({"words": "many"}, "signal.words: must be a list of texts, got 'many'"),
        ({"at_mst": 1}, "signal.at_mst: unknown key; did you mean 'at_most'?"),
    ],
)
def test_parameters_of_a_signal_of_ones_own_have_the_same_words(parameters, line):
    with pytest.raises(ConfigError) as refused:
        validate_model(Counting, parameters, "signal")
    assert str(refused.value) == line


@pytest.mark.parametrize(
    ("override", "line"),
    [
        ("train.betas=[0.9]", "train.betas: must be a list of 2 numbers, got [0.9]"),
        ("train.betas=0.9", "train.betas: must be a list of 2 numbers, got 0.9"),
        ("train.learning_rate=yes", "train.learning_rate: must be a number > 0, got true"),
        ("sweep.seeds=[true]", "sweep.seeds: must be a number of seeds in 1..10000 or a list of seeds, got [true]"),
        ('train.learning_rate="0,1"', "train.learning_rate: must be a number > 0, got '0,1'; write 0.1"),
        ("train.batch_size=10%", "train.batch_size: must be a whole number > 0, got '10%'"),
        ("train.loss=foc", "train.loss.name: must be cross_entropy, bce, focal, mse, huber, or `module:callable` of your own, got "
         "'foc'; did you mean 'focal'?"),
        ("model.head=mpl", "model.head.name: must be one of 'linear', 'mlp' or 'residual', got 'mpl'; did you mean 'mlp'?"),
        ("sweep.strategies=[]", "sweep.strategies: must have at least 1 entry, got []"),
        ("sweep.grid={train.batch_size: 3}", "sweep.grid.train.batch_size: must be a list of values, got 3"),
        ("name=a/b", "name: must be a name of letters, digits, '.', '_' and '-', that begins with a letter or digit, got "
         "'a/b'"),
        ("sweep.tune={suggestions_per_strategy: 2, space: {train.batch_size: {low: 1, high: 2, int: 3}}}",
         "sweep.tune.space.train.batch_size.int: must be true or false or null, got 3"),
        ("selection.scorers.dynamics={epochs: 9, checkpoints: 6}",
         "selection.scorers.dynamics.checkpoints: must be >= epochs (9), got 6"),
        ("train.length=3", "train.length: must be a section with keys (epochs, min_steps, steps), got 3"),
    ],
)  # fmt: skip
def test_a_wrong_value_is_this_line(override, line):
    with pytest.raises(ConfigError) as refused:
        load_config({}, [override])
    assert str(refused.value) == line


@pytest.mark.parametrize(
    ("override", "same"),
    [
        ("train.loss=focal", {"train": {"loss": {"name": "focal"}}}),
        ("model.head=mlp", {"model": {"head": {"name": "mlp"}}}),
        ("model=bert-base-uncased", {"model": {"encoder": "bert-base-uncased"}}),
        ("data=reviews.csv", {"data": {"source": "reviews.csv"}}),
        ("train.averaging=ema", {"train": {"averaging": {"kind": "ema"}}}),
        ("train.early_stopping=3", {"train": {"early_stopping": {"patience": 3}}}),
        ("selection.embedding=proxy", {"selection": {"embedding": {"of": "proxy"}}}),
        ("selection.scorers.perplexity=bert", {"selection": {"scorers": {"perplexity": {"model": "bert"}}}}),
        ("selection.scorers.loss=dynamics", {"selection": {"scorers": {"loss": {"of": "dynamics"}}}}),
        ("sweep.strategies=el2n", {"sweep": {"strategies": [{"name": "el2n"}]}}),
        ("sweep.strategies={name: el2n, direction: easy}",
         {"sweep": {"strategies": [{"name": "el2n", "direction": "easy"}]}}),
        ("selection.budget=10%", {"selection": {"budget": 0.1}}),
        ("selection.budget=33.3 %", {"selection": {"budget": 0.333}}),
        ("train.warmup_fraction=5%", {"train": {"warmup_fraction": 0.05}}),
        ("data.test_fraction=25%", {"data": {"test_fraction": 0.25}}),
        ("sweep.grid={selection.budget: [10%, 0.2]}", {"sweep": {"grid": {"selection.budget": [0.1, 0.2]}}}),
        ("train={}", {}),
        ("data=", {}),
    ],
)  # fmt: skip
def test_what_is_meant_unmistakably_is_read(override, same):
    assert load_config({}, [override]) == validate_config(same)


def test_choices_of_a_search_need_no_section():
    tune = {"suggestions_per_strategy": 2, "space": {"train.batch_size": [16, 32]}}
    assert validate_config({"sweep": {"tune": tune}}).sweep.tune.space["train.batch_size"].choice == (16, 32)


def test_null_where_it_means_something_is_no_empty_section():
    tune = {"suggestions_per_strategy": 2, "space": {"train.batch_size": [16, 32]}, "asha": None}
    config = validate_config({"sweep": {"tune": tune}, "model": {"head": None}})
    assert (config.sweep.tune.asha, config.model.head) == (None, None)


def test_values_of_numpy_and_paths_are_read_from_python(tmp_path):
    config = load_config(
        {}, {"sweep.seeds": np.int64(2), "data.source": tmp_path, "train.learning_rate": np.float32(1)}
    )
    assert (config.sweep.seeds, config.data.source, config.train.learning_rate) == ((0, 1), str(tmp_path), 1.0)


def test_a_key_can_follow_a_section_written_as_its_name():
    config = load_config({"train": {"loss": "focal"}}, ["train.loss.gamma=1"])
    assert (config.train.loss.name, config.train.loss.gamma) == ("focal", 1.0)


@pytest.mark.parametrize(
    ("document", "line"),
    [
        ({"learning_rate": 1},
         "learning_rate: unknown key; did you mean 'train.learning_rate' or 'selection.proxy.learning_rate'?"),
        ({"budget": 1}, "budget: unknown key; did you mean 'selection.budget'?"),
        ({"loss": "focal"}, "loss: unknown key; did you mean 'train.loss' or 'selection.scorers.loss'?"),
        ({"train": {"budget": 1}}, "train.budget: unknown key; did you mean 'selection.budget'?"),
        ({"train": {"epochs": 1}}, "train.epochs: unknown key; did you mean 'train.length.epochs' or "
         "'selection.proxy.epochs' or 'selection.scorers.dynamics.epochs'?"),
        ({"learningRate": 1},
         "learningRate: unknown key; did you mean 'train.learning_rate' or 'selection.proxy.learning_rate'?"),
        ({"train": {"weight-decay": 1}}, "train.weight-decay: unknown key; did you mean 'weight_decay'?"),
        ({"train.learning_rate": 1}, "train.learning_rate: unknown key; write `train: {learning_rate: ...}`, its sections "
         "one inside the other"),
        ({"num_train_epochs": 3}, "num_train_epochs: unknown key; here it is train.length.epochs"),
        ({"train": {"per_device_train_batch_size": 3}},
         "train.per_device_train_batch_size: unknown key; here it is train.batch_size (over all workers)"),
        ({"train": {"warmup_ratio": 3}}, "train.warmup_ratio: unknown key; here it is train.warmup_fraction"),
        ({"weight_decay": 3}, "weight_decay: unknown key; did you mean 'train.weight_decay'?"),
        ({"train": {"fp16": True}}, "train.fp16: unknown key; here it is train.precision: fp16"),
        ({"sweep": {"grid": {"lr": [1]}}}, "sweep.grid: lr: unknown key; here it is train.learning_rate"),
        ({"colour": 3}, "colour: unknown key; known: data, limits, model, monitor, name, pretrain, resources, selection, "
             "sweep, track, train"),
    ],
)  # fmt: skip
def test_an_unknown_key_says_where_it_belongs(document, line):
    from raybert.sweeping.plan.design import read_design

    with pytest.raises(ConfigError) as refused:
        read_design(validate_config(document))
    assert str(refused.value) == line


def test_every_hint_names_a_key_that_exists():
    named = re.compile(r"\b(?:train|model|data|selection|sweep|resources|limits|monitor)(?:\.\w+)+")
    targets = {path for words in _ELSEWHERE.values() for path in named.findall(words)}
    assert targets - {*KEYS} == set()
    assert len(targets) > 30
    assert section_at(RaybertConfig, "train.loss") is not None


@pytest.mark.slow  # transformers
def test_every_argument_of_transformers_with_a_counterpart_has_a_hint():
    """What has none here was looked at one by one."""
    import dataclasses

    from transformers import TrainingArguments

    names = {field.name for field in dataclasses.fields(TrainingArguments)}
    leaves = {path.rpartition(".")[2] for path in KEYS}
    without_counterpart = re.compile(
        "optim_|average_tokens|torch_compile_|.*_kwargs|liger|use_cache|neftune|torch_empty|logging_|log_|include_|disable_|"
        "project|trackio|eval_|prediction_loss|batch_eval|save_only|save_on_|enable_|push_|hub_|ignore_data|restore_|.*_config$|"
        "dataloader_|remove_unused|train_sampling|length_column|ddp_|fsdp|deepspeed|debug|skip_memory|do_"
    )
    without_hint = {name for name in names if name not in _ELSEWHERE and name not in leaves}
    assert {name for name in without_hint if not without_counterpart.match(name)} == set()


@pytest.mark.parametrize(
    ("data", "line"),
    [
        ({"text": "a", "label": "a"}, "data.label: must be another column than that of `text`, got 'a' for both"),
        ({"text_pair": "text"}, "data.text_pair: must be another column than that of `text`, got 'text' for both"),
        ({"text_pair": "label"}, "data.label: must be another column than that of `text_pair`, got 'label' for both"),
    ],
)
def test_one_column_is_not_taken_for_two_things(data, line):
    with pytest.raises(ConfigError) as refused:
        validate_config({"data": data})
    assert str(refused.value) == line


@pytest.mark.slow
def test_the_schema_for_editors_knows_the_short_ways_of_writing():
    jsonschema = pytest.importorskip("jsonschema")
    schema = file_schema()
    good = {
        "data": "reviews.csv",
        "model": {"encoder": "bert", "head": "mlp"},
        "train": {
            "loss": "focal",
            "averaging": "ema",
            "warmup_fraction": "5%",
            "learning_rate": 1e-4,
            "early_stopping": 3,
        },
        "selection": {"budget": "10%"},
        "sweep": {"tune": {"suggestions_per_strategy": 2, "space": {"train.batch_size": [16, 32]}}},
    }
    jsonschema.validate(good, schema)
    validate_config(good)
    for wrong in ({"train": {"loss": 3}}, {"train": {"learning_rate": "much"}}, {"sweep": 3}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(wrong, schema)


def test_an_empty_file_is_no_sweep_of_defaults(tmp_path):
    for text in ("", "# nothing yet\n", "---\n"):
        (tmp_path / "sweep.yaml").write_text(text)
        with pytest.raises(
            ConfigError, match=r"sweep\.yaml: is empty; write at least `data: \{source: FILE\}`, or \{\}"
        ):
            load_config(tmp_path / "sweep.yaml")
    (tmp_path / "sweep.yaml").write_text("{}")
    assert load_config(tmp_path / "sweep.yaml") == RaybertConfig()
