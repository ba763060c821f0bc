"""What is left to say of a run whose losses or weights are no longer finite."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import nn

from raybert.errors import TrialError
from raybert.files import write_json

REPORT = "monitor_nan.json"


def write_nan_report(folder: Path, step: int, example_ids: np.ndarray, losses: np.ndarray) -> Path:
    """Write `monitor_nan.json`: the first broken step and the examples of its whole batch; return its path.

    Args:
        folder: of the run.
        step: optimizer steps done, this one included.
        example_ids: (b,) str, of the batch.
        losses: (b,), some not finite.
    """
    path = folder / REPORT
    broken = example_ids[~np.isfinite(losses)]
    names = {"example_ids": example_ids, "not_finite": broken}
    write_json(path, {"step": step} | {key: [str(name) for name in ids] for key, ids in names.items()})
    return path


def check_weights(model: nn.Module, step: int, last_checkpoint: str) -> None:
    """Refuse weights that are not finite: before a checkpoint, so that the last one on disk stays a good one.

    A gradient can break the weights at a step whose own loss is finite.

    Args:
        model: to be saved.
        step: optimizer steps done.
        last_checkpoint: what the error says of it.

    Raises:
        TrialError: names the first such parameter.
    """
    named = [(name, p.detach()) for name, p in model.named_parameters() if p.requires_grad]
    finite = torch.stack([parameter.isfinite().all() for _, parameter in named]).tolist()
    if not all(finite):
        name = named[finite.index(False)][0]
        raise TrialError(
            f"step {step}: weights must be finite, {name} is not; {last_checkpoint}; lower train.learning_rate "
            "or set train.precision: fp32",
            kind="nan",
        )
