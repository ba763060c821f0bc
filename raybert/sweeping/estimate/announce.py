"""The estimate of a sweep that begins: said, and kept for the comparison with what it took."""

from __future__ import annotations

import time

from raybert.errors import TrialError
from raybert.sweeping.cluster.staging import Staging
from raybert.sweeping.estimate.describe import describe_devices, describe_estimate, notes_on_shares
from raybert.sweeping.estimate.planning import estimate_rest
from raybert.sweeping.estimate.record import write_estimate
from raybert.sweeping.phases.opening import OpenSweep
from raybert.sweeping.plan.placement import Cluster


def announce_estimate(opened: OpenSweep, cluster: Cluster, started: float, staging: Staging | None = None) -> None:
    """Probe, say what the rest of a sweep will take, and write it down.

    A model that cannot be probed is no reason not to begin: what fails here fails in its trial, too, where it is
    recorded while others go on.

    Args:
        opened: the sweep.
        cluster: where it will run.
        started: `time.monotonic()` when the command was given.
        staging: how nodes reach the driver's files; None: there is one node.
    """
    try:
        estimate = estimate_rest(opened.design.config, opened.plan, opened.prepared, opened.folder, cluster, staging)
    except TrialError as error:
        opened.progress.note(f"note: no estimate, {error}")
        return
    if estimate is not None:
        try:
            write_estimate(opened.folder, estimate, time.monotonic() - started)
        except OSError as error:
            opened.progress.note(f"note: the estimate is not kept: {error}")
        resources = opened.design.config.resources
        shares = notes_on_shares(estimate, resources.num_gpus, resources.workers_per_trial)
        for line in (describe_estimate(estimate)[0], *describe_devices(estimate), *shares):
            opened.progress.note(line)
        opened.progress.expect(estimate.forecast)
