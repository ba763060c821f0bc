"""What a trial needs of a node, and how many trials fit on a cluster at once; known without starting Ray."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from raybert.config import RaybertConfig, ResourcesConfig
from raybert.errors import ResourceError
from raybert.machine import count_cores, shares_of
from raybert.sweeping.plan.where import starts_here


@dataclass(frozen=True)
class Cluster:
    """What the cluster has in all, and on each node.

    Attributes:
        cpus: CPU slots of all nodes.
        gpus: GPUs of all nodes.
        nodes: resources of each living node.
        is_local: whether its only node is the machine of this process.
        to_come: resources of the nodes that its autoscaler may still start, where its own file says so.
        address: HOST:PORT of one that was joined; None: this process has started it, or none is there yet.
        named_by: who has named that: `address`, `RAY_ADDRESS`, or `the process`, which was connected already.
    """

    cpus: float
    gpus: float
    nodes: tuple[dict[str, float], ...]
    is_local: bool
    to_come: tuple[dict[str, float], ...] = ()
    address: str | None = None
    named_by: str = ""

    @classmethod
    def of_nodes(
        cls, nodes: tuple[dict[str, float], ...], *, is_local: bool, to_come: tuple[dict[str, float], ...] = ()
    ) -> Cluster:
        """Return the cluster of some nodes."""
        total = {kind: sum(node.get(kind, 0.0) for node in nodes) for kind in ("CPU", "GPU")}
        return cls(total["CPU"], total["GPU"], nodes, is_local, to_come)

    @property
    def most_nodes(self) -> int:
        """How many nodes there may be at once, as far as is known."""
        return len(self.nodes) + len(self.to_come)


def this_machine() -> Cluster:
    """Return what a Ray that is started here would have."""
    import torch  # slow, and who must say within seconds what is impossible has not needed it so far

    gpus = torch.cuda.device_count()
    node = {"CPU": float(count_cores()), **({"GPU": float(gpus)} if gpus else {})}
    return Cluster.of_nodes((node,), is_local=True)


def check_here(config: RaybertConfig, address: str | None, folder: Path | None = None) -> None:
    """Refuse at once what this machine could never place, if it is the one that a sweep would run on.

    Raises:
        ResourceError: says what is missing.
    """
    if starts_here(address):
        check_resources(config.resources, this_machine(), config.limits.max_nodes, folder)


def grown(cluster: Cluster, resources: ResourcesConfig, max_nodes: int | None) -> Cluster:
    """Return an autoscaling cluster at its largest: by its own file, else with nodes like the best one that is there.

    Where no file says what kinds of nodes an autoscaler would start, one that can hold a worker must be there.

    Args:
        cluster: as it is.
        resources: of a trial.
        max_nodes: `limits.max_nodes`; None: it grows as far as its own file says.
    """
    missing = (max_nodes or 0) - len(cluster.nodes)
    if cluster.to_come:
        most = len(cluster.to_come) if max_nodes is None else max(0, missing)
        best_first = sorted(cluster.to_come, key=lambda node: _workers_on(node, resources), reverse=True)
        return Cluster.of_nodes((*cluster.nodes, *best_first[:most]), is_local=False)
    if missing <= 0 or not cluster.nodes:
        return cluster
    best = max(cluster.nodes, key=lambda node: _workers_on(node, resources))
    return Cluster.of_nodes((*cluster.nodes, *[best] * missing), is_local=cluster.is_local)


def check_resources(
    resources: ResourcesConfig, cluster: Cluster, max_nodes: int | None = None, folder: Path | None = None
) -> None:
    """Refuse a trial that could never be placed, before Ray waits for it for ever.

    Args:
        resources: of a trial.
        cluster: as it is now.
        max_nodes: `limits.max_nodes`.
        folder: of the results; what it holds was trained with what a trial asks for.

    Raises:
        ResourceError: says what a trial asks for, what there is, and what is missing.
    """
    largest = grown(cluster, resources, max_nodes)
    workers = count_workers(resources, largest)
    if workers >= resources.workers_per_trial:
        return
    raise ResourceError(
        f"resources: {resources.workers_per_trial} worker(s) per trial of {resources.cpus_per_worker} CPU and "
        f"{resources.num_gpus:g} GPU must fit on the cluster, but {workers} fit: "
        f"{_missing(resources, largest)}; there is {_describe(largest)}; lower resources.workers_per_trial, "
        "cpus_per_worker or gpus_per_worker, or join a larger cluster (limits.max_nodes says how far one that grows "
        f"by itself can grow){_kept_words(folder)}"
    )


def _kept_words(folder: Path | None) -> str:
    """Say of a sweep that has begun on a larger machine how it can go on."""
    if folder is None or not (folder / "plan.json").is_file():
        return ""
    return f"; what is in {folder} goes on only where there is as much, less needs another `output`"


def count_workers(resources: ResourcesConfig, cluster: Cluster) -> int:
    """Return how many workers fit at once, none of them over two nodes."""
    return sum(_workers_on(node, resources) for node in cluster.nodes)


def concurrent_trials(resources: ResourcesConfig, cluster: Cluster, max_nodes: int | None = None) -> int:
    """Return how many trials run at once."""
    slots = max(1, count_workers(resources, grown(cluster, resources, max_nodes)) // resources.workers_per_trial)
    return min(slots, resources.concurrent_trials) if resources.concurrent_trials else slots


def makespan(durations: Iterable[float], slots: int) -> float:
    """Return how long trials take together that start in order, each as soon as one of the slots is free."""
    free = [0.0] * max(1, slots)
    for duration in durations:
        heapq.heapreplace(free, free[0] + duration)
    return max(free)


def describe_demand(resources: ResourcesConfig) -> str:
    """Return what one trial asks for, in words."""
    gpus = f" and {resources.num_gpus:g} GPU" if resources.num_gpus else ""
    return f"{resources.workers_per_trial} x {resources.cpus_per_worker} CPU{gpus}"


def _wanted(resources: ResourcesConfig) -> dict[str, float]:
    wanted = {"CPU": float(resources.cpus_per_worker), "GPU": resources.num_gpus}
    return {kind: amount for kind, amount in wanted.items() if amount > 0}


def _workers_on(node: dict[str, float], resources: ResourcesConfig) -> int:
    wanted = _wanted(resources)
    fit = [int(node.get("CPU", 0.0) / wanted["CPU"] + 1e-9)]
    if "GPU" in wanted:
        fit.append(shares_of(node.get("GPU", 0.0), wanted["GPU"]))
    return min(fit)


def _missing(resources: ResourcesConfig, cluster: Cluster) -> str:
    """Say what stands in the way: of one worker on its own, or of all of them together."""
    workers = count_workers(resources, cluster)
    if workers:
        return f"room for {resources.workers_per_trial - workers} more is missing"
    wanted = _wanted(resources)
    lacking = [kind for kind, amount in wanted.items() if all(node.get(kind, 0.0) < amount for node in cluster.nodes)]
    if not lacking:
        return "no node has both"
    return " and ".join(f"no node has {wanted[kind]:g} {kind}" for kind in lacking)


def _describe(cluster: Cluster) -> str:
    """Return the nodes by kind: `2 node(s) of 16 CPU and 0 GPU, ...`."""
    kinds = Counter((node.get("CPU", 0.0), node.get("GPU", 0.0)) for node in cluster.nodes)
    parts = [f"{count} node(s) of {cpus:g} CPU and {gpus:g} GPU" for (cpus, gpus), count in kinds.items()]
    return ", ".join(parts) or "no node"
