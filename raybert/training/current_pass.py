"""The pass that a run is in: what it trains on, cut into batches."""

from __future__ import annotations

import numpy as np
import torch

from raybert.data import TokenizedData, training_batches
from raybert.data.examples import ExampleData
from raybert.errors import TrialError
from raybert.training.interface import PassPlan
from raybert.training.measures.losses import build_loss
from raybert.training.ranks import broadcast_object, broadcast_positions
from raybert.training.request import FitRequest


class CurrentPass:
    """The plan of a pass and its batches, by a generator of the pass's own: any rank and any restart agrees.

    Args:
        data: whose pool the positions are of.
        request: of the run.
        device: where the loss is computed.

    Attributes:
        plan: of this pass, or of the one before where the next has not begun; None: before the first.
        batches: positions of every optimizer step; none where no pass is under way.
        num_whole: how many batches there were before the plan cut it.
        weights: (n,) float32 example weights by pool position; None: all 1.
        loss: what is minimised.
        notes: what a user should know of the losses so far, each once.
        number: of the pass: 0, 1, 2, ...
    """

    def __init__(self, data: ExampleData, request: FitRequest, device: torch.device) -> None:
        self.plan: PassPlan | None = None
        self.batches: list[np.ndarray] = []
        self.num_whole = 0
        self.weights: np.ndarray | None = None
        self.notes: dict[str, None] = {}
        self.number = 0
        self._data, self._request, self._device = data, request, device
        self._labels = np.asarray(data.train.labels)
        self._weigh_classes(self._labels)

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
        self.plan, self.number = plan, number
        batches = list(plan.batches) if plan.batches is not None else self._draw(plan.positions, number)
        self.batches, self.num_whole = batches[: plan.max_steps], len(batches)
        if self._request.config.loss.weights_from == "selection":
            self._weigh_classes(self._labels[plan.positions])
        self.weights = None
        if plan.weights is not None:
            self.weights = np.ones(len(self._labels), np.float32)
            self.weights[plan.positions] = plan.weights

    def inputs(self, positions: np.ndarray) -> dict[str, torch.Tensor]:
        """Return the model's inputs for some examples that this pass trains on, changed where that was asked for.

        Args:
            positions: (b,) pool rows; none: the first row stands in, for a rank that only takes part in an exchange.
        """
        augmentation = self._request.augmentation
        if augmentation is None or len(positions) == 0:
            return self._data.batch(self._data.train, positions if len(positions) else np.zeros(1, np.int64))
        if not isinstance(self._data, TokenizedData):
            raise TrialError("data.augment: needs examples of word pieces")
        return augmentation.batch(self._data, positions, self._request.seed, self.number)

    def end(self) -> None:
        """Leave it; the plan stays for the planner to look back on."""
        self.batches, self.num_whole = [], 0

    def _draw(self, positions: np.ndarray, number: int) -> list[np.ndarray]:
        """Return the batches of a pass whose plan leaves them to the loop."""
        generator = np.random.default_rng([self._request.seed, number])
        return training_batches(self._data.train.lengths, positions, self._request.config.batch_size, generator)

    def _weigh_classes(self, labels: np.ndarray) -> None:
        """Build the loss, whose classes may be weighted by how often they are among some labels."""
        own = self._request.own
        self.loss = build_loss(
            self._request.config.loss,
            labels,
            self._data.num_classes,
            self._device,
            function=own.loss,
            weights=own.class_weights,
        )
        self.notes.update(dict.fromkeys(self.loss.notes))


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
