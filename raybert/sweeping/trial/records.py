"""What a trial keeps of its passes: the plan of each, the pool's probabilities between them, and what was selected."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from raybert.durable import remove_folder
from raybert.files import save_array, save_arrays
from raybert.selection.pool import Selection
from raybert.training.interface import FixedPasses, PassPlan, PassPlanner, PoolView


@dataclass(frozen=True)
class DynamicsRecorder:
    """Passes on the plans of a planner, and scores the pool between its passes: the checkpoints of `dynamics`."""

    planner: PassPlanner
    folder: Path

    def next_pass(self, number: int, previous: PassPlan | None, view: PoolView) -> PassPlan:
        """Write the pool's probabilities before every pass but the first."""
        if number > 0:
            save_array(self.folder / f"{number:03d}.npy", view.predict())
        return self.planner.next_pass(number, previous, view)


@dataclass(frozen=True)
class RecordedPasses:
    """Passes on the plans of a planner and keeps each on disk, so that a continued trial knows the earlier ones."""

    planner: PassPlanner
    folder: Path

    def next_pass(self, number: int, previous: PassPlan | None, view: PoolView) -> PassPlan:
        """Write the plan, unless all passes are the same."""
        plan = self.planner.next_pass(number, previous, view)
        if not isinstance(self.planner, FixedPasses):
            arrays = {"positions": plan.positions, **{f"record_{name}": part for name, part in plan.record.items()}}
            if plan.weights is not None:
                arrays["weights"] = plan.weights
            if plan.batch_sizes is not None:
                arrays["batch_sizes"] = np.array(plan.batch_sizes)
            save_arrays(self.folder / f"{number:05d}.npz", **arrays)
        return plan

    def plans(self) -> list[tuple[int, PassPlan]]:
        """Return the number and the plan of every pass so far."""
        plans = []
        for path in sorted(self.folder.glob("*.npz")):
            with np.load(path, allow_pickle=False) as arrays:
                record = {name.removeprefix("record_"): arrays[name] for name in arrays if name.startswith("record_")}
                plan = PassPlan(arrays["positions"], arrays.get("weights"), record=record)
                plans.append((int(path.stem), plan.cut(arrays.get("batch_sizes"))))
        return plans

    def clear(self) -> None:
        """Delete the plans."""
        remove_folder(self.folder)


def join_rounds(plans: list[tuple[int, PassPlan]]) -> tuple[Selection, np.ndarray] | None:
    """Return what all rounds selected, with the round (k,) of each example; None if the schedule has no rounds.

    Scores are those by which an example was chosen in its round. Scores of the whole pool and conflicts are those of
    the first round, which are comparable with a selection before training.
    """
    rounds = [plan for _, plan in plans if "round" in plan.record]
    if not rounds:
        return None
    parts = []
    known = 0
    for plan in rounds:
        count = len(plan.positions)
        parts.append(
            pd.DataFrame(
                {
                    "position": plan.positions,
                    "score": plan.record["scores"],
                    "round": int(plan.record["round"]),
                }
            ).iloc[known:]
        )
        known = count
    frame, first, last = pd.concat(parts, ignore_index=True), rounds[0], rounds[-1]
    selection = Selection(
        positions=frame["position"].to_numpy(),
        scores=frame["score"].to_numpy(np.float64),
        weights=last.weights,
        refilled=sum(int(plan.record["refilled"]) for plan in rounds),
        pool_scores=first.record.get("pool_scores"),
        conflicts=first.record.get("conflicts"),
    )
    return selection, frame["round"].to_numpy()


def selection_frame(
    positions: np.ndarray,
    passes: np.ndarray | int,
    scores: np.ndarray | None = None,
    weights: np.ndarray | None = None,
) -> pd.DataFrame:
    """Return the columns of `SELECTION` but the ids: a row per chosen example.

    Args:
        positions: (k,) of the pool.
        passes: (k,) pass or round that each was chosen for, or one for all.
        scores: (k,); default: none.
        weights: (k,); default: 1.
    """
    count = len(positions)
    return pd.DataFrame(
        {
            "position": positions,
            "pass": np.broadcast_to(np.asarray(passes, np.int32), count),
            "score": np.full(count, np.nan) if scores is None else scores,
            "weight": np.ones(count, np.float32) if weights is None else weights,
        }
    )


def frame_of_plans(plans: list[tuple[int, PassPlan]]) -> pd.DataFrame:
    """Return the rows of every pass, with their scores and their `batch` where the strategy says them."""
    parts = []
    for number, plan in plans:
        part = selection_frame(plan.positions, number, plan.record.get("scores"), plan.weights)
        if plan.batch_sizes is not None:
            part["batch"] = np.repeat(np.arange(len(plan.batch_sizes), dtype=np.int32), plan.batch_sizes)
        parts.append(part)
    frame = pd.concat(parts, ignore_index=True)
    if "batch" in frame and frame["batch"].isna().any():  # passes without batches beside others
        frame["batch"] = frame["batch"].fillna(-1).astype(np.int32)
    return frame
