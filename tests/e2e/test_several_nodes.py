"""One sweep of twelve trials in one process without Ray, on one node, and on three: the same tables."""

import json
from pathlib import Path

import pytest

from tests.clusters import cluster_of
from tests.e2e.commands import forked_command
from tests.faults.sweeps import Ground
from tests.in_one_process import sweep_in_this_process
from tests.processes import called
from tests.same_results import assert_same_results, published_tables

pytestmark = [pytest.mark.long, pytest.mark.slow, pytest.mark.ray]

PATIENCE = 400


@pytest.fixture(scope="module")
def file(tmp_path_factory, tiny_bert) -> Path:
    folder = tmp_path_factory.mktemp("twelve")
    (folder / "ground").mkdir()
    ground = Ground.make(folder / "ground", tiny_bert)
    changes = {"sweep__strategies": ["random", "random_epoch", "k_center"], "sweep__seeds": 4}
    return ground.write(folder / "sweep.yaml", resources__concurrent_trials=None, **changes)


@pytest.fixture(scope="module")
def expected(file, tmp_path_factory) -> Path:
    """The sweep in one process, trial by trial, without Ray."""
    folder = tmp_path_factory.mktemp("alone") / "run"
    called(sweep_in_this_process, file, folder)
    assert len(published_tables(folder)["trials"]) == 12
    return folder


def finish(file, folder, *options, environment):
    """Run the command in a process of its own, with a cache, and so scores, of its own."""
    cache = {"RAYBERT_CACHE": str(folder.parent / "cache")}
    with forked_command(
        "sweep", file, "--output", folder, *options, environment=cache | environment, draws=False
    ) as driver:
        code, said = driver.end(PATIENCE)
    assert code == 0, said
    return said


def test_a_local_ray_gives_the_tables_of_one_process(file, expected, tmp_path):
    finish(file, tmp_path / "run", environment={})
    assert_same_results(tmp_path / "run", expected)


def test_three_nodes_give_the_tables_of_one_process(file, expected, tmp_path):
    with cluster_of(1, 1, head_cpus=1) as nodes:
        finish(file, tmp_path / "run", "--address", nodes.address, environment=nodes.environment)
    assert_same_results(tmp_path / "run", expected)
    assert num_nodes_used(tmp_path / "run") == 3


def num_nodes_used(folder):
    """On how many nodes trials have run, by their last heartbeats."""
    return len({json.loads(path.read_text())["node_id"] for path in folder.glob("trials/*/heartbeat.json")})
