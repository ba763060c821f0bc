"""Names of arms, no longer than needed to tell them apart."""

from __future__ import annotations

import pandas as pd

from raybert.analysis.statistics.configurations import short_parameter_names as short_parameter_names

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
