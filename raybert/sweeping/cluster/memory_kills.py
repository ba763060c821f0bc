"""A process that Ray ends because its node runs out of memory: for Ray Tune 2.60 the end of the whole run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ray.air.execution._internal.actor_manager import RayActorManager
from ray.exceptions import OutOfMemoryError, RayActorError


@contextmanager
def memory_kills_are_deaths() -> Iterator[None]:
    """Let Tune take a worker that was ended for memory as one that died, for the length of a `with` block.

    Ray raises `OutOfMemoryError`, which is no `RayActorError`; Tune's actor manager expects nothing else, and raises
    `RuntimeError: Caught unexpected exception` in the driver instead of failing (and retrying) the one trial. That
    manager is Ray's own (`_internal`): Tune makes it and takes none from outside, and no callback of Tune hears of the
    exception before it is raised, so there is no public call to use instead.
    """
    original = RayActorManager._actor_task_failed

    def expect_memory_kill(self: Any, tracked_actor_task: Any, exception: Exception) -> None:
        if isinstance(exception, OutOfMemoryError):
            exception = RayActorError(error_msg=str(exception))
        original(self, tracked_actor_task, exception)

    RayActorManager._actor_task_failed = expect_memory_kill
    try:
        yield
    finally:
        RayActorManager._actor_task_failed = original
