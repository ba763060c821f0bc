"""Estimates for `raybert plan`, which runs nothing, and for a sweep that is about to begin."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

from raybert.config import RaybertConfig, ResourcesConfig
from raybert.data.examples import ExampleData
from raybert.errors import TrialError
from raybert.models import Encoder
from raybert.sweeping.cluster.connect import connected
from raybert.sweeping.cluster.staging import Staging
from raybert.sweeping.cluster.tasks import run_as_trial
from raybert.sweeping.estimate.estimate import Estimate, estimate_work, find_work
from raybert.sweeping.estimate.probe import Probe, Prober, local_prober, probe_shape
from raybert.sweeping.estimate.shapes import Shape
from raybert.sweeping.folder.layout import SweepFolder
from raybert.sweeping.phases.prepare import Prepared, prepare_plan
from raybert.sweeping.phases.scoring_jobs import JobPlanner, score_store
from raybert.sweeping.plan.comparison import Plan
from raybert.sweeping.plan.design import Design
from raybert.sweeping.plan.placement import Cluster, check_resources, this_machine
from raybert.sweeping.plan.where import starts_here
from raybert.training.memory.gpu_share import GpuMemory


def estimate_plan(
    config: RaybertConfig, plan: Plan, prepared: Mapping[str, Prepared], output: Path, address: str | None
) -> Estimate | None:
    """Return what a sweep would take that is begun, or continued, now; None: nothing is left to do.

    Args:
        config: the sweep file.
        plan: of it.
        prepared: its data.
        output: results folder; need not exist.
        address: of the cluster to look at; None: this machine, where Ray is started only to probe on a GPU.

    Raises:
        ResourceError: a trial could never be placed.
    """
    with ExitStack() as stack:
        uses_ray = not starts_here(address) or config.resources.num_gpus > 0
        cluster = stack.enter_context(connected(address)) if uses_ray else this_machine()
        check_resources(config.resources, cluster, config.limits.max_nodes)
        return estimate_rest(config, plan, prepared, SweepFolder(output), cluster)


def measure_memory(design: Design, address: str | None) -> GpuMemory | None:
    """Return what the trial that takes most of a GPU takes of it, by a short probe of all model shapes of a sweep.

    Args:
        design: whose trials have whole GPUs.
        address: of the cluster; None: this machine.

    Returns:
        None: they take none, or cannot be probed; what is wrong with them is then said where they run.
    """
    plan, prepared = prepare_plan(design)
    try:
        nowhere = Path("/nonexistent")  # results that are there make no difference
        estimate = estimate_plan(design.config, plan, prepared, nowhere, address)
    except TrialError:
        return None
    found = [] if estimate is None else [one.gpu for one in estimate.probes.values() if one.gpu is not None]
    return max(found, key=lambda memory: memory.needed_bytes, default=None)


def estimate_rest(
    config: RaybertConfig,
    plan: Plan,
    prepared: Mapping[str, Prepared],
    folder: SweepFolder,
    cluster: Cluster,
    staging: Staging | None = None,
) -> Estimate | None:
    """Return what is left of a sweep will take; None: nothing is.

    Ray must be there to probe on a GPU or on another machine.
    """
    store = score_store(config, folder, cluster.most_nodes)
    work = find_work(plan, JobPlanner(prepared, folder), store, folder)
    if not work.specs:
        return None
    here = cluster.is_local and config.resources.num_gpus == 0
    prober = _local(prepared) if here else _remote(prepared, config.resources, staging)
    return estimate_work(work, prober, config, prepared, cluster)


def _local(prepared: Mapping[str, Prepared]) -> Prober:
    data = {key: ready.data for key, ready in prepared.items()}
    return local_prober(data, {key: ready.encoder for key, ready in prepared.items()})


def _remote(prepared: Mapping[str, Prepared], resources: ResourcesConfig, staging: Staging | None) -> Prober:
    """Return what probes where the trials will run."""

    def probe(shape: Shape, seconds: float) -> Probe:
        ready = prepared[shape.spec.data_key]
        return run_as_trial(_probe_there, staging, shape, ready.data, ready.encoder, seconds, resources=resources)

    return probe


def _probe_there(staging: Staging | None, shape: Shape, data: ExampleData, encoder: Encoder, seconds: float) -> Probe:
    """Probe on the node of this process, which may have to be brought the encoder first."""
    if staging is not None:
        staging.begin()
        staging.bring_folder(encoder.path)
    return probe_shape(shape, data, encoder, seconds)
