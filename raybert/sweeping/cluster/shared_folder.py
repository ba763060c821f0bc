"""Whether every node sees what the driver has written: its results folder, and the encoders that trials load."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import GetTimeoutError, RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from raybert.errors import ResourceError
from raybert.polling import wait_until
from raybert.sweeping.storage.work import work_at

_SECONDS_OF_A_NODE = 60.0
_SECONDS_OF_A_FILE_SERVER = 10.0
"""A network file system may show what another host has written some seconds late."""
_MOST_SHOWN = 3

Asked = Callable[[dict[str, Any], list[str]], list[str]]
"""Node and paths -> those that it does not see."""


def check_shared(folder: Path, encoders: Mapping[str, Path], asked: Asked | None = None) -> None:
    """Refuse a cluster some node of which does not see the results folder or an encoder; one node sees all it has.

    A file that is written for it is looked for by a task on every node, and removed again. Nodes that come later are
    taken to be like those that are there.

    Args:
        folder: of the results, on this machine.
        encoders: what to call each -> its folder.
        asked: asks a node; default: by a task there.

    Raises:
        ResourceError: says which nodes do not, and what to do.
    """
    here = ray.get_runtime_context().get_node_id()
    others = [node for node in ray.nodes() if node["Alive"] and node["NodeID"] != here and _may_work(node)]
    if not others:
        return
    probe = folder / f".nodes.{uuid.uuid4().hex[:8]}.tmp"  # a name that the next start removes
    probe.touch()
    try:
        missing = {node["NodeManagerHostname"]: (asked or _ask)(node, [str(probe)]) for node in others}
        blind = [host for host, paths in missing.items() if paths]
        if blind:
            raise ResourceError(_words(folder, blind))
        for name, path in encoders.items():
            missing = {node["NodeManagerHostname"]: (asked or _ask)(node, [str(path)]) for node in others}
            blind = [host for host, paths in missing.items() if paths]
            if blind:
                raise ResourceError(
                    f"{name}: its files must be seen by all nodes, but {path} is not by {_hosts(blind)}; let "
                    "RAYBERT_CACHE (and HF_HOME, for encoders of the hub) name a folder that all nodes see"
                )
    finally:
        probe.unlink(missing_ok=True)


def _words(folder: Path, blind: Iterable[str]) -> str:
    hosts = _hosts(list(blind))
    if work_at(folder) is None:
        return (
            f"output: must be a folder that all nodes see, but what this one writes into {folder} is not seen by "
            f"{hosts}; give one on a file system that all of them mount (NFS, EFS)"
        )
    return (
        "RAYBERT_CACHE: must name a folder that all nodes see, as several of them work for one sweep, but what this "
        f"one writes into {folder.parent} is not seen by {hosts}; set it to one on a file system that all of them mount"
    )


def _hosts(blind: list[str]) -> str:
    more = f" and {len(blind) - _MOST_SHOWN} more" if len(blind) > _MOST_SHOWN else ""
    return ", ".join(blind[:_MOST_SHOWN]) + more


def _may_work(node: Mapping[str, Any]) -> bool:
    return any(node["Resources"].get(kind, 0) > 0 for kind in ("CPU", "GPU"))


def _ask(node: dict[str, Any], paths: list[str]) -> list[str]:
    """Return which paths a node does not see.

    Raises:
        ResourceError: it does not answer.
    """
    place = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
    task = ray.remote(unseen).options(num_cpus=0, max_retries=1, scheduling_strategy=place)
    try:
        found: list[str] = ray.get(task.remote(paths), timeout=_SECONDS_OF_A_NODE)
    except (RayError, GetTimeoutError) as error:
        line = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ResourceError(
            f"address: every node must answer, but {node['NodeManagerHostname']} does not ({line}); see `ray status`"
        ) from None
    return found


def unseen(paths: list[str], seconds: float = _SECONDS_OF_A_FILE_SERVER) -> list[str]:
    """Return those of some paths that are not there after a while; runs on a node."""
    wait_until(lambda: all(Path(path).exists() for path in paths), 0.5, seconds)
    return [path for path in paths if not Path(path).exists()]
