"""A cluster that has just begun is taken by the file that says what its autoscaler may start."""

from pathlib import Path

import pytest

from raybert.config import ResourcesConfig, validate_config
from raybert.errors import ResourceError
from raybert.sweeping.cluster.autoscaler import IS_HEAD, nodes_to_come
from raybert.sweeping.phases.gpus import settle_gpus
from raybert.sweeping.plan.design import read_design
from raybert.sweeping.plan.placement import Cluster, check_resources, concurrent_trials

OURS = Path(__file__).resolve().parents[3] / "cluster.yaml"
HEAD = {"node:10.0.0.1": 1.0, IS_HEAD: 1.0, "memory": 1e9}
WORKER = {"CPU": 8.0, "GPU": 1.0}


def cluster_of(*workers, path=OURS):
    nodes = (HEAD, *workers)
    return Cluster.of_nodes(nodes, is_local=False, to_come=nodes_to_come(nodes, path))


def test_a_fresh_cluster_of_ours_is_not_refused_for_having_no_worker_yet():
    fresh = cluster_of()
    assert fresh.to_come == (WORKER,) * 8
    assert fresh.most_nodes == 9  # which do not share a home folder
    check_resources(ResourcesConfig(cpus_per_worker=8, gpus_per_worker=1, workers_per_trial=8), fresh)
    assert concurrent_trials(ResourcesConfig(cpus_per_worker=2), fresh) == 32
    with pytest.raises(ResourceError, match="8 fit: room for 1 more is missing"):
        check_resources(ResourcesConfig(gpus_per_worker=1, workers_per_trial=9), fresh)
    with pytest.raises(ResourceError, match="no node has 9 CPU"):
        check_resources(ResourcesConfig(cpus_per_worker=9), fresh)
    assert concurrent_trials(ResourcesConfig(gpus_per_worker=1), fresh, max_nodes=3) == 2  # the user's own limit


def test_a_worker_that_is_up_is_not_counted_twice():
    assert cluster_of(WORKER | {"node:10.0.0.2": 1.0}).to_come == (WORKER,) * 7
    assert cluster_of(*[WORKER] * 8).to_come == ()
    assert concurrent_trials(ResourcesConfig(gpus_per_worker=1), cluster_of(WORKER)) == 8


def test_auto_is_a_gpu_a_worker_where_only_nodes_to_come_have_them():
    design = read_design(validate_config({}))
    settled, _ = settle_gpus(design, None, cluster_of)
    assert settled.config.resources.gpus_per_worker == 1


def test_kinds_of_nodes_share_the_limit_of_the_cluster(tmp_path):
    path = tmp_path / "cluster.yaml"
    path.write_text(
        "max_workers: 3\nhead_node_type: h\navailable_node_types:\n"
        "  h: {resources: {CPU: 64}}\n  small: {resources: {CPU: 2}}\n  big: {resources: {CPU: 4, GPU: 2}, max_workers: 1}\n"
    )
    assert nodes_to_come((HEAD,), path) == ({"CPU": 4.0, "GPU": 2.0}, {"CPU": 2.0}, {"CPU": 2.0})


@pytest.mark.parametrize("text", [None, "", "[1, 2]", "available_node_types: {a: 3}", "a: [", "max_workers: many"])
def test_without_a_file_that_can_be_read_what_is_there_counts(text, tmp_path):
    path = tmp_path / "cluster.yaml"
    if text is not None:
        path.write_text(text)
    assert nodes_to_come((HEAD,), path) == ()
    with pytest.raises(ResourceError, match="no node has 1 CPU"):
        check_resources(ResourcesConfig(), cluster_of(path=path))
