"""Starting or joining a cluster, and what fits on it."""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray

from raybert.config import ResourcesConfig
from raybert.errors import ResourceError
from raybert.sweep import ENVIRONMENT


@dataclass(frozen=True)
class Cluster:
    """What the cluster has in all, and on each node.

    Attributes:
        cpus: CPU slots of all nodes.
        gpus: GPUs of all nodes.
        nodes: resources of each living node.
        is_local: whether this process started it.
    """

    cpus: float
    gpus: float
    nodes: tuple[dict[str, float], ...]
    is_local: bool


@contextmanager
def connected(address: str | None) -> Iterator[Cluster]:
    """Start Ray on this machine, or join the cluster at `address`, for the length of a `with` block.

    A local Ray lives in a temporary folder that is deleted afterwards. Inside a process that is connected
    already, that connection is used and left alone.

    Raises:
        ResourceError: no cluster answers at the address.
    """
    if ray.is_initialized():
        yield _describe(is_local=False)
        return
    scratch = Path(tempfile.mkdtemp(prefix="raybert-", dir=_short_temporary_folder())) if address is None else None
    try:
        _start(address, scratch)
        yield _describe(is_local=scratch is not None)
    finally:
        ray.shutdown()
        if scratch is not None:
            shutil.rmtree(scratch, ignore_errors=True)


def check_resources(resources: ResourcesConfig, cluster: Cluster) -> None:
    """Refuse a trial that no node could ever hold, before Ray waits for it for ever.

    Raises:
        ResourceError: says what one worker asks for and what the largest node has.
    """
    wanted = {"CPU": float(resources.cpus_per_worker), "GPU": resources.gpus_per_worker}
    workers = sum(
        min(int(node.get(kind, 0.0) / amount + 1e-9) for kind, amount in wanted.items() if amount > 0)
        for node in cluster.nodes
    )
    if workers >= resources.workers_per_trial:
        return
    largest = {kind: max((node.get(kind, 0.0) for node in cluster.nodes), default=0.0) for kind in wanted}
    raise ResourceError(
        f"resources: {resources.workers_per_trial} worker(s) per trial of {wanted['CPU']:g} CPU and "
        f"{wanted['GPU']:g} GPU must fit on the cluster, but {workers} fit: the largest node has "
        f"{largest['CPU']:g} CPU and {largest['GPU']:g} GPU ({len(cluster.nodes)} node(s)); "
        f"lower resources.workers_per_trial, cpus_per_worker or gpus_per_worker, or join a larger cluster"
    )


def describe_demand(resources: ResourcesConfig) -> str:
    """Return what one trial asks for, in words."""
    gpus = f" and {resources.gpus_per_worker:g} GPU" if resources.gpus_per_worker else ""
    return f"{resources.workers_per_trial} x {resources.cpus_per_worker} CPU{gpus}"


def concurrent_trials(resources: ResourcesConfig, cluster: Cluster) -> int:
    """Return how many trials run at once."""
    per_trial = resources.workers_per_trial
    slots = int(cluster.cpus / (resources.cpus_per_worker * per_trial) + 1e-9)
    if resources.gpus_per_worker:
        slots = min(slots, int(cluster.gpus / (resources.gpus_per_worker * per_trial) + 1e-9))
    slots = max(1, slots)
    return min(slots, resources.concurrent_trials) if resources.concurrent_trials else slots


def _start(address: str | None, scratch: Path | None) -> None:
    common: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
    if address is None:
        # Ray counts the cores of the machine; a container or a task set may allow fewer.
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        ray.init(num_cpus=cores, include_dashboard=False, _temp_dir=str(scratch), **common)
    else:
        try:
            ray.init(address=address, runtime_env={"env_vars": dict(ENVIRONMENT)}, **common)
        except (ConnectionError, ValueError) as error:
            raise ResourceError(f"--address {address}: no Ray cluster answers there: {error}") from None
    for name in ("ray.tune", "ray.train"):
        logging.getLogger(name).setLevel(logging.CRITICAL)


def _describe(*, is_local: bool) -> Cluster:
    nodes = tuple(dict(node["Resources"]) for node in ray.nodes() if node["Alive"])
    total = {kind: sum(node.get(kind, 0.0) for node in nodes) for kind in ("CPU", "GPU")}
    return Cluster(total["CPU"], total["GPU"], nodes, is_local)


def _short_temporary_folder() -> str | None:
    """Return /tmp where it is: Ray's socket paths have a limit of 107 bytes that deep folders break."""
    return "/tmp" if Path("/tmp").is_dir() else None
