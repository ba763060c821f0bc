"""Nodes that share no disk with the driver: what they need is brought to them, and what they leave comes back."""

import json
import shutil
from pathlib import Path

import pytest

import raybert
from raybert.storage import open_store
from tests.clusters import cluster_of
from tests.e2e.commands import forked_command
from tests.faults.sweeps import Ground
from tests.in_one_process import sweep_in_this_process
from tests.object_stores import s3_server
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
    """The driver's cache: a disk that other nodes do not see."""
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


def test_twelve_trials_on_nodes_with_disks_of_their_own_give_the_tables_of_one_process(
    server, cache, file, tmp_path_factory
):
    expected = tmp_path_factory.mktemp("alone") / "run"
    called(sweep_in_this_process, file, expected)
    own = [tmp_path_factory.mktemp(f"disk-{number}") for number in range(2)]
    place = "s3://bucket/runs/own-disks"
    with cluster_of() as nodes:
        for disk in own:
            nodes.add(1, own_disk(disk, cache))
        environment = nodes.environment | {"RAYBERT_CACHE": str(cache)}
        command = ("sweep", file, "--output", place, "--address", nodes.address)
        with forked_command(*command, environment=environment, draws=False) as driver:
            code, said = driver.end(PATIENCE)
    assert code == 0, said
    assert_same_tables(published_tables(Path(raybert.load_sweep(place).folder)), published_tables(expected))
    store = open_store(place)
    beats = [json.loads(store.get_bytes(name)) for name in store.list() if name.endswith("/heartbeat.json")]
    assert len({beat["node_id"] for beat in beats}) == 2
