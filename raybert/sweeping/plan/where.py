"""Where a run is asked to be: on this machine, or on a cluster; known without importing Ray."""

from __future__ import annotations

import os
import sys

VARIABLE = "RAY_ADDRESS"
"""Names the cluster of a shell, or of a job: Ray sets it for the processes of jobs."""
LOCAL = "local"
"""The address of no cluster: Ray is started on this machine, whatever the environment says."""


def asked_address(address: str | None) -> str | None:
    """Return the cluster that is asked for: what is given, else what the environment names; None: this machine."""
    asked = os.environ.get(VARIABLE, "").strip() if address is None else address
    return None if asked in ("", LOCAL) and address != "" else asked


def is_here(address: str | None) -> bool:
    """Tell whether a run is asked to be on this machine, by a Ray of its own."""
    return asked_address(address) is None


def starts_here(address: str | None) -> bool:
    """Tell whether a Ray of its own would be started on this machine: a process that has one already uses that."""
    ray = sys.modules.get("ray")
    return is_here(address) and not (ray is not None and ray.is_initialized())


def environment_notes(address: str | None) -> tuple[str, ...]:
    """Return what who set `RAY_ADDRESS` should know of a run that names no cluster; asked before Ray is joined."""
    named = asked_address(None)
    if address is not None or named is None:
        return ()
    ray = sys.modules.get("ray")
    if ray is None or not ray.is_initialized():
        return (
            f"note: joins the Ray cluster at {named}, which {VARIABLE} names; --address local (Python: "
            "`address='local'`) starts Ray on this machine",
        )
    joined = ray.get_runtime_context().gcs_address
    if named in (joined, "auto"):
        return ()
    return (f"note: {VARIABLE}={named} is not followed: this process is connected to the Ray at {joined} already",)
