"""What changes while a run trains: counters and rows, and everything else that a checkpoint must hold."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from raybert.tables import with_new_names
from raybert.training.interface import PassPlan

Row = dict[str, Any]
_RENAMED = {"epoch": "passes", "samples_per_epoch": "samples_per_pass"}
"""Counters in checkpoints of raybert 0.1 -> today's."""


@dataclass
class RunState:
    """The counters and rows of a run.

    Attributes:
        step: optimizer steps done.
        passes: done, those that their plan cut short among them.
        whole_passes: done, those that were cut by the share of their batches that was trained on.
        batch: batches of the current pass that are done.
        examples_seen: forward and backward, repetitions included.
        examples_scored: forward passes that the pass planner asked for.
        rows: one per evaluation.
        best: number of the best row; -1: none yet.
        samples_per_pass: examples of every pass so far.
        micro_batch_size: largest number of examples in one forward pass; None: no limit.
        rate_factor: what the learning rate is multiplied by since the last plateau; 1: there was none.
        reductions: [step, size] of every time when memory ran out and the micro-batch was made smaller.
        train_seconds: in forward, backward and step.
        evaluation_seconds: on validation and test.
        selection_seconds: in the pass planner.
    """

    step: int = 0
    passes: int = 0
    whole_passes: float = 0.0
    batch: int = 0
    examples_seen: int = 0
    examples_scored: int = 0
    rows: list[Row] = field(default_factory=list)
    best: int = -1
    samples_per_pass: list[int] = field(default_factory=list)
    micro_batch_size: int | None = None
    rate_factor: float = 1.0
    reductions: list[list[int]] = field(default_factory=list)
    train_seconds: float = 0.0
    evaluation_seconds: float = 0.0
    selection_seconds: float = 0.0

    @property
    def best_row(self) -> Row | None:
        """The row of the best evaluation so far."""
        return self.rows[self.best] if self.best >= 0 else None

    def to_json(self) -> str:
        """Return all of it as text."""
        return json.dumps(vars(self))

    @classmethod
    def from_json(cls, text: str) -> RunState:
        """Return what `to_json` wrote, also that of raybert 0.1, whose names were others."""
        known = json.loads(text)
        known = {_RENAMED.get(name, name): value for name, value in known.items()}
        return cls(**known | {"rows": [with_new_names(row) for row in known["rows"]]})


def pack_plan(plan: PassPlan) -> dict[str, Any]:
    """Return what a checkpoint keeps of the current pass's plan."""
    return {
        "positions": torch.from_numpy(np.array(plan.positions, np.int64)),
        "weights": None if plan.weights is None else torch.from_numpy(np.array(plan.weights)),
        "max_steps": plan.max_steps,
        "batch_sizes": plan.batch_sizes,
    }


def unpack_plan(packed: dict[str, Any]) -> PassPlan:
    """Return the plan that `pack_plan` packed."""
    weights = packed["weights"]
    plan = PassPlan(packed["positions"].numpy(), None if weights is None else weights.numpy(), packed["max_steps"])
    return plan.cut(packed.get("batch_sizes"))  # which raybert 0.1 did not have


def generator_states(device: torch.device) -> dict[str, torch.Tensor]:
    """Return the states of the global generators that training on a device draws from."""
    states = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        states["cuda"] = torch.cuda.get_rng_state(device)
    return states


def set_generator_states(states: dict[str, torch.Tensor], device: torch.device) -> None:
    """Put the generators back to where they were."""
    torch.set_rng_state(states["cpu"])
    if "cuda" in states:
        torch.cuda.set_rng_state(states["cuda"], device)


def go_on_drawing(saved: Sequence[dict[str, torch.Tensor]], rank: int, device: torch.device, step: int) -> None:
    """Draw on where a rank stopped; one that was not there draws on its own, from its seed and the step.

    Args:
        saved: states of the generators, rank by rank.
        rank: of this worker, whose generators have been seeded.
        device: that it draws on.
        step: at which it goes on.
    """
    if rank < len(saved):
        set_generator_states(saved[rank], device)
    else:
        torch.manual_seed(torch.initial_seed() + step)
