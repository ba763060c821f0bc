"""How much of a cluster scoring takes: actors that run a model, and what it leaves for Ray Data's own tasks."""

from __future__ import annotations

from dataclasses import dataclass

from raybert.machine import shares_of

ROOM_FOR_TASKS = 0.2
"""CPU share that no scoring actor takes: an actor pool that holds every CPU starves Ray Data's own tasks."""


@dataclass(frozen=True)
class Room:
    """What scoring may take of a cluster.

    Attributes:
        cpus: that are there.
        gpus: that are there.
        gpus_per_actor: GPU share of an actor that runs a model.
        most_cpus: once the cluster has grown as far as it can; None: it does not grow, nor do nodes leave it.
        most_gpus: likewise.
    """

    cpus: float
    gpus: float = 0.0
    gpus_per_actor: float = 0.0
    most_cpus: float | None = None
    most_gpus: float | None = None

    def actors(self, num_blocks: int) -> tuple[int, int]:
        """Return how many actors begin, and how many there may be: one a CPU, or as many as fit on the GPUs."""
        now = self._fit(self.cpus, self.gpus, num_blocks)
        if self.most_cpus is None:
            return now, now
        return now, max(now, self._fit(self.most_cpus, self.most_gpus or 0.0, num_blocks))

    def cpu_share(self, num_blocks: int) -> float:
        """Return the CPUs of an actor: a whole one where a task has room beside each, else what is left beside some.

        Half as many tasks as there are CPUs, at least one, have their room then.
        """
        cpus, (_, actors) = max(self.cpus, self.most_cpus or 0.0), self.actors(num_blocks)
        if cpus >= actors * (1 + ROOM_FOR_TASKS):
            return 1.0
        return min(1.0, max(0.01, (cpus - ROOM_FOR_TASKS * max(1.0, cpus / 2)) / actors))

    def _fit(self, cpus: float, gpus: float, num_blocks: int) -> int:
        return max(1, min(shares_of(gpus, self.gpus_per_actor) if self.gpus_per_actor else int(cpus), num_blocks))
