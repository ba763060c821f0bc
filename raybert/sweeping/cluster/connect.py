"""Starting or joining a cluster."""

from __future__ import annotations

import logging
import shutil
import signal
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ray

from raybert.errors import ResourceError
from raybert.sweeping import ENVIRONMENT
from raybert.sweeping.plan.placement import Cluster, check_resources, concurrent_trials, count_cores

__all__ = ["Cluster", "check_resources", "concurrent_trials", "connected", "starts_here"]


@contextmanager
def connected(address: str | None) -> Iterator[Cluster]:
    """Start Ray on this machine, or join the cluster at `address`, for the length of a `with` block.

    A local Ray lives in a temporary folder that is deleted afterwards. Inside a process that is connected
    already, that connection is used and left alone.

    Raises:
        ResourceError: no cluster answers at the address.
    """
    if ray.is_initialized():
        yield _describe()
        return
    scratch = Path(tempfile.mkdtemp(prefix="raybert-", dir=_short_temporary_folder())) if address is None else None
    try:
        _start(address, scratch)
        yield _describe()
    finally:
        ray.shutdown()
        if scratch is not None:
            shutil.rmtree(scratch, ignore_errors=True)


def starts_here(address: str | None) -> bool:
    """Tell whether `connected` would start a Ray of its own on this machine."""
    return address is None and not ray.is_initialized()


def _start(address: str | None, scratch: Path | None) -> None:
    common: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
    with _handler_of_sigterm_kept():
        if address is None:
            ray.init(num_cpus=count_cores(), include_dashboard=False, _temp_dir=str(scratch), **common)
        else:
            try:
                ray.init(address=address, runtime_env={"env_vars": dict(ENVIRONMENT)}, **common)
            except (ConnectionError, ValueError) as error:
                raise ResourceError(f"address {address}: no Ray cluster answers there: {error}") from None
    for name in ("ray.tune", "ray.train"):
        logging.getLogger(name).setLevel(logging.CRITICAL)


@contextmanager
def _handler_of_sigterm_kept() -> Iterator[None]:
    """Keep the handler that a sweep has set: `ray.init` puts one in its place that exits at once."""
    ours = signal.getsignal(signal.SIGTERM)
    yield
    if callable(ours) and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, ours)


def _describe() -> Cluster:
    alive = [node for node in ray.nodes() if node["Alive"]]
    is_local = [node["NodeID"] for node in alive] == [ray.get_runtime_context().get_node_id()]
    return Cluster.of_nodes(tuple(dict(node["Resources"]) for node in alive), is_local=is_local)


def _short_temporary_folder() -> str | None:
    """Return /tmp where it is: Ray's socket paths have a limit of 107 bytes that deep folders break."""
    return "/tmp" if Path("/tmp").is_dir() else None
