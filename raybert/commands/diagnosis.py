"""`raybert doctor`: what a machine or a cluster lacks that sweeps need."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from raybert.sweeping.doctor.finding import Diagnosis, Finding


def doctor(
    address: str | None = None,
    *,
    output: str | Path = "runs",
    trial: bool = True,
    told: Callable[[Finding], None] = lambda finding: None,
) -> Diagnosis:
    """Examine this machine, or every node of a cluster: what sweeps need, and what to do about what is missing.

    Versions, CPUs, memory, GPUs, disks, limits, storage, clocks, the hub; then twenty steps of training on a node of
    each kind. Ray is started if it has to be, and nothing is left behind.

    Args:
        address: of a Ray cluster to join; default: this machine.
        output: where results would go, a folder or a URL (`s3://bucket/runs`): every node writes there, and what it
            wrote is removed.
        trial: train on a node of each kind.
        told: called with every finding as soon as it is there.

    Returns:
        The findings: `print` shows them, `exit_code` is 5 where one is a failure.

    Example:
        >>> raybert.doctor().of("failure")
        ()
    """
    from raybert.sweeping.doctor.examine import examine  # and with it Ray and torch

    return examine(address, Path(output), trial=trial, told=told)
