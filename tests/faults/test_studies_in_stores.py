"""Pretraining files, cross-evaluation and folds with results in an object store: the same as on a disk."""

import hashlib
import os
import signal
from pathlib import Path

import pandas as pd
import pytest
import yaml

import raybert
from raybert.storage import open_store
from tests.faults.sweeps import finish, started
from tests.object_stores import KEYS, s3_server
from tests.pretraining.packed import documents
from tests.same_results import assert_same_tables, published_tables

pytestmark = [pytest.mark.long, pytest.mark.slow]

PATIENCE = 300
NAMES = ("north-s0", "south-s0")


@pytest.fixture(scope="module")
def server():
    with s3_server() as url:
        yield {**KEYS, "AWS_ENDPOINT_URL": url}


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """A pretraining file of two models, trained here, one after the other."""
    folder = tmp_path_factory.mktemp("study")
    for number, name in enumerate(("north", "south")):
        pd.DataFrame({"text": documents(120, number)}).to_csv(folder / f"{name}.csv", index=False)
    document = {
        "name": "study",
        "corpora": {name: str(folder / f"{name}.csv") for name in ("north", "south")},
        "tokenizer": {"vocabulary": 120},
        "model": {"config": {"hidden_size": 32, "num_attention_heads": 2, "intermediate_size": 48}},
        "pretrain": {
            "length": {"steps": 20},
            "eval_every": 10,
            "max_length": 32,
            "batch_size": 8,
            "precision": "fp32",
            "early_stopping": None,
        },
        "resources": {"gpus_per_worker": 0, "concurrent_trials": 1},
    }
    (folder / "study.yaml").write_text(yaml.safe_dump(document), encoding="utf-8")
    return folder / "study.yaml"


def all_of(place, target):
    """All that is in the store, as another tool copies it."""
    store = open_store(place)
    for name in store.list():
        store.get_file(name, target / name)
    return target


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def tables(folder):
    """The tables of a cross-evaluation, as they are written, without what clocks say."""
    found = {path.name: pd.read_csv(path, dtype=str) for path in sorted((folder / "crosseval").glob("*.csv"))}
    assert found
    return {name: frame.drop(columns=[c for c in frame if "seconds" in c]) for name, frame in found.items()}


def test_a_study_and_its_cross_evaluation_give_the_same_in_a_store(
    server, study, tmp_path, monkeypatch, no_pixels_here
):
    local, place = tmp_path / "local", "s3://bucket/runs/study"
    raybert.study(study, output=local)
    monkeypatch.setenv("RAYBERT_CACHE", str(tmp_path / "one"))
    raybert.study(study, output=place)
    found = all_of(place, tmp_path / "copy")
    for name in NAMES:
        model = Path("models", name, "model", "model.safetensors")
        assert digest(found / model) == digest(local / model)
    assert_same_tables(tables(found), tables(local))
    before = {name: entry for name, entry in open_store(place).list().items() if name.startswith("models/")}
    monkeypatch.setenv("RAYBERT_CACHE", str(tmp_path / "two"))
    raybert.crosseval(study, output=place)
    after = open_store(place).list()
    assert {name: after[name] for name in before} == before, "nothing is trained, or published, twice"
    assert_same_tables(tables(all_of(place, tmp_path / "again")), tables(local))
    assert {run.trial_id for run in raybert.status(place).running} == set()


@pytest.mark.ray
def test_folds_and_a_trial_that_was_killed_give_the_same_in_a_store(server, ground, tmp_path, address):
    changes = {"sweep__seeds": 1, "data__folds": 2, "data__source": str(ground.data / "train.csv")}
    file = ground.write(tmp_path / "sweep.yaml", selection__budget=16, **changes)
    local, place = tmp_path / "local", "s3://bucket/runs/folds"
    code, said = finish(file, local, "--address", address, environment={"RAYBERT_CACHE": str(tmp_path / "zero")})
    assert code == 0, said
    ground.traps.lay("gate")
    environment = {**server, "RAYBERT_CACHE": str(tmp_path / "one")}
    with started(file, place, "--address", address, environment=environment) as driver:
        os.kill(ground.traps.wait_for_trial(), signal.SIGKILL)
        code, said = driver.end(PATIENCE)
    ground.traps.clear()
    assert code == 0, said
    assert "it goes on from its last checkpoint (retry 1 of" in said
    assert_same_tables(published_tables(Path(raybert.load_sweep(place).folder)), published_tables(local))
