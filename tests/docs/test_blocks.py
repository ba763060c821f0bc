"""Every block of code in README, CONTRIBUTING and docs/, run as a reader would run it, with small data.

Sweep files of a page are shrunk by `SMALL`, and by what `ALSO` says for the page, which are `--set` overrides; commands are run
in this process, as they are written but for `SHORTER`. All pages begin with a copy of one finished `runs/strategies`.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import sys
from collections import Counter
from pathlib import Path

import jsonschema
import pandas as pd
import pytest
import typer
import yaml

from raybert.cli import app
from raybert.config.kinds import kind_of, load_any
from raybert.config.load import read_yaml
from tests.docs.blocks import LANGUAGES, Reader, blocks_of, pages, shrink
from tests.e2e.commands import ROOT, run

SMALL = (
    "data.train_examples=120",
    "data.validation_examples=20",
    "data.test_examples=40",
    "data.max_length=24",
    "train.length={steps: 6}",
    "model.encoder=raybert-tiny",
    "resources={}",
    "sweep.seeds=2",
)
ALSO: dict[str, tuple[str, ...]] = {
    "docs/how-to/cross_validation.md": (
        "data.train_examples=null",
        "data.validation_examples=null",
        "data.test_examples=null",
        "data.folds=2",
        "sweep.seeds=1",
    ),
    "docs/how-to/search.md": (
        "sweep.tune.suggestions_per_strategy=2",
        "sweep.tune.startup_suggestions=1",
        "sweep.strategies=[random, el2n]",
    ),
    "docs/how-to/long_documents.md": ("data.max_length=128",),
    "docs/tutorials/your_data.md": (
        "data.train_examples=60",
        "data.validation_examples=8",
        "data.test_examples=20",
    ),
    "docs/tutorials/a_tenth_of_the_data.md": ("sweep.seeds=1", "sweep.grid={selection.budget: [0.1, 0.3]}"),
}
"""Page -> overrides besides SMALL, because it sweeps another way or would take long."""

SHORTER = {
    "sweep.tune.suggestions_per_strategy=30": "sweep.tune.suggestions_per_strategy=3",
    "--output mine.csv": "--output mine.csv --set data.train_examples=2000",  # a few rows of every class are left
}
"""Part of a command -> what is run in its place."""

WRITTEN = pages()
BLOCKS = {page: list(blocks_of(page)) for page in WRITTEN}
ALL = [block for blocks in BLOCKS.values() for block in blocks]

_WORDS = ("red", "green", "blue", "one", "two", "three", "north", "south", "salt", "sugar")


def write_data(folder: Path) -> None:
    """Write what pages call your own files: reviews, posts by authors, long documents, texts."""
    rows = range(240)
    words = [" ".join(_WORDS[(i * k + k) % len(_WORDS)] for k in range(2, 9)) + f" {i}" for i in rows]
    authors = [f"author{i % 24}" for i in rows]
    pd.DataFrame({"review": words, "stars": [f"{i % 3 + 1} stars" for i in rows], "author": authors}).to_csv(
        folder / "reviews.csv", index=False
    )
    pd.DataFrame({"text": words, "label": [i % 2 for i in rows], "author": authors}).to_csv(
        folder / "posts.csv", index=False
    )
    pd.DataFrame({"text": [". ".join([text] * 8) for text in words], "label": [i % 2 for i in rows]}).to_csv(
        folder / "documents.csv", index=False
    )
    (folder / "texts.txt").write_text("".join(f"{text}\n" for text in words[:20]), encoding="utf-8")


@pytest.fixture(scope="module")
def start(tmp_path_factory, ray_cluster, no_pixels) -> Path:
    """A folder as a reader has it who has run the main sweep: sweeps/, runs/strategies, and some data."""
    folder = tmp_path_factory.mktemp("start")
    shutil.copytree(ROOT / "sweeps", folder / "sweeps")
    for file in (folder / "sweeps").glob("*.yaml"):
        if kind_of(read_yaml(file), file.name) == "sweep":
            shrink(file, SMALL)
    write_data(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        done = run("sweep", "sweeps/strategies.yaml")
        assert done.code == 0, done.said
    return folder


@pytest.fixture
def own_modules(monkeypatch):
    """Forget modules that a page's commands import from its folder."""
    before = set(sys.modules)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield
    here = os.getcwd()
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", None) or "").startswith(here):
            del sys.modules[name]


IN_EVERY_RUN = {"README.md"}
"""Pages that the README's test command follows; the others are left to CI."""
RUN = [
    pytest.param(page, id=name, marks=[] if name in IN_EVERY_RUN else pytest.mark.long)
    for page in WRITTEN
    if any(block.is_run for block in BLOCKS[page])
    for name in [page.relative_to(ROOT).as_posix()]
]


@pytest.mark.slow
@pytest.mark.ray
@pytest.mark.usefixtures("no_pixels")
@pytest.mark.parametrize("page", RUN)
def test_a_reader_can_follow_the_page(page, start, tmp_path, monkeypatch, own_modules):
    folder = tmp_path / "reader"
    shutil.copytree(start, folder)
    monkeypatch.chdir(folder)
    sys.path.insert(0, str(folder))
    reader = Reader(folder, (*SMALL, *ALSO.get(BLOCKS[page][0].page, ())), SHORTER)
    reader.follow(BLOCKS[page])  # which asserts how every command ends
    assert reader.done == [block.place for block in BLOCKS[page] if block.is_run]


def test_few_blocks_are_not_run_and_each_says_why():
    left_out = [block for block in ALL if block.language in LANGUAGES and not block.is_run]
    assert all(len(block.marks.get("not run", "CI runs it")) > 8 for block in left_out)
    assert len(left_out) <= 0.25 * sum(block.language in LANGUAGES for block in ALL), [
        block.place for block in left_out
    ]


LEFT_OUT = [block for block in ALL if block.language == "bash" and "not run" in block.marks]


@pytest.mark.parametrize("block", LEFT_OUT, ids=[block.place for block in LEFT_OUT])
def test_commands_that_cannot_run_here_are_understood(block):
    for words in block.commands():
        if "raybert" in words:
            check_command([word for word in words[words.index("raybert") + 1 :] if word != "&"])


def check_command(words: list[str]) -> None:
    """Check names of command and options, and the sweep file with its overrides; nothing is run."""
    command = typer.main.get_command(app)
    name, *arguments = words
    parsed = command.commands[name].make_context(name, arguments).params
    file = parsed.get("file")
    if file is not None and (ROOT / file).suffix == ".yaml" and (ROOT / file).exists():
        assert load_any(ROOT / file, parsed.get("overrides") or ())


def test_the_cluster_file_is_one_of_ray():
    schema = Path(importlib.util.find_spec("ray").origin).parent / "autoscaler" / "ray-schema.json"
    cluster = yaml.safe_load((ROOT / "cluster.yaml").read_text())
    validator = jsonschema.Draft7Validator(json.loads(schema.read_text()))
    assert [error.message for error in validator.iter_errors(cluster)] == []
    assert [error.message for error in validator.iter_errors(cluster | {"no_such_key": 1})] != []


def test_every_fence_has_a_language():
    known = {*LANGUAGES, "text", "ini", "{toctree}", "{eval-rst}", "{include}"}
    assert not [block.place for block in ALL if block.language not in known]


def test_readme_is_short_and_begins_with_the_command():
    lines = (ROOT / "README.md").read_text().splitlines()
    assert len(lines) <= 120
    assert Counter(block.marks.get("ci") for block in BLOCKS[ROOT / "README.md"])["main"] == 1


@pytest.mark.parametrize("file", sorted((ROOT / "sweeps").glob("*.yaml")), ids=lambda file: file.name)
def test_sweep_files_use_todays_names(file, recwarn):
    assert load_any(file)
    assert not recwarn.list
