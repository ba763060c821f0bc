"""Names of arms and parameters, no longer than needed to tell them apart."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

Arm = tuple[str, str]
"""Arm and strategy, which differ in a shared search."""


def arm_names(pruning: pd.DataFrame) -> dict[Arm, str]:
    """Return the name of every arm: its strategy where that says enough, else with its grid point.

    Args:
        pruning: of `pruning_table`, which has a row per arm.
    """
    arms = [(str(arm), str(strategy)) for arm, strategy in zip(pruning["arm"], pruning["strategy"], strict=True)]
    for names in ([strategy for _, strategy in arms], [arm for arm, _ in arms]):
        if len(set(names)) == len(arms):
            return dict(zip(arms, names, strict=True))
    return {(arm, strategy): f"{strategy}, {arm}" for arm, strategy in arms}


def short_parameter_names(names: Sequence[str]) -> list[str]:
    """Return the last part of each dotted key, the whole key where that is ambiguous; `strategies.x.y` is `y (x)`."""
    short = [_short(name) for name in names]
    return [name if short.count(label) > 1 else label for name, label in zip(names, short, strict=True)]


def _short(name: str) -> str:
    section, _, rest = name.partition(".")
    label, _, last = rest.rpartition(".")
    return f"{last} ({label})" if section == "strategies" and label else name.rpartition(".")[2]
