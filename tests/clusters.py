"""A Ray of several nodes on this machine, in a process of its own: nothing of it meets the Ray of the test session."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

import psutil

from tests.processes import PATIENCE_SECONDS, WARM_PARENT, forked
from tests.ray_workers import warm_python

OF_OTHER_RAYS = (
    "RAY_ADDRESS",
    "RAY_AUTH_TOKEN",
    "RAY_AUTH_TOKEN_PATH",
    "RAY_AUTH_MODE",
    "RAY_JOB_CONFIG_JSON_ENV_VAR",
)
"""Variables by which a process would join, or be told the token of, a Ray that is not its own."""


@dataclass(frozen=True)
class Node:
    """A node besides the head.

    Attributes:
        node_id: as Ray has it, and heartbeats of trials.
        raylet: number of its first process.
    """

    node_id: str
    raylet: int

    def kill_raylet(self) -> None:
        """End the process that is the node, as if its machine had vanished; its workers notice, and end."""
        os.kill(self.raylet, signal.SIGKILL)


@dataclass
class Nodes:
    """A cluster: a head, which outlives all, and what is added to it.

    Attributes:
        address: of the head.
        environment: what a process needs that joins it.
        nodes: that are there besides the head.
    """

    address: str
    environment: dict[str, str]
    nodes: list[Node]
    _line: Any

    def add(self, cpus: float = 1, environment: dict[str, str] | None = None) -> Node:
        """Start another node, and return it as soon as the head knows it.

        Args:
            cpus: that it has.
            environment: variables of its processes besides those of the head; see `own_disk`.
        """
        node = Node(*self._ask("add", (cpus, environment or {})))
        self.nodes.append(node)
        return node

    def remove(self, node: Node, *, gracefully: bool = False) -> None:
        """End all processes of a node."""
        self._ask("remove", (node.node_id, gracefully))
        self.nodes.remove(node)

    def by_id(self, node_id: str) -> Node | None:
        """Return a node besides the head."""
        return next((node for node in self.nodes if node.node_id == node_id), None)

    def _ask(self, word: str, what: Any) -> Any:
        self._line.send((word, what))
        assert self._line.poll(PATIENCE_SECONDS), f"the cluster does not {word}"
        return self._line.recv()


@contextlib.contextmanager
def cluster_of(*cpus: float, head_cpus: float = 0, has_token: bool = True) -> Iterator[Nodes]:
    """Yield a cluster: a head, and a node for each number of CPUs; none of its processes outlives the block."""
    ours, theirs = WARM_PARENT.Pipe()
    with ours, forked(_be_cluster, theirs, warm_python(), head_cpus, has_token) as process:
        theirs.close()
        try:
            assert ours.poll(PATIENCE_SECONDS), process.said_file.read_text()
            address, environment = ours.recv()
        except EOFError:
            raise AssertionError(f"no cluster: {process.end()[1]}") from None
        nodes = Nodes(address, environment, [], ours)
        for number in cpus:
            nodes.add(number)
        try:
            yield nodes
        finally:
            ours.close()
            process.end()


def _be_cluster(line: Any, python: str, head_cpus: float, has_token: bool) -> None:
    """Start a head, then do what is asked until the line is closed; in a process of its own."""
    sys.executable = python  # workers are forked
    for name in OF_OTHER_RAYS:
        os.environ.pop(name, None)
    if not has_token:
        os.environ["RAY_AUTH_MODE"] = "disabled"  # which Ray reads when it is imported
    import raybert.sweeping  # noqa: F401, I001 - before Ray: it sets what Ray reads
    from ray._private.authentication.authentication_token_setup import maybe_enable_token_auth_if_token_available
    from ray.cluster_utils import Cluster

    from raybert.sweeping.cluster.loopback import this_machine_only
    from raybert.sweeping.cluster.scratch import ray_scratch
    from raybert.sweeping.cluster.token import make_token

    with ray_scratch() as scratch, this_machine_only():
        os.environ["RAY_TMPDIR"] = str(scratch)  # where Ray writes which cluster is the current one
        if has_token:
            make_token(scratch)
            # As `ray start` does where there is a token: a head that asks for none cannot call a driver that asks for one.
            maybe_enable_token_auth_if_token_available()
        given = {"num_cpus": head_cpus, "include_dashboard": False, "temp_dir": str(scratch / "ray")}
        cluster = Cluster(initialize_head=True, head_node_args=given)
        nodes: dict[str, Any] = {}
        try:
            names = ("RAY_AUTH_TOKEN_PATH", "RAY_AUTH_MODE")
            line.send((cluster.address, {name: os.environ[name] for name in names if name in os.environ}))
            while True:
                try:
                    word, what = line.recv()
                except EOFError:
                    return
                if word == "add":
                    cpus, variables = what
                    with patch.dict(os.environ, variables):
                        node = cluster.add_node(num_cpus=cpus)
                    nodes[node.node_id] = node
                    line.send((node.node_id, node.all_processes["raylet"][0].process.pid))
                else:
                    node_id, gracefully = what
                    cluster.remove_node(nodes.pop(node_id), allow_graceful=gracefully)
                    line.send(None)
        finally:
            begun = psutil.Process().children(
                recursive=True
            )  # agents that outlive their node would make the folder anew
            for process in begun:
                with contextlib.suppress(psutil.Error):
                    process.kill()
            psutil.wait_procs(begun, timeout=10)
