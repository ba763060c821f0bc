"""Mistakes in paths, columns and folders are found before torch, transformers and Ray are imported."""

import json
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

import raybert
from raybert.errors import RaybertError
from tests.conftest import _CACHE

HEAVY = {"torch", "transformers", "ray", "datasets", "matplotlib"}


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """Data, folders that look like encoders, and a folder that looks like the results of a sweep."""
    folder = tmp_path_factory.mktemp("place")
    rows = pd.DataFrame({"review": ["fine", "poor"] * 20, "stars": [1, 0] * 20, "id": range(40)})
    rows.to_csv(folder / "reviews.csv", index=False)
    rows.to_parquet(folder / "reviews.parquet")
    rows.to_feather(folder / "reviews.arrow")
    rows.to_json(folder / "reviews.jsonl", orient="records", lines=True)
    for name in ("splits", "no_train", "no_config", "no_weights", "no_tokenizer", "outer/inner"):
        (folder / name).mkdir(parents=True)
    rows.to_csv(folder / "splits/train.csv", index=False)
    rows.drop(columns="stars").to_csv(folder / "splits/test.csv", index=False)
    rows.to_csv(folder / "no_train/test.csv", index=False)
    for name in ("no_weights", "no_tokenizer", "outer/inner"):
        (folder / name / "config.json").write_text("{}")
    (folder / "no_weights/tokenizer.json").write_text("{}")
    (folder / "no_tokenizer/model.safetensors").write_text("")
    (folder / "file.xlsx").write_bytes(b"PK")
    (folder / "empty.csv").touch()
    (folder / "results").mkdir()
    (folder / "results/resolved.yaml").write_text(
        raybert.render({"data": {"source": str(folder / "reviews.csv"), "text": "review", "label": "stars"}})
    )
    return folder


DATA = [
    ({"source": "{}/review.csv"}, "data.source: no such file or folder '{}/review.csv'; did you mean 'reviews.csv'?"),
    ({"source": "{}/nowhere/x.parquet"}, "data.source: no such file or folder '{}/nowhere/x.parquet'"),
    ({"source": "{}/file.xlsx"}, "must be a .parquet, .csv, .tsv, .jsonl, .json, .arrow file"),
    ({"source": "{}/empty.csv"}, "data.source: '{}/empty.csv' is empty (0 bytes)"),
    ({"source": "{}/reviews.csv"}, "data.text: '{}/reviews.csv' has no column 'text'; it has review, stars, id"),
    ({"source": "{}/reviews.csv", "text": "review"}, "data.label: '{}/reviews.csv' has no column 'label'"),
    ({"source": "{}/reviews.parquet", "text": "reviews"}, "did you mean 'review'?"),
    ({"source": "{}/reviews.arrow", "text": "review", "label": "star"}, "did you mean 'stars'?"),
    ({"source": "{}/reviews.jsonl", "text": "review", "label": "stars", "group": "author"}, "no column 'author'"),
    ({"source": "{}/splits", "text": "review", "label": "stars"}, "'{}/splits/test.csv' has no column 'stars'"),
    ({"source": "{}/no_train", "text": "review", "label": "stars"}, "must hold train.parquet"),
    ({"source": "docstrings", "label": "class"}, "data.label: 'docstrings' has no column 'class'; it has text, label"),
    ({"source": "s3://bucket/x.csv"}, "data.source: must be a built-in corpus"),
]
ENCODERS = [
    ("{}/nowhere", "model.encoder: must be an existing folder, got {}/nowhere"),
    ("{}/no_config", "model.encoder: {}/no_config: must be a transformers folder, has no config.json"),
    ("{}/outer", "has no config.json; did you mean '{}/outer/inner'?"),
    ("{}/no_weights", "model.encoder: {}/no_weights: must be a transformers folder, has no weights"),
    ("{}/no_tokenizer", "model.encoder: {}/no_tokenizer: must be a transformers folder, has no tokenizer"),
    ("{}/reviews.csv", "model.encoder: must be a folder, '{}/reviews.csv' is a file"),
    ("a/b/c", "model.encoder: must be raybert-tiny, an existing folder, or a hub id, got 'a/b/c'"),
]


def filled(value: object, place: Path) -> object:
    return json.loads(json.dumps(value).replace("{}", str(place)))


@pytest.mark.parametrize(("data", "line"), DATA)
def test_validate_looks_at_paths_formats_and_columns(data, line, place):
    with pytest.raises(RaybertError) as refused:
        raybert.validate({"data": filled(data, place)})
    assert filled(line, place) in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(("encoder", "line"), ENCODERS)
def test_validate_looks_at_local_encoders(encoder, line, place):
    with pytest.raises(RaybertError) as refused:
        raybert.validate({"model": {"encoder": filled(encoder, place)}})
    assert filled(line, place) in str(refused.value)


def test_every_value_of_a_grid_is_looked_at(place):
    grid = {"data.max_length": [8, 16], "model.encoder": ["raybert-tiny", str(place / "nowhere")]}
    with pytest.raises(RaybertError, match="model.encoder: must be an existing folder"):
        raybert.validate({"sweep": {"grid": grid}})


def test_what_is_right_is_valid(place):
    columns = {"text": "review", "label": "stars"}
    for name in ("reviews.csv", "reviews.parquet", "reviews.arrow", "reviews.jsonl"):
        assert raybert.validate({"data": {"source": str(place / name), **columns}}).num_trials == 6


def test_tensorboard_that_is_not_installed_is_said_before_anything_is_loaded(place, monkeypatch, tmp_path):
    data = {"source": str(place / "reviews.csv"), "text": "review", "label": "stars"}
    file = {"data": data, "monitor": {"tensorboard": True}}
    assert raybert.validate(file).num_trials == 6
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    for call in (
        lambda: raybert.validate(file),
        lambda: raybert.plan(file),
        lambda: raybert.sweep(file, output=tmp_path / "sweep"),
        lambda: raybert.train(file, output=tmp_path / "train"),
    ):
        with pytest.raises(RaybertError) as refused:
            call()
        assert refused.value.exit_code == 2
        assert str(refused.value) == (
            "monitor.tensorboard: needs the package tensorboard; `pip install raybert[monitor]`, or set it to false"
        )
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_no_command_waits_for_torch_to_find_such_a_mistake(place):
    """All in one process: a module that was imported once would stay."""
    wrong = {"data": {"source": str(place / "review.csv")}}
    other = {"data": {"source": str(place / "reviews.csv"), "text": "review", "label": "stars", "max_length": 99}}
    script = f"""
import sys, raybert
from raybert.errors import RaybertError
calls = {{
    "validate": lambda: raybert.validate({wrong}),
    "plan": lambda: raybert.plan({wrong}),
    "sweep": lambda: raybert.sweep({wrong}),
    "sweep into results of another file": lambda: raybert.sweep({other}, output={str(place / "results")!r}),
    "train": lambda: raybert.train({wrong}),
    "train, unknown strategy": lambda: raybert.train({{}}, strategy="el2m"),
    "train, nothing to resume": lambda: raybert.train({{}}, resume=True, output="nowhere"),
    "select": lambda: raybert.select_subset({wrong}, "random"),
    "evaluate": lambda: raybert.evaluate("nowhere"),
    "evaluate, data": lambda: raybert.evaluate({str(place / "outer/inner")!r}, {str(place / "x.csv")!r}),
    "predict": lambda: raybert.predict("nowhere", ["a"]),
    "predict, file": lambda: raybert.predict({str(place / "outer/inner")!r}, {str(place / "x.csv")!r}),
    "explain": lambda: raybert.explain("nowhere"),
    "reproduce": lambda: raybert.reproduce("nowhere", "abc"),
    "report": lambda: raybert.report("nowhere"),
    "status": lambda: raybert.status("nowhere"),
}}
for name, call in calls.items():
    try:
        call()
    except RaybertError as error:
        assert chr(10) not in str(error), error
        found = sorted({HEAVY} & set(sys.modules))
        print(name, "|", *found, flush=True)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, cwd=_CACHE.name)
    lines = done.stdout.splitlines()
    assert len(lines) == 16, done.stderr
    assert [line for line in lines if not line.endswith("|")] == []
