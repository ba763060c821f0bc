"""The estimate of a sweep that begins: said, and kept for the comparison with what it took."""

from __future__ import annotations

import time
from collections.abc import Mapping

from raybert.config import RaybertConfig
from raybert.sweeping.driver.progress import Progress
from raybert.sweeping.estimate.describe import describe_estimate
from raybert.sweeping.estimate.planning import estimate_rest
from raybert.sweeping.estimate.record import write_estimate
from raybert.sweeping.folder.layout import SweepFolder
from raybert.sweeping.phases.prepare import Prepared
from raybert.sweeping.plan.comparison import Plan
from raybert.sweeping.plan.placement import Cluster


def announce_estimate(
    config: RaybertConfig,
    plan: Plan,
    prepared: Mapping[str, Prepared],
    folder: SweepFolder,
    cluster: Cluster,
    progress: Progress,
    started: float,
) -> None:
    """Probe, say what the rest of a sweep will take, and write it down.

    Args:
        config: the sweep file.
        plan: of it.
        prepared: its data.
        folder: of the results.
        cluster: where it will run.
        progress: is told.
        started: `time.monotonic()` when the command was given.
    """
    try:
        estimate = estimate_rest(config, plan, prepared, folder, cluster)
    except Exception as error:  # what fails here fails in its trial, too, where it is recorded
        progress.note(f"note: no estimate, the probe failed: {type(error).__name__}: {error}")
        return
    if estimate is not None:
        write_estimate(folder, estimate, time.monotonic() - started)
        progress.note(describe_estimate(estimate)[0])
