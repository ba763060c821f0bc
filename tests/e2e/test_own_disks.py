"""Nodes that do not see what the driver has: its encoder, or its working folder as well, are brought to them.

Where nothing is drawn, `tests.conftest` sets another cache in the driver's process, and all see the working folder in it.
"""

import json
import shutil
from pathlib import Path

import pytest
import yaml

import raybert
from raybert.storage import open_store
from tests.clusters import cluster_of
from tests.e2e.commands import forked_command
from tests.faults.sweeps import Ground
from tests.in_one_process import sweep_in_this_process
from tests.object_stores import s3_server
from tests.pretraining.packed import documents
from tests.processes import called
from tests.ray_workers import lacks_namespaces, own_disk
from tests.same_results import assert_same_tables, published_tables

pytestmark = [
    pytest.mark.long,
    pytest.mark.slow,
    pytest.mark.ray,
    pytest.mark.skipif(lacks_namespaces(), reason="mount namespaces need rights that this user does not have"),
]

PATIENCE = 500


@pytest.fixture(scope="module")
def server():
    with s3_server() as url:
        yield url


@pytest.fixture(scope="module")
def cache(tmp_path_factory) -> Path:
    """A disk of the driver that other nodes do not see."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def ground(tmp_path_factory, cache, tiny_bert) -> Ground:
    """Data, and an encoder in the driver's cache."""
    ground = Ground.make(tmp_path_factory.mktemp("ground"), tiny_bert)
    shutil.copytree(tiny_bert.path, cache / "models" / "tiny")
    return ground


@pytest.fixture(scope="module")
def file(ground, cache, tmp_path_factory) -> Path:
    changes = {"sweep__strategies": ["random", "k_center", "el2n"], "sweep__seeds": 4}
    where = {"model__encoder": str(cache / "models" / "tiny"), "resources__concurrent_trials": None}
    return ground.write(tmp_path_factory.mktemp("file") / "sweep.yaml", **changes, **where)


@pytest.fixture
def apart(server, cache, tmp_path):
    """A cluster whose head runs nothing, and whose two nodes have disks of their own; yields what runs commands on it."""
    with cluster_of() as nodes:
        for number in range(2):
            (tmp_path / f"disk-{number}").mkdir()
            nodes.add(1, own_disk(tmp_path / f"disk-{number}", cache))

        def run(command: str, file: Path, place: str, *, draws: bool = False) -> str:
            words = (command, file, "--output", place, "--address", nodes.address)
            environment = nodes.environment | {"RAYBERT_CACHE": str(cache)}
            with forked_command(*words, environment=environment, draws=draws) as driver:
                code, said = driver.end(PATIENCE)
            assert code == 0, said
            return said

        yield run


def test_twelve_trials_on_nodes_that_have_not_the_encoder_give_the_tables_of_one_process(apart, file, tmp_path_factory):
    expected = tmp_path_factory.mktemp("alone") / "run"
    called(sweep_in_this_process, file, expected)
    place = "s3://bucket/runs/own-disks"
    apart("sweep", file, place)
    assert_same_tables(published_tables(Path(raybert.load_sweep(place).folder)), published_tables(expected))
    store = open_store(place)
    beats = [json.loads(store.get_bytes(name)) for name in store.list() if name.endswith("/heartbeat.json")]
    assert len({beat["node_id"] for beat in beats}) == 2


def test_a_search_and_pretrained_models_on_such_nodes_are_those_of_one_machine(apart, ground, cache, address, tmp_path):
    searched = ground.write(
        tmp_path / "search.yaml",
        model__encoder=str(cache / "models" / "tiny"),
        sweep__strategies=["random"],
        sweep__seeds=1,
        sweep__tune={"suggestions_per_strategy": 3, "space": {"train.learning_rate": {"choice": [1e-3, 1e-4, 3e-3]}}},
    )
    apart("sweep", searched, "s3://bucket/runs/search")
    local = ("sweep", searched, "--output", tmp_path / "search", "--address", address)
    with forked_command(*local, environment={"RAYBERT_CACHE": str(cache)}, draws=False) as driver:
        assert driver.end(PATIENCE)[0] == 0
    assert_same_tables(
        published_tables(Path(raybert.load_sweep("s3://bucket/runs/search").folder)),
        published_tables(tmp_path / "search"),
    )
    (tmp_path / "north.txt").write_text("\n".join(documents(120, 0)))
    document = {
        "name": "pre",
        "corpora": {"north": str(tmp_path / "north.txt")},
        "seeds": 2,
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
        "resources": {"gpus_per_worker": 0},
    }
    (tmp_path / "pre.yaml").write_text(yaml.safe_dump(document))
    apart("pretrain", tmp_path / "pre.yaml", "s3://bucket/runs/pre")
    raybert.pretrain(tmp_path / "pre.yaml", output=tmp_path / "pre", overrides={"resources.concurrent_trials": 1})
    for seed in range(2):
        model = f"models/north-s{seed}/model/model.safetensors"
        assert open_store("s3://bucket/runs/pre").get_bytes(model) == (tmp_path / "pre" / model).read_bytes()


def test_a_scored_trial_on_nodes_that_share_no_disk_with_the_driver_comes_to_its_end(apart, cache, ground, tmp_path):
    encoder = str(cache / "models" / "tiny")
    file = ground.write(tmp_path / "sweep.yaml", model__encoder=encoder, sweep__strategies=["k_center"], sweep__seeds=1)
    apart("sweep", file, "s3://bucket/runs/small", draws=True)
    assert list(tmp_path.glob("disk-*/remote/*/work/small/.staged"))
    assert (cache / "remote").is_dir()
    found = published_tables(Path(raybert.load_sweep("s3://bucket/runs/small").folder))
    assert set(found["trials"]["status"]) == {"complete"}
