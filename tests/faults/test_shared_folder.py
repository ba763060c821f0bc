"""A real node whose file system is another one: Ray's own task there looks for what the driver has written."""

import contextlib
import os
import shutil
import subprocess
import sys

import pytest
import ray
from ray.cluster_utils import Cluster

from raybert.errors import ResourceError
from raybert.sweeping.cluster.connect import connected
from raybert.sweeping.cluster.shared_folder import check_shared
from tests.processes import wait_until

pytestmark = [pytest.mark.long, pytest.mark.slow, pytest.mark.ray]


@contextlib.contextmanager
def node_with_another_disk(address, place):
    """A node of two CPUs in a mount namespace of its own, in which a folder of this machine is an empty one."""
    script = 'mount -t tmpfs none "$0" && exec "$1" -m ray.scripts.scripts start --address "$2" --num-cpus 2 --block'
    words = ["unshare", "--mount", "sh", "-c", script, str(place), sys.executable, address]
    node = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        yield node
    finally:
        os.killpg(node.pid, 9)
        node.wait()


def test_a_node_with_another_disk_is_found_by_a_task_on_it(tmp_path):
    if shutil.which("unshare") is None or subprocess.run(["unshare", "--mount", "true"], check=False).returncode:
        pytest.skip("mount namespaces need rights that this user does not have")
    if ray.is_initialized():
        pytest.skip("Ray runs in this process already")
    place, elsewhere = tmp_path / "runs", tmp_path / "other"
    place.mkdir()
    elsewhere.mkdir()
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    try:
        with node_with_another_disk(cluster.address, place), connected(cluster.address):
            wait_until(lambda: len([node for node in ray.nodes() if node["Alive"]]) == 2, "the second node")
            check_shared(elsewhere, {})  # this one both see
            with pytest.raises(
                ResourceError, match=f"^output: must be a folder that all nodes see, .*{place} is not seen"
            ):
                check_shared(place, {})
            assert not list(place.iterdir())
    finally:
        cluster.shutdown()
