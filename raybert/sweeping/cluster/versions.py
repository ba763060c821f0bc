"""Versions of a cluster against those of this process: what differs cannot run a sweep together."""

from __future__ import annotations

import re
import sys
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import psutil
import ray
from ray._private import worker
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from raybert.errors import ResourceError
from raybert.version import __version__

SECONDS_TO_ANSWER = 60.0
"""Until every node has said its version; who is slower (its disk is busy) is asked by its first trial."""
_IN_REFUSAL = re.compile(r"Ray: (\S+)\s+Python: (\S+)")
_LONGEST = 3
"""Nodes that are named."""


def refusal_of_ray(error: BaseException) -> str | None:
    """Return what Ray refuses of another version in one line, both versions in it; None: it is about something else."""
    found = _IN_REFUSAL.findall(str(error)) if "Version mismatch" in str(error) else []
    if len(found) != 2:
        return None
    (ray_there, python_there), (ray_here, python_here) = found
    return (
        f"runs Ray {ray_there} on Python {python_there}, and this is Ray {ray_here} on Python {python_here}: they "
        f"must be the same; use an environment with `ray=={ray_there}` on Python {python_there}, or start the cluster "
        "with the versions that are here"
    )


def check_raybert(address: str) -> None:
    """Refuse a cluster with a node of another raybert, which would train by other rules or not at all.

    Args:
        address: for the message.

    Raises:
        ResourceError: says the versions of both, and which nodes.
    """
    others: dict[str, list[str]] = defaultdict(list)
    for node, version in _versions_of_nodes().items():
        if version != __version__:
            others["no raybert" if version is None else f"raybert {version}"].append(node)
    if others:
        raise ResourceError(
            f"address: the nodes of the Ray cluster at {address} must have raybert {__version__}, as it is here, but "
            f"{'; '.join(f'{_named(nodes)} has {version}' for version, nodes in others.items())}: install the same on "
            f"all of them (`pip install raybert=={__version__}`), or here the one that they have"
        )


def _named(nodes: list[str]) -> str:
    more = f" and {len(nodes) - _LONGEST} more" if len(nodes) > _LONGEST else ""
    return ", ".join(nodes[:_LONGEST]) + more


def _versions_of_nodes() -> dict[str, str | None]:
    """Return host -> version of raybert on the nodes that answer; None: it is not installed there."""
    here = ray.get_runtime_context().get_node_id() if _is_python_of_node() else None
    nodes = [node for node in ray.nodes() if node["Alive"] and node["NodeID"] != here]
    asked = {_ask(node["NodeID"]): f"{node['NodeManagerHostname']} ({node['NodeManagerAddress']})" for node in nodes}
    answered = ray.wait(list(asked), num_returns=len(asked), timeout=SECONDS_TO_ANSWER)[0] if asked else []
    found: dict[str, str | None] = {}
    for one in answered:
        try:
            found[asked[one]] = ray.get(one)
        except RayError:  # it has left meanwhile, or begins no process: the first trial there tells more
            continue
    return found


def _ask(node_id: str) -> Any:
    place = NodeAffinitySchedulingStrategy(node_id, soft=False)
    return ray.remote(_reader()).options(num_cpus=0, max_retries=0, scheduling_strategy=place).remote()


def _reader() -> Callable[[], str | None]:
    """Return a function that is sent as a whole: one of this module could only be found where raybert is."""

    def read_version() -> str | None:
        try:
            from raybert.version import __version__ as there
        except ImportError:
            return None
        return there

    return read_version


def _is_python_of_node() -> bool:
    """Tell whether the workers of this node run the Python of this process, and with it the same raybert."""
    node = worker._global_node
    if node is None:
        return False
    mark = f"--raylet_socket_name={node.raylet_socket_name}"
    for process in psutil.process_iter(["name", "cmdline"]):
        words = process.info["cmdline"] or []
        if process.info["name"] == "raylet" and mark in words:
            command = next((word for word in words if word.startswith("--python_worker_command=")), "=")
            return command.partition("=")[2].split()[:1] == [sys.executable]
    return False
