"""Where trials of several workers run on a cluster of unlike nodes: close together, driven from the head."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import ray
from ray import tune

from raybert.config import LimitsConfig, ResourcesConfig
from raybert.sweeping.cluster.tune_run import _ListSearcher, run_tuner
from raybert.sweeping.driver.progress import Progress
from raybert.sweeping.folder.layout import SweepFolder
from raybert.sweeping.plan.placement import Cluster as Nodes
from raybert.training.ddp import scaling_of

pytestmark = [pytest.mark.long, pytest.mark.slow, pytest.mark.ray]
TWO = ResourcesConfig(workers_per_trial=2, gpus_per_worker=0)


def _here() -> str:
    return ray.get_runtime_context().get_node_id()


def _train(config: dict, folder: Path) -> None:
    """Start workers as `fit_distributed` does; each notes its node."""
    import ray.train
    import ray.train.torch

    def work() -> None:
        rank = ray.train.get_context().get_world_rank()
        (folder / f"worker-{rank}").write_text(ray.get_runtime_context().get_node_id())

    (folder / "function").write_text(_here())
    ray.train.torch.TorchTrainer(
        work,
        scaling_config=scaling_of(TWO),
        run_config=ray.train.RunConfig(name="fit", storage_path=str(folder / "train")),
    ).fit()
    tune.report({"done": 1})


def test_both_workers_of_a_trial_are_on_the_node_that_has_room_for_both_and_the_trial_on_the_head(
    ray_cluster, tmp_path
):
    from ray.cluster_utils import Cluster

    from tests.ray_workers import warm_workers

    with warm_workers():  # by the token of the session's Ray
        cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
        nodes = [cluster.add_node(num_cpus=cpus) for cpus in (1, 1, 2)]
    try:
        asked = [sys.executable, "-m", __name__, cluster.address, str(tmp_path)]
        done = subprocess.run(asked, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        found = json.loads((tmp_path / "nodes.json").read_text())
    finally:
        cluster.shutdown()
    function, *workers = ((tmp_path / name).read_text() for name in ("function", "worker-0", "worker-1"))
    assert function == found["head"]
    assert workers == [nodes[2].node_id] * 2


def _drive(address: str, folder: Path) -> None:
    from raybert.sweeping.cluster.connect import connected

    with connected(address):
        heads = [node["NodeID"] for node in ray.nodes() if "node:__internal_head__" in node["Resources"]]
        (folder / "nodes.json").write_text(json.dumps({"head": heads[0]}))
        run_tuner(
            tune.with_parameters(_train, folder=folder),
            TWO,
            LimitsConfig(),
            SweepFolder(folder / "sweep"),
            Nodes.of_nodes(({"CPU": 1.0}, {"CPU": 1.0}, {"CPU": 2.0}), is_local=False),
            searcher=_ListSearcher(1, lambda: False),
            callback=tune.Callback(),
            identify=lambda trial: ("t", "t"),
            progress=Progress(),
            num_samples=1,
        )


if __name__ == "__main__":
    _drive(sys.argv[1], Path(sys.argv[2]))
