import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from raybert.config import ResourcesConfig
from raybert.errors import ResourceError
from raybert.sweeping.plan.placement import Cluster, check_resources, concurrent_trials, count_workers, this_machine

ROOT = Path(__file__).resolve().parents[3]
TWO_OF_TWO = Cluster.of_nodes(({"CPU": 2.0}, {"CPU": 2.0}), is_local=False)
UNLIKE = Cluster.of_nodes(({"CPU": 16.0}, {"CPU": 2.0, "GPU": 1.0}), is_local=False)


def test_a_trial_that_fits_no_node_is_refused_though_the_sum_would_do():
    check_resources(ResourcesConfig(cpus_per_worker=2, workers_per_trial=2), TWO_OF_TWO)
    with pytest.raises(ResourceError, match=r"0 fit: no node has 3 CPU; there is 2 node\(s\) of 2 CPU and 0 GPU;"):
        check_resources(ResourcesConfig(cpus_per_worker=3), TWO_OF_TWO)
    with pytest.raises(ResourceError, match="1 GPU must fit on the cluster, but 0 fit: no node has 1 GPU"):
        check_resources(ResourcesConfig(gpus_per_worker=1), TWO_OF_TWO)


@pytest.mark.parametrize(
    ("resources", "missing"),
    [
        ({"cpus_per_worker": 4, "gpus_per_worker": 1}, "0 fit: no node has both; there is 1 node"),
        ({"cpus_per_worker": 32, "gpus_per_worker": 2}, "no node has 32 CPU and no node has 2 GPU"),
        ({"gpus_per_worker": 1, "workers_per_trial": 3}, "1 fit: room for 2 more is missing"),
    ],
)
def test_what_is_missing_is_named(resources, missing):
    with pytest.raises(ResourceError, match=missing):
        check_resources(ResourcesConfig(**resources), UNLIKE)


def test_a_cluster_that_grows_is_taken_at_its_largest_by_the_nodes_that_are_there():
    four = ResourcesConfig(gpus_per_worker=1, workers_per_trial=4)
    check_resources(four, UNLIKE, max_nodes=5)
    assert concurrent_trials(ResourcesConfig(gpus_per_worker=0.5), UNLIKE, max_nodes=5) == 8
    with pytest.raises(ResourceError, match="3 fit: room for 1 more is missing"):
        check_resources(four, UNLIKE, max_nodes=4)
    with pytest.raises(ResourceError, match="no node has 2 GPU"):
        check_resources(ResourcesConfig(gpus_per_worker=2), UNLIKE, max_nodes=100)


@pytest.mark.parametrize(
    ("gpus", "share", "workers"),
    [(1, 0.25, 4), (1, 0.3, 3), (2, 0.4, 4), (2, 0.5, 4), (4, 2, 2), (3, 2, 1), (1, 1, 1), (0, 0.5, 0)],
)
def test_a_fraction_is_one_of_a_single_gpu(gpus, share, workers):
    cluster = Cluster.of_nodes(({"CPU": 64.0, "GPU": float(gpus)},), is_local=True)
    assert count_workers(ResourcesConfig(gpus_per_worker=share), cluster) == workers


@pytest.mark.parametrize("gpus", [1.5, 2.25, 0.001, -1])
def test_gpus_that_ray_would_refuse_are_refused_with_the_file(gpus):
    rule = (
        "must be >= 0, auto or fit"
        if gpus < 0
        else r"must be a whole number of GPUs, or a fraction of one from 0\.01 on"
    )
    with pytest.raises(ValidationError, match=rule):
        ResourcesConfig(gpus_per_worker=gpus)


@pytest.mark.parametrize(
    ("resources", "slots"),
    [
        ({}, 8),
        ({"cpus_per_worker": 3}, 2),
        ({"gpus_per_worker": 0.5}, 2),
        ({"workers_per_trial": 3}, 2),
        ({"concurrent_trials": 3}, 3),
    ],
)
def test_as_many_trials_run_at_once_as_fit(resources, slots):
    cluster = Cluster.of_nodes(({"CPU": 8.0, "GPU": 1.0},), is_local=True)
    assert concurrent_trials(ResourcesConfig(**resources), cluster) == slots


def test_no_worker_lies_over_two_nodes():
    nodes = Cluster.of_nodes(({"CPU": 3.0}, {"CPU": 3.0}), is_local=False)
    assert concurrent_trials(ResourcesConfig(cpus_per_worker=2), nodes) == 2


@pytest.mark.ray
def test_what_a_local_ray_would_have_is_known_without_it(ray_cluster):
    here = this_machine()
    assert (here.cpus, here.gpus, here.is_local) == (ray_cluster.cpus, ray_cluster.gpus, True)


@pytest.mark.slow
def test_a_sweep_that_cannot_be_placed_ends_before_anything_is_loaded(tmp_path):
    arguments = ["sweep", ROOT / "sweeps" / "strategies.yaml", "--output", tmp_path / "run"]
    options = ["--set", "resources.gpus_per_worker=64"]
    done = subprocess.run(
        [sys.executable, "-m", "raybert", *map(str, arguments), *options],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert "no node has 64 GPU" in done.stderr
    assert not (tmp_path / "run").exists()


def test_a_sweep_that_was_begun_on_a_larger_machine_is_told_how_it_can_go_on(tmp_path):
    with pytest.raises(ResourceError) as fresh:
        check_resources(ResourcesConfig(cpus_per_worker=3), TWO_OF_TWO, folder=tmp_path)
    (tmp_path / "plan.json").touch()
    with pytest.raises(ResourceError) as begun:
        check_resources(ResourcesConfig(cpus_per_worker=3), TWO_OF_TWO, folder=tmp_path)
    rest = f"; what is in {tmp_path} goes on only where there is as much, less needs another `output`"
    assert str(begun.value) == str(fresh.value) + rest
