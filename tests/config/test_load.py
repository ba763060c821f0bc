import json

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from raybert.config import RaybertConfig, apply_overrides, dump_yaml, load_config, validate_config
from raybert.errors import ConfigError


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("train.learning_rate=-1e-5", r"train\.learning_rate: must be > 0, got -1e-05"),
        ("train.learning_rat=1", r"train\.learning_rat: unknown key; did you mean 'learning_rate'\?"),
        ("dat.source=x", r"dat: unknown key; did you mean 'data'\?"),
        (
            "selection.budget=1.5",
            r"selection\.budget: must be a whole number >= 1 or a fraction in \(0, 1\], got 1.5",
        ),
        ("selection.budget=true", r"selection\.budget: must be a whole number"),
        (
            "train.precision=fp8",
            r"train\.precision: must be one of 'auto', 'fp32', 'tf32', 'bf16' or 'fp16', got 'fp8'",
        ),
        ("train.length={epochs: 3, steps: 4}", r"train\.length: must have `epochs` or `steps`, not both"),
        ("sweep.seeds=0", r"sweep\.seeds: must be a number of seeds in 1..10000 or a list of seeds, got 0"),
        ("sweep.seeds=[1, 1]", r"sweep\.seeds: must be distinct"),
        ("sweep.strategies=[{nme: el2n}]", r"sweep\.strategies\[0\]\.name: must be given"),
        ("sweep.strategies=[]", r"sweep\.strategies: "),
        (
            "sweep.grid={train.batch_size: []}",
            r"sweep\.grid: `train.batch_size` must have at least one value",
        ),
        ("train.batch_size=2.5", r"train\.batch_size: must be a whole number > 0, got 2\.5"),
        ("train.epsilon=.inf", r"train\.epsilon: "),
        ("name=a/b", r"name: "),
    ],
)
def test_a_wrong_value_is_one_line_with_path_rule_and_value(override, message):
    with pytest.raises(ConfigError, match=message) as caught:
        validate_config(apply_overrides({}, [override]))
    assert str(caught.value).startswith(override.split("=")[0].split(".")[0])


def test_numbers_without_a_point_arrive_as_floats(tmp_path):
    path = tmp_path / "sweep.yaml"
    path.write_text("train: {learning_rate: 2e-5}\nsweep: {grid: {train.learning_rate: [1e-5, 3E-4, 5]}}\n")
    config = load_config(path)
    assert config.train.learning_rate == 2e-5
    assert config.sweep.grid["train.learning_rate"] == (1e-5, 3e-4, 5)


def test_overrides_win_in_order_and_reach_new_sections(tmp_path):
    path = tmp_path / "sweep.yaml"
    path.write_text("train: {batch_size: 8}\n")
    config = load_config(path, ["train.batch_size=16", "selection.proxy.epochs=2", "train.batch_size=4"])
    assert (config.train.batch_size, config.selection.proxy.epochs) == (4, 2)
    with pytest.raises(ConfigError, match="override 'train': must be dotted.key=value"):
        load_config(path, ["train"])
    with pytest.raises(ConfigError, match="`batch_size` is a value, not a section"):
        load_config(path, ["train.batch_size.x=1"])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [1,", r"sweep\.yaml:\d+:\d+: not valid YAML"),
        ("train: {batch_size: 1}\ntrain: {batch_size: 2}", "key 'train' is given twice"),
        ("- 1", "must be a mapping of sections, got list"),
    ],
)
def test_a_file_that_is_not_a_sweep_says_where(tmp_path, text, message):
    path = tmp_path / "sweep.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message):
        load_config(path)


def test_a_missing_file_suggests_its_neighbour(tmp_path):
    (tmp_path / "strategies.yaml").write_text("")
    with pytest.raises(ConfigError, match=r"no such sweep file; did you mean 'strategies\.yaml'"):
        load_config(tmp_path / "strategy.yaml")
    with pytest.raises(ConfigError, match="got a folder"):
        load_config(tmp_path)


@pytest.mark.slow
@given(
    learning_rate=st.floats(1e-12, 10),
    budget=st.one_of(st.integers(1, 10**6), st.floats(1e-6, 1)),
    seeds=st.sets(st.integers(0, 99), min_size=1).map(list),
)
def test_what_is_written_reads_back_equal_with_any_yaml_reader(learning_rate, budget, seeds):
    config = validate_config(
        {
            "train": {"learning_rate": learning_rate},
            "selection": {"budget": budget},
            "sweep": {"seeds": seeds},
        }
    )
    assert validate_config(yaml.safe_load(dump_yaml(config))) == config


def test_a_fraction_and_a_number_are_told_apart():
    resolve = lambda budget: validate_config({"selection": {"budget": budget}}).selection.resolve(200)  # noqa: E731
    assert [resolve(1), resolve(1.0), resolve(0.1), resolve(0.001)] == [1, 200, 20, 1]
    with pytest.raises(ConfigError, match=r"selection\.budget: must be in 1\.\.200 \(pool size\), got 201"):
        resolve(201)


def test_every_key_has_a_description_in_the_schema():
    schema = RaybertConfig.model_json_schema()
    json.dumps(schema)
    undescribed = [
        f"{name}.{key}"
        for name, section in schema["$defs"].items()
        for key, field in section["properties"].items()
        if "description" not in field and "$ref" not in field
    ]
    assert undescribed == []


@pytest.mark.parametrize(
    "sections",
    [
        {"train": {"warmup_steps": 7}},
        {"train": {"length": {"steps": 9}, "loss": {"name": "focal", "alpha": "inverse"}}},
        {"model": {"head": "mlp", "pooling": "max"}},
        {"model": {"kind": "iris"}},
        {"model": {"kind": "iris", "head": {"name": "mlp", "sizes": [8]}}, "train": {"warmup_steps": 3}},
        {"sweep": {"strategies": [{"name": "el2n", "schedule": "rounds", "rounds": 3}], "seeds": 2, "keep_best": 1}},
    ],
)
def test_a_resolved_file_loads_as_it_was(sections, tmp_path):
    config = validate_config(sections)
    file = tmp_path / "resolved.yaml"
    file.write_text(dump_yaml(config))
    assert load_config(file) == config
