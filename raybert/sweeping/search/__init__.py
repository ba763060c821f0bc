"""The search for each strategy's best hyperparameters: a study and an early stopping of its own for every arm."""

from __future__ import annotations

from pathlib import Path
from typing import Any

__all__ = ["best_params"]


def best_params(folder: Path) -> dict[str, dict[str, Any]]:
    """Return the best values found so far for every arm of a results folder, see `studies.best_params`."""
    # Plans and checks of a space come by here, and need neither Ray nor Optuna.
    from raybert.sweeping.search import studies

    return studies.best_params(folder)
