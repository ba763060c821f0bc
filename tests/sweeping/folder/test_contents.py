"""Every file of a results folder is declared, with the columns of its table."""

import ast
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import raybert
from raybert.sweeping.folder.contents import SWEEP, TRIAL, Content, contents
from raybert.tables import RENAMED_TABLES, TABLES

PACKAGE = Path(raybert.__file__).parent
WRITERS = ("sweeping", "analysis", "training")
FILE_NAME = re.compile(r"\.?[a-z_]+(-[a-z]+)?\.(json|jsonl|csv|parquet|npz|npy|yaml|txt|db|journal|pickle|png)")
ELSEWHERE = {
    ".conflicts.csv",  # beside the file of `raybert select`
    "best.safetensors",
    "checkpoint.json",  # in `checkpoint/`
    "complete.json",  # of the score store
    "identity.json",  # likewise
    "given-up.txt",  # likewise
    "config.json",  # of a model
    "micro_batch_limit.json",  # in `checkpoint/`
    "answer.npz",  # in `.train-<name>/`
    "digests.json",  # of the cache
    "published.json",  # beside a working folder
    "copied.json",  # beside a copy of a results folder
    ".given.json",  # likewise
    "trained_on.json",  # of a tokenizer
    "pretraining.yaml",  # in what `raybert submit` sends
}
CONFIG = {
    "name": "whole",
    "data": {"train_examples": 60, "validation_examples": 20, "test_examples": 20, "max_length": 16},
    "train": {"length": {"steps": 4}, "learning_rate": 1e-3, "eval_every": 2, "batch_size": 16},
    "monitor": {"gradient_norm": 1, "weight_histograms": 2},
}


def test_a_content_covers_the_paths_that_it_names_and_no_others():
    one = Content("trials/<id>/log.txt", "a log")
    assert one.covers("trials/0a1b/log.txt")
    assert not one.covers("trials/0a1b/more/log.txt")
    assert not one.covers("trials/log.txt")
    folder = Content("best/", "a model")
    assert folder.covers("best/config.json")
    assert folder.covers("best/sub/x.bin")
    assert not folder.covers("best")
    assert Content("study.db-<part>", "a log").covers("study.db-wal")


def test_no_two_contents_have_one_path_and_all_say_what_they_hold():
    paths = [content.path for content in contents()]
    assert len(paths) == len(set(paths)) > 60
    assert [content.path for content in contents() if not content.description] == []


def named_in(module: Path) -> set[str]:
    """The names of files in the code of a module, docstrings apart."""
    constants = (node.value for node in ast.walk(ast.parse(module.read_text())) if isinstance(node, ast.Constant))
    return {value for value in constants if isinstance(value, str) and FILE_NAME.fullmatch(value)}


@pytest.mark.slow
def test_every_file_that_the_code_names_is_declared():
    named = set().union(*(named_in(module) for room in WRITERS for module in (PACKAGE / room).rglob("*.py")))
    assert {"plan.json", "result.json", "refit.json", "study.db", "monitor_nan.json"} <= named
    declared = {content.path.rpartition("/")[2] for content in contents()}
    old = {f"{name}.jsonl" for name in RENAMED_TABLES}
    assert named - declared - old - ELSEWHERE == set()


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """The results of a run of everything that leaves files without Ray."""
    return raybert.train(CONFIG, output=tmp_path_factory.mktemp("runs") / "whole").folder


def files_of(folder: Path) -> list[str]:
    return [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]


def undeclared(folder: Path) -> list[str]:
    """The files of the folder of a sweep that has ended which no lasting content covers."""
    lasting = [content for content in contents() if content.is_lasting]
    return [path for path in files_of(folder) if not any(content.covers(path) for content in lasting)]


@pytest.mark.slow
def test_a_finished_folder_holds_nothing_undeclared(folder):
    assert undeclared(folder) == []


@pytest.mark.slow
def test_a_finished_folder_holds_what_the_first_names_promise(folder):
    always = {"sweep.yaml", "resolved.yaml", "manifest.json", "plan.json", "pool.parquet", "held_out.parquet"}
    assert always <= {content.path for content in SWEEP}
    assert always <= set(files_of(folder))
    of_a_run = {"spec.json", "evaluations.jsonl", "result.json", "losses.npz", "predictions.parquet", "monitor.parquet"}
    assert of_a_run <= {content.path for content in TRIAL}
    (trial,) = (folder / "trials").iterdir()
    assert of_a_run <= set(files_of(trial))


def columns_of(path: Path) -> list[str]:
    if path.suffix == ".npz":
        with np.load(path) as arrays:
            return list(arrays)
    frame = pd.read_csv(path) if path.suffix == ".csv" else pd.read_parquet(path)
    return list(dict.fromkeys(re.sub(r"^prob_\d+$", "prob_<c>", name) for name in frame.columns))


@pytest.mark.slow
def test_every_table_of_a_folder_has_exactly_the_columns_that_are_declared(folder):
    found = [folder / path for path in files_of(folder) if Path(path).suffix in (".csv", ".parquet", ".npz")]
    assert {"trials", "pool", "held_out", "selection", "losses", "predictions", "monitor", "monitor_histograms"} <= {
        path.stem for path in found
    }
    for path in found:
        table = TABLES[path.stem]
        needed = set(table.order()) - {column.name for column in table if column.optional}
        written = columns_of(path)
        known = [*table.order(), *(column.name for column in table.further)]
        assert written == [name for name in known if name in written or name in needed], path.name


@pytest.mark.slow
def test_what_was_given_is_kept_as_given_beside_what_it_became(folder):
    given, resolved = ((folder / name).read_text() for name in ("sweep.yaml", "resolved.yaml"))
    assert "gpus_per_worker: auto\n" in given  # on another machine it is another number
    assert "gpus_per_worker: 0\n" in resolved
