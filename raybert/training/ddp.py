"""`fit` on several workers: Ray Train starts them, torch's DDP joins their gradients."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import ray
import ray.train
import ray.train.torch
import torch
from torch import nn

from raybert.config import ResourcesConfig
from raybert.data.examples import ExampleData
from raybert.durable import make_folder, remove_leftovers, scratch_folder
from raybert.training.answer import read_answer, write_answer
from raybert.training.interface import PassPlanner, Surroundings
from raybert.training.loop import fit
from raybert.training.memory.allocator import keep_memory
from raybert.training.memory.gpu_share import keep_to_share
from raybert.training.objective import Objective
from raybert.training.process_group import OwnAddressConfig
from raybert.training.request import FitRequest
from raybert.training.result import FitResult

_RESULT = "answer.npz"
_SECONDS_BETWEEN_LOOKS = 1.0
"""At the rows of a trial that other processes write."""
MAX_RESTARTS = 5
"""Of a run whose worker is lost. A micro-batch that does not fit is halved with each, so five find what is 32 times
smaller."""


class PortableSurroundings(Surroundings, Protocol):
    """Surroundings that can be sent to a worker process."""

    @property
    def checkpoint_folder(self) -> Path:
        """On a file system that all workers see."""

    @property
    def is_begun_again(self) -> bool:
        """Whether an earlier process was at the run."""

    def at_rank(self, rank: int, world_size: int) -> PortableSurroundings:
        """Return the surroundings of one worker; only rank 0 reports and writes."""

    def working(self) -> AbstractContextManager[None]:
        """Enter what this worker needs around its run, such as being the only one that writes."""

    def forward(self, rows: list[dict[str, Any]]) -> None:
        """Tell the driver about evaluations that a worker has reported to the trial's files, each once."""

    def written_rows(self) -> list[dict[str, Any]]:
        """Return the evaluations in the trial's files."""


@dataclass(frozen=True)
class _Fitting:
    """What `fit` is called with on every worker."""

    model: nn.Module
    data: ExampleData
    planner: PassPlanner
    request: FitRequest
    surroundings: PortableSurroundings
    objective: Objective | None


def fit_distributed(
    model: nn.Module,
    data: ExampleData,
    planner: PassPlanner,
    request: FitRequest,
    surroundings: PortableSurroundings,
    objective: Objective | None = None,
    *,
    resources: ResourcesConfig,
) -> FitResult:
    """Run `fit` on `resources.workers_per_trial` workers and return rank 0's result.

    Gradients are those of one process with the same global batch, up to the order of summation. The best weights
    are in `checkpoint/best`; `model` itself stays as it was. A lost worker, or one that runs out of memory,
    restarts the run from `checkpoint/last`; where a node has gone with it, on as many workers as the nodes that are
    left can hold: each then takes a larger share of the same batches. May be called inside a Tune function that holds
    no CPUs.

    Args:
        model: on any device; every worker gets a copy.
        data: as for `fit`, here in the object store once.
        planner: as for `fit`; asked on rank 0.
        request: as for `fit`; what it monitors is measured on rank 0.
        surroundings: must be picklable.
        objective: as for `fit`; of the same model and data.
        resources: workers, and what each one holds.

    Raises:
        ray.train.TrainingFailedError: workers failed again and again; its cause is the error of `fit`.
    """
    folder = surroundings.checkpoint_folder
    make_folder(folder)
    remove_leftovers(folder)
    # In one piece: the objective's model must be the one that trains, and what is recorded the objective's state.
    request = replace(request, num_workers=resources.workers_per_trial)
    fitting = _Fitting(model.cpu(), data, planner, request, surroundings, objective)
    arguments = {
        "fitting": ray.put(fitting),
        "threads": resources.cpus_per_worker,
        "gpu_share": resources.num_gpus,
    }
    with scratch_folder(folder, ".train-") as scratch:
        answer = scratch / _RESULT
        for restarts in range(MAX_RESTARTS + 1):
            workers = _workers(resources, is_first=restarts == 0 and not surroundings.is_begun_again)
            trainer = ray.train.torch.TorchTrainer(
                _worker,
                train_loop_config={**arguments, "answer": answer},
                torch_config=OwnAddressConfig(),
                scaling_config=scaling_of(resources, workers),
                run_config=ray.train.RunConfig(name=f"fit-{restarts}", storage_path=str(scratch)),
            )
            try:
                _fit_followed(trainer, surroundings)
                break
            except ray.train.TrainingFailedError:
                if restarts == MAX_RESTARTS:
                    raise
        result = read_answer(answer)
    surroundings.forward(result.rows)
    return result


def scaling_of(resources: ResourcesConfig, num_workers: int | tuple[int, int] | None = None) -> ray.train.ScalingConfig:
    """Return how many workers a run has, with what, and where: on as few nodes as they fit on.

    Gradients go between them at every step, and a network is slower than what a node has within.

    Args:
        resources: of the run.
        num_workers: how many; from one number to another: as many as there is room for; None: all.
    """
    return ray.train.ScalingConfig(
        num_workers=num_workers or resources.workers_per_trial,
        use_gpu=resources.num_gpus > 0,
        resources_per_worker=_resources(resources),
        placement_strategy="PACK",
        elastic_resize_monitor_interval_s=math.inf,  # it would take workers down that are well
    )


def _workers(resources: ResourcesConfig, *, is_first: bool) -> int | tuple[int, int]:
    """Return how many workers to begin with: all of them, or from one on, as many as Ray finds room for.

    The latter where they do not fit, and where an attempt has failed: Ray counts a node that has vanished for a while.
    """
    num_workers = resources.workers_per_trial
    wanted = _resources(resources).items()
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    room = sum(min(int(node.get(kind, 0.0) / amount + 1e-9) for kind, amount in wanted) for node in nodes)
    return num_workers if is_first and room >= num_workers else (1, num_workers)


def _fit_followed(trainer: ray.train.torch.TorchTrainer, surroundings: PortableSurroundings) -> None:
    """Run a trainer in a thread of its own, and pass evaluations on as rank 0 writes them."""
    with ThreadPoolExecutor(1, thread_name_prefix="fit") as pool:
        ending = pool.submit(trainer.fit)
        while not wait([ending], timeout=_SECONDS_BETWEEN_LOOKS).done:
            surroundings.forward(surroundings.written_rows())
        ending.result()


def _worker(arguments: dict[str, Any]) -> None:
    """What every worker runs."""
    keep_memory()
    torch.set_num_threads(arguments["threads"])
    keep_to_share(arguments["gpu_share"])
    context = ray.train.get_context()
    rank, world_size = context.get_world_rank(), context.get_world_size()
    fitting: _Fitting = ray.get(arguments["fitting"])
    surroundings = fitting.surroundings.at_rank(rank, world_size)
    with surroundings.working():
        result = fit(
            fitting.model.to(ray.train.torch.get_device()),
            fitting.data,
            fitting.planner,
            fitting.request,
            surroundings,
            fitting.objective,
        )
        if rank == 0:
            planned = fitting.request.num_workers or world_size
            if world_size < planned:
                words = f"ended on {world_size} of {planned} workers: there was no room for all of them any more"
                result = replace(result, notes=(*result.notes, words))
            write_answer(arguments["answer"], result)


def _resources(resources: ResourcesConfig) -> dict[str, float]:
    wanted = {"CPU": float(resources.cpus_per_worker)}
    if resources.num_gpus:
        wanted["GPU"] = resources.num_gpus
    return wanted
