"""Clusters of several nodes: one is lost in mid-epoch, two sweeps share one, a shape fits the sum but no node."""

import contextlib
import json

import pytest
from ray.cluster_utils import Cluster

from tests.faults.sweeps import assert_same_end, finish, started
from tests.ray_workers import warm_workers

pytestmark = [pytest.mark.long, pytest.mark.slow, pytest.mark.ray]


@contextlib.contextmanager
def cluster_of(*cpus):
    """A head without CPUs, and a node for each number of CPUs."""
    with warm_workers():
        cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
        nodes = [cluster.add_node(num_cpus=number) for number in cpus]
    try:
        yield cluster, nodes
    finally:
        cluster.shutdown()


@pytest.fixture(autouse=True)
def _no_traps_left(ground):
    yield
    ground.traps.clear()


def beat_at_the_gate(folder, pid):
    beats = [json.loads(path.read_text()) for path in folder.glob("trials/*/heartbeat.json")]
    return next(beat for beat in beats if beat["pid"] == pid)


@pytest.mark.fault("node removed in mid-epoch")
def test_trials_of_a_lost_node_go_on_elsewhere(ground, undisturbed, tmp_path, fault):
    file = ground.write(tmp_path / "sweep.yaml", resources__concurrent_trials=2)
    ground.traps.lay("gate")
    with cluster_of(1, 1) as (cluster, nodes), fault.once():
        with started(file, tmp_path / "run", "--address", cluster.address) as driver:
            beat = beat_at_the_gate(tmp_path / "run", ground.traps.wait_for_trial())
            (lost,) = [node for node in nodes if node.node_id == beat["node_id"]]
            cluster.remove_node(lost, allow_graceful=False)
            code, said = driver.end()
        assert code == 0, said
        assert_same_end(tmp_path / "run", undisturbed)
    attempts = [json.loads(path.read_text()) for path in (tmp_path / "run").glob("trials/*/attempts.jsonl")]
    assert [attempt["kind"] for attempt in attempts] == ["lost"]


@pytest.mark.fault("impossible resources")
def test_a_shape_that_fits_the_sum_of_nodes_but_none_of_them_is_an_error_in_seconds(ground, tmp_path, fault):
    file = ground.write(tmp_path / "sweep.yaml", resources__cpus_per_worker=2)
    with cluster_of(1, 1) as (cluster, _), fault.once():
        code, said = finish(file, tmp_path / "run", "--address", cluster.address)
        assert code == 2
        assert "resources: " in said
        assert "no node has 2 CPU" in said


@pytest.mark.fault("two sweeps on one cluster")
def test_two_sweeps_on_one_cluster_do_not_disturb_each_other(file, undisturbed, address, tmp_path, fault):
    one, other = tmp_path / "one", tmp_path / "other"
    join = ("--address", address)
    with fault.once(), started(file, one, *join) as first, started(file, other, *join) as second:
        for driver, folder in ((first, one), (second, other)):
            code, said = driver.end()
            assert code == 0, said
            assert_same_end(folder, undisturbed)
