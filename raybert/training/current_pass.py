"""The pass that a run is in: what it trains on, cut into batches."""

from __future__ import annotations

import numpy as np
import torch

from raybert.data import training_batches
from raybert.data.examples import ExampleData
from raybert.errors import TrialError
from raybert.training.interface import PassPlan
from raybert.training.objective import Objective
from raybert.training.ranks import broadcast_object, broadcast_positions
from raybert.training.request import FitRequest


class CurrentPass:
    """The plan of a pass and its batches, by a generator of the pass's own: any rank and any restart agrees.

    Args:
        data: whose pool the positions are of.
        request: of the run.
        objective: learns of every pass.

    Attributes:
        plan: of this pass, or of the one before where the next has not begun; None: before the first.
        batches: positions of every optimizer step; none where no pass is under way.
        num_whole: how many batches there were before the plan cut it.
        weights: (n,) float32 example weights by pool position; None: all 1.
    """

    def __init__(self, data: ExampleData, request: FitRequest, objective: Objective) -> None:
        self.plan: PassPlan | None = None
        self.batches: list[np.ndarray] = []
        self.num_whole = 0
        self.weights: np.ndarray | None = None
        self._data, self._request, self._objective = data, request, objective

    @property
    def is_under_way(self) -> bool:
        """Whether it has begun and not ended."""
        return bool(self.batches)

    def begin(self, plan: PassPlan, number: int) -> None:
        """Cut a plan into batches.

        Args:
            plan: the same on every rank.
            number: of the pass: 0, 1, 2, ...
        """
        self.plan = plan
        batches = list(plan.batches) if plan.batches is not None else self._draw(plan.positions, number)
        self.batches, self.num_whole = batches[: plan.max_steps], len(batches)
        self._objective.begin_pass(plan, number)
        self.weights = None
        if plan.weights is not None:
            self.weights = np.ones(len(self._data.train), np.float32)
            self.weights[plan.positions] = plan.weights

    def end(self) -> None:
        """Leave it; the plan stays for the planner to look back on."""
        self.batches, self.num_whole = [], 0

    def _draw(self, positions: np.ndarray, number: int) -> list[np.ndarray]:
        """Return the batches of a pass whose plan leaves them to the loop."""
        generator = np.random.default_rng([self._request.seed, number])
        return training_batches(self._data.train.lengths, positions, self._request.config.batch_size, generator)


def agree_on_plan(plan: PassPlan | None, number: int, world_size: int, device: torch.device) -> PassPlan:
    """Return rank 0's plan of a pass on every rank.

    Args:
        plan: on rank 0; None elsewhere.
        number: of the pass, for the error.
        world_size: number of ranks.
        device: of this rank.

    Raises:
        TrialError: it is empty.
    """
    positions = broadcast_positions(plan.positions if plan else None, world_size, device)
    rest = (plan.weights, plan.max_steps, plan.batch_sizes) if plan else None
    weights, max_steps, batch_sizes = broadcast_object(rest, world_size)
    if len(positions) == 0:
        raise TrialError(f"pass {number}: must train on at least one example, the strategy chose none")
    return PassPlan(positions, weights, max_steps).cut(batch_sizes)
