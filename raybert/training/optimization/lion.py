"""Lion: the sign of an average of gradients as the update, one number per parameter as its state."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch


class Lion(torch.optim.Optimizer):
    """u = sign(b1 m + (1 - b1) g); w <- w - lr (u + weight_decay w); m <- b2 m + (1 - b2) g.

    Args:
        params: tensors, or groups of them.
        lr: learning rate; the paper takes 3 to 10 times less than for AdamW.
        betas: b1 of the update, b2 of the average that is kept.
        weight_decay: decoupled; the paper takes 3 to 10 times more than for AdamW.

    Source: Chen et al. 2023, "Symbolic Discovery of Optimization Algorithms", arXiv 2302.06675, algorithm 2.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-4,
        betas: tuple[float, float] = (0.9, 0.99),
        weight_decay: float = 0.0,
    ) -> None:
        if not all(0 <= beta < 1 for beta in betas):
            raise ValueError(f"betas must be in [0, 1), got {betas}")
        super().__init__(params, {"lr": lr, "betas": tuple(betas), "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Do one step; what a closure gives is returned."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            trained = [parameter for parameter in group["params"] if parameter.grad is not None]
            if trained:
                self._update(trained, group)
        return loss

    def _update(self, trained: list[torch.Tensor], group: dict[str, Any]) -> None:
        """Move the weights of a group, all of them by each operation: one by one is slow on a GPU."""
        (ahead, kept), rate = group["betas"], group["lr"]
        for parameter in trained:
            if not self.state[parameter]:
                self.state[parameter]["exp_avg"] = torch.zeros_like(parameter)
        gradients = [parameter.grad for parameter in trained if parameter.grad is not None]
        averages = [self.state[parameter]["exp_avg"] for parameter in trained]
        updates = torch._foreach_mul(averages, ahead)
        torch._foreach_add_(updates, gradients, alpha=1 - ahead)
        torch._foreach_sign_(updates)
        torch._foreach_mul_(trained, 1 - rate * group["weight_decay"])
        torch._foreach_add_(trained, updates, alpha=-rate)
        torch._foreach_mul_(averages, kept)
        torch._foreach_add_(averages, gradients, alpha=1 - kept)
