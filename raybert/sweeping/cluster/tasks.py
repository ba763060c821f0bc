"""What of Ray is neither Tune nor Train: the object store, and a single function elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import ray

from raybert.config import ResourcesConfig

Result = TypeVar("Result")


def share(value: Any) -> Any:
    """Put a value into the object store, once for all processes of a node, and return its reference."""
    return ray.put(value)


def run_as_trial(function: Callable[..., Result], *arguments: Any, resources: ResourcesConfig) -> Result:
    """Run a function where a trial would run, holding what one worker holds, and return its result.

    In a process of its own: when it has ended, the GPU's memory is free again.
    """
    cpus, gpus = resources.cpus_per_worker, resources.num_gpus
    task = ray.remote(num_cpus=cpus, num_gpus=gpus, max_calls=1, max_retries=0)(function)
    result: Result = ray.get(task.remote(*arguments))
    return result
