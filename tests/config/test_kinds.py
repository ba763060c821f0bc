"""Sweep files and pretraining files are told apart by their content, by `validate`, `render` and the JSON Schema."""

import json
from pathlib import Path

import pytest
import yaml

import raybert
from raybert.config import load_config
from raybert.config.pretraining import load_pretraining
from raybert.errors import ConfigError, DataError, ModelError
from tests.e2e.commands import run

SWEEPS = Path(__file__).resolve().parents[2] / "sweeps"
STUDY = {
    "corpora": {"a": "a.csv", "b": {"source": "docstrings", "group": "module"}, "ab": {"of": ["a", "b"]}},
    "seeds": 3,
    "probes": {"colours": {"templates": ["a [MASK] hat"], "groups": {"warm": ["red"], "cold": ["blue"]}}},
}


@pytest.fixture(autouse=True)
def corpus(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.csv").write_text("text\none\ntwo\n")


def test_a_file_with_corpora_is_a_pretraining_file_and_its_models_are_counted():
    assert raybert.validate(STUDY) == raybert.StudySize(num_corpora=3, num_seeds=3, num_probes=1)
    assert raybert.validate({}) == raybert.SweepSize(num_trials=6, num_suggestions=0)


def test_the_command_line_tells_both_kinds_and_renders_both(tmp_path):
    file = tmp_path / "study.yaml"
    file.write_text(yaml.safe_dump(STUDY))
    assert run("validate", file).out == f"{file}: valid, 9 models (3 corpora, 3 seeds), 1 probe\n"
    document = json.loads(run("validate", file, "--set", "seeds=1", "--json").out)
    assert {key: document[key] for key in ("kind", "num_trials", "num_models")} == {
        "kind": "pretraining",
        "num_trials": 0,
        "num_models": 3,
    }
    rendered = run("render", file).out
    assert load_pretraining(yaml.safe_load(rendered)) == load_pretraining(STUDY)


@pytest.mark.parametrize(
    "document",
    [
        STUDY,
        {"corpora": {"a": "a.csv"}, "tokenizer": "some/folder"},
        {"corpora": {"a": "a.csv"}, "model": "some/encoder"},
        {"corpora": {"a": "a.csv"}, "tokenizer": {"kind": "byte_bpe"}, "pretrain": {"masked": None, "contrastive": {}}},
        {"corpora": {"a": "a.csv"}, "probes": {"p": {"pairs": [{"more": "x", "less": "y"}]}}, "seeds": [4, 7]},
    ],
)
def test_a_rendered_pretraining_file_reads_back_to_the_same(document):
    config = load_pretraining(document)
    assert load_pretraining(yaml.safe_load(raybert.render(document))) == config


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ({"foo": 1}, "must be a sweep file (name, data, "),
        ({"foo": 1}, "or a pretraining file (corpora, words, form, tokenizer, "),
        ({"dta": {}}, "got the keys dta; did you mean 'data'?"),
        ({"tokenizer": {}}, "must have `corpora` beside `tokenizer`, as pretraining files do, got none"),
        (STUDY | {"sweep": {}}, "sweep: must be left out of a pretraining file (one with `corpora`): it is of sweeps"),
        (STUDY | {"crosseval": {"of": ["c"]}}, "crosseval.of: must name corpora of this file, got 'c'"),
        (STUDY | {"crosseval": {"domains": {"m": "c"}}}, "crosseval.domains.m: must name a corpus of this file"),
    ],
)
def test_what_is_neither_or_wrong_is_said_in_a_line(document, words):
    with pytest.raises(ConfigError) as refused:
        raybert.validate(document)
    assert words in str(refused.value)
    assert "\n" not in str(refused.value)


def test_each_command_says_that_a_file_is_of_the_other_kind():
    Path("a.yaml").write_text(yaml.safe_dump(STUDY))
    with pytest.raises(ConfigError, match=r"a\.yaml: must be a sweep file, got a pretraining file \(it has `corpora`"):
        load_config("a.yaml")
    with pytest.raises(ConfigError, match=r"got a sweep file \(it has `data`\); `raybert sweep` takes it"):
        load_pretraining(SWEEPS / "strategies.yaml")


@pytest.mark.parametrize(
    ("key", "value", "error", "words"),
    [
        ("corpora.a", "nowhere.csv", DataError, "corpora.a.source: no such file or folder 'nowhere.csv'"),
        ("corpora.a", "nowhere.txt", DataError, "corpora.a.source: no such file or folder 'nowhere.txt'"),
        ("corpora.a.text", "post", DataError, "corpora.a.text: 'a.csv' has no column 'post'"),
        ("corpora.b.group", "author", DataError, "corpora.b.group: 'docstrings' has no column 'author'"),
        ("corpora.b", {"source": "prose", "group": "author"}, DataError, "corpora.b.group: 'prose' has no column"),
        ("tokenizer", "nowhere", ConfigError, "tokenizer.folder: must be a folder with a tokenizer, got 'nowhere'"),
        ("tokenizer", ".", ModelError, "tokenizer.folder: '.' must have a tokenizer"),
        ("model", "./nowhere", ModelError, "model.encoder: must be an existing folder, got ./nowhere"),
        ("crosseval.models", {"m": ["./no"]}, ModelError, "crosseval.models.m: must be an existing folder, got ./no"),
        ("probes.colours.templates", "t.txt", ConfigError, "probes.colours.templates: 't.txt' cannot be read"),
    ],
)
def test_paths_columns_and_folders_are_looked_at(key, value, error, words):
    with pytest.raises(error) as refused:
        raybert.validate(STUDY, overrides={key: value})
    assert str(refused.value).startswith(words)


@pytest.mark.slow
def test_one_schema_for_editors_takes_both_kinds_and_refuses_what_neither_has():
    jsonschema = pytest.importorskip("jsonschema")
    checks = jsonschema.Draft202012Validator(raybert.schema())
    for good in (STUDY, *(yaml.safe_load(file.read_text()) for file in SWEEPS.glob("*.yaml"))):
        checks.validate(good)
    for wrong in (STUDY | {"data": "a.csv"}, STUDY | {"corpora": {}}, STUDY | {"seeds": 0}, {"seeds": 3}):
        with pytest.raises(jsonschema.ValidationError):
            checks.validate(wrong)
