"""What `resources.gpus_per_worker: auto` or `fit` is, decided before anything is planned: ids of trials depend on it.

A folder that has begun goes on as it began, on whatever machine. A new one takes a GPU a worker where the cluster has
any, and says it where it cannot.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from raybert.config import ResourcesConfig
from raybert.config.packages import check_gpu_for_attention
from raybert.sweeping.folder.repair import read_previous_config
from raybert.sweeping.plan.design import Design
from raybert.sweeping.plan.placement import Cluster, count_workers, grown
from raybert.training.memory.gpu_share import GpuMemory

Measured = Callable[[Design], GpuMemory | None]
"""A design whose trials have a whole GPU -> what the trial that takes most takes of it; None: nobody knows."""


def settle_gpus(
    design: Design, output: Path | None, cluster: Callable[[], Cluster], measured: Measured | None = None
) -> tuple[Design, tuple[str, ...]]:
    """Return a design with a number in the place of `auto` or `fit`, and what is to be said about it.

    Args:
        design: the sweep file, expanded.
        output: results folder, whose trials decide if there are any; None: there is none.
        cluster: returns where trials will run; asked only if somebody has to decide.
        measured: returns what a trial of a design with whole GPUs takes of one; None: nobody measures now.

    Raises:
        ConfigError: attention is to be computed as only GPUs can, and trials have none.
    """
    settled, notes = _settle(design, output, cluster, measured)
    for config in (settled.config, *(variant.config for variant in settled.variants)):
        check_gpu_for_attention(config)
    return settled, notes


def _settle(
    design: Design, output: Path | None, cluster: Callable[[], Cluster], measured: Measured | None
) -> tuple[Design, tuple[str, ...]]:
    resources = design.config.resources
    if not isinstance(resources.gpus_per_worker, str):
        return design, ()
    before = None if output is None else read_previous_config(output, lambda note: None)  # said when it is opened
    if before is not None:
        gpus = before.resources.num_gpus
        return _with_gpus(design, gpus), _notes_of_a_folder(output, gpus, cluster)
    there = cluster()
    gpus, notes = _one_if_it_fits(resources, there, design.config.limits.max_nodes)
    settled = _with_gpus(design, gpus)
    if resources.gpus_per_worker == "auto" or not gpus:
        return settled, notes
    share, note = _share(settled, measured)
    return _with_gpus(design, share), (*notes, note)


def _share(design: Design, measured: Measured | None) -> tuple[float, str]:
    """Return the share of a GPU that a trial of a design with whole ones needs, and what to say of it."""
    if design.config.resources.workers_per_trial > 1:
        return 1, (
            "note: resources.gpus_per_worker: fit gives whole GPUs to trials of several workers, which would wait for "
            "each other at every step"
        )
    if measured is None:
        return 1, "note: resources.gpus_per_worker: fit is measured when a sweep begins; this reckons with whole GPUs"
    memory = measured(design)
    if memory is None:
        return 1, "note: resources.gpus_per_worker: fit could not be measured; trials have whole GPUs"
    share = int(memory.share) if memory.share == 1 else memory.share
    gib = 2**30
    return share, (
        f"note: resources.gpus_per_worker: fit is {share:g}: a trial needs {memory.needed_bytes / gib:.1f} of the "
        f"{memory.total_bytes / gib:.1f} GiB of a GPU (the peak of {memory.peak_bytes / gib:.1f} GiB, with a margin)"
    )


def settle_resources(
    resources: ResourcesConfig, before: ResourcesConfig | None, max_nodes: int | None, cluster: Callable[[], Cluster]
) -> tuple[ResourcesConfig, tuple[str, ...]]:
    """Return resources of a pretraining with a number in the place of `auto` or `fit`, and what is to be said of it.

    Args:
        resources: as the file says.
        before: with which the folder was begun; None: it is new.
        max_nodes: `limits.max_nodes`.
        cluster: returns where runs will be; asked only if somebody has to decide.
    """
    if not isinstance(resources.gpus_per_worker, str):
        return resources, ()
    if before is not None:
        return resources.model_copy(update={"gpus_per_worker": before.num_gpus}), ()
    gpus, notes = _one_if_it_fits(resources, cluster(), max_nodes)
    return resources.model_copy(update={"gpus_per_worker": gpus}), notes


def _with_gpus(design: Design, gpus: float) -> Design:
    """Return the design with a number of GPUs, in every point of its grid."""
    config = design.config
    resources = config.resources.model_copy(update={"gpus_per_worker": gpus})
    variants = tuple(
        replace(variant, config=variant.config.model_copy(update={"resources": resources}))
        for variant in design.variants
    )
    return replace(design, config=config.model_copy(update={"resources": resources}), variants=variants)


def _notes_of_a_folder(output: Path | None, gpus: float, cluster: Callable[[], Cluster]) -> tuple[str, ...]:
    """Say of a folder that was begun without GPUs why it does not use those that are here; too few are an error."""
    if gpus or cluster().gpus < 1:
        return ()
    return (
        f"note: {output} was begun without GPUs and goes on so: trials of CPUs and GPUs are not mixed; another "
        "`output` uses the GPUs that are here",
    )


def _one_if_it_fits(resources: ResourcesConfig, cluster: Cluster, max_nodes: int | None) -> tuple[int, tuple[str, ...]]:
    """Return 1 where a trial fits with a GPU a worker, else 0, and why although there are some."""
    with_gpus = resources.model_copy(update={"gpus_per_worker": 1})
    largest = grown(cluster, with_gpus, max_nodes)
    if largest.gpus < 1:
        return 0, ()
    workers = count_workers(with_gpus, largest)
    if workers >= resources.workers_per_trial:
        return 1, ()
    return 0, (
        f"note: trains on CPUs although there are {largest.gpus:g} GPUs: {workers} of the "
        f"{resources.workers_per_trial} worker(s) of a trial would find one beside {resources.cpus_per_worker} CPU on "
        "its node; lower resources.workers_per_trial or cpus_per_worker, or let workers share one: "
        "`resources.gpus_per_worker: 0.5`",
    )
