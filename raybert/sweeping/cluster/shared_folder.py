"""Whether every node sees what the driver has written: its results folder, and the encoders that trials load."""

from __future__ import annotations

import contextlib
import os
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import GetTimeoutError, RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from raybert.errors import ResourceError
from raybert.polling import wait_until
from raybert.sweeping.cluster.file_server import start_server
from raybert.sweeping.cluster.staging import Staging, clear_staged
from raybert.sweeping.folder.layout import SweepFolder
from raybert.sweeping.plan.placement import Cluster
from raybert.sweeping.storage.work import work_at

_SECONDS_OF_A_NODE = 60.0
_SECONDS_OF_A_FILE_SERVER = 10.0
"""A network file system may show what another host has written some seconds late."""
_MOST_SHOWN = 3
_MOST_ASKED = 64
"""Nodes that are asked at once: each begins a process to answer, which takes seconds."""

Asked = Callable[[dict[str, Any], list[str]], list[str]]
"""Node and paths -> those that it does not see."""


@contextlib.contextmanager
def reached(
    folder: SweepFolder, readable: Mapping[str, Path], cluster: Cluster, must_share: str = ""
) -> Iterator[Staging | None]:
    """Let every node of a cluster reach the results folder and the encoders, for the length of a `with` block.

    Encoders that a node does not see are brought there. So is what a run reads of a results folder in an object store,
    and what it leaves is sent back; a results folder on a path must be seen, because the driver's disk alone is none
    that outlives the cluster.

    Args:
        folder: of the results, on this machine.
        readable: folders that runs load, by what messages call them.
        cluster: where they run.
        must_share: why all of it must be seen all the same; empty: it need not.

    Yields:
        What processes of other nodes need for it; None: there is one node.

    Raises:
        ResourceError: says which nodes do not reach it, and what to do.
    """
    if cluster.is_local:
        yield None
        return
    if must_share or work_at(folder.path) is None:
        check_shared(folder.path, readable if must_share else {}, why=must_share)
    _check_places(readable)
    sign = folder.path / f".nodes.{uuid.uuid4().hex[:8]}.tmp"  # a name that the next start removes
    sign.touch()
    try:
        server = start_server(folder.path, readable)
        yield Staging(server, folder.path, folder.attempt or 0, sign.name, dict(readable))
    finally:
        sign.unlink(missing_ok=True)
        clear_staged(folder.path)


def _check_places(readable: Mapping[str, Path], asked: Asked | None = None) -> None:
    """Refuse a folder that some node neither sees nor may make."""
    for name, path in readable.items():
        refusing = _hosts_without(path, _others(), asked or partial(_ask, what=not_to_be))
        if refusing:
            raise ResourceError(_words_of_encoder(name, path, refusing))


def check_shared(folder: Path, encoders: Mapping[str, Path], asked: Asked | None = None, *, why: str = "") -> None:
    """Refuse a cluster some node of which does not see the results folder or an encoder; one node sees all it has.

    A file that is written for it is looked for by a task on every node, and removed again. Nodes that come later are
    taken to be like those that are there.

    Args:
        folder: of the results, on this machine.
        encoders: what to call each -> its folder.
        asked: asks a node; default: by a task there.
        why: all of it must be seen, where not every sweep needs that.

    Raises:
        ResourceError: says which nodes do not, and what to do.
    """
    others = _others()
    if not others:
        return
    probe = folder / f".nodes.{uuid.uuid4().hex[:8]}.tmp"  # a name that the next start removes
    probe.touch()
    try:
        blind = _hosts_without(probe, others, asked or _ask)
        if blind:
            raise ResourceError(_words(folder, blind, why))
        for name, path in encoders.items():
            blind = _hosts_without(path, others, asked or _ask)
            if blind:
                raise ResourceError(_words_of_encoder(name, path, blind))
    finally:
        probe.unlink(missing_ok=True)


def _others() -> list[dict[str, Any]]:
    """Return the living nodes besides this one that runs may be on."""
    here = ray.get_runtime_context().get_node_id()
    return [node for node in ray.nodes() if node["Alive"] and node["NodeID"] != here and _may_work(node)]


def _words_of_encoder(name: str, path: Path, blind: list[str]) -> str:
    return (
        f"{name}: its files must be seen by all nodes, but {path} is not by {_hosts(blind)}; let "
        "RAYBERT_CACHE (and HF_HOME, for encoders of the hub) name a folder that all nodes see"
    )


def _hosts_without(path: Path, nodes: Sequence[dict[str, Any]], asked: Asked) -> list[str]:
    """Return the hosts with a node that has something to say against a path; all are asked at once, or 64 of them."""
    if not nodes:
        return []
    with ThreadPoolExecutor(min(len(nodes), _MOST_ASKED)) as threads:
        answers = list(threads.map(lambda node: asked(node, [str(path)]), nodes))
    found = (node["NodeManagerHostname"] for node, answer in zip(nodes, answers, strict=True) if answer)
    return list(dict.fromkeys(found))  # a host may have several nodes


def _words(folder: Path, blind: Iterable[str], why: str = "") -> str:
    hosts = _hosts(list(blind))
    if work_at(folder) is None:
        return (
            f"output: must be a folder that all nodes see, but what this one writes into {folder} is not seen by "
            f"{hosts}; give one on a file system that all of them mount (NFS, EFS), or in an object store (s3://)"
        )
    return (
        f"RAYBERT_CACHE: must name a folder that all nodes see, as {why or 'several of them work for one sweep'}, but "
        f"what this one writes into {folder.parent} is not seen by {hosts}; set it to one on a file system that all of "
        "them mount"
    )


def _hosts(blind: list[str]) -> str:
    more = f" and {len(blind) - _MOST_SHOWN} more" if len(blind) > _MOST_SHOWN else ""
    return ", ".join(blind[:_MOST_SHOWN]) + more


def _may_work(node: Mapping[str, Any]) -> bool:
    return any(node["Resources"].get(kind, 0) > 0 for kind in ("CPU", "GPU"))


def _ask(node: dict[str, Any], paths: list[str], what: Callable[[list[str]], list[str]] | None = None) -> list[str]:
    """Return which paths a node does not see, or others of which a function there says no.

    Raises:
        ResourceError: it does not answer.
    """
    place = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
    task = ray.remote(what or unseen).options(num_cpus=0, max_retries=1, scheduling_strategy=place)
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


def not_to_be(paths: list[str]) -> list[str]:
    """Return those of some folders that are neither there nor could be made; runs on a node."""
    return [path for path in paths if not (Path(path).exists() or os.access(_nearest(Path(path)), os.W_OK))]


def _nearest(path: Path) -> Path:
    """Return the first folder that there is on the way up."""
    return next(parent for parent in path.parents if parent.is_dir())
