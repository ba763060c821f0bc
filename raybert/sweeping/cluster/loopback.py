"""A Ray that listens at this machine's own address (127.0.0.1) alone, as it does by default on macOS."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterator

from ray._private import ray_constants, services

_VARIABLE = ray_constants.ENABLE_RAY_CLUSTERS_ENV_VAR
"""Whether Ray's processes take the address by which other machines reach this one; each reads it on import."""
_SECONDS = 2.0
LOOPBACK = "127.0.0.1"


@contextlib.contextmanager
def this_machine_only() -> Iterator[None]:
    """Let a Ray that is started, or joined, in this block speak at 127.0.0.1: no other machine reaches its ports.

    Who sets the variable has said what he wants.
    """
    if os.environ.get(_VARIABLE):
        yield
        return
    before = ray_constants.ENABLE_RAY_CLUSTER
    os.environ[_VARIABLE], ray_constants.ENABLE_RAY_CLUSTER = "0", False
    try:
        yield
    finally:
        os.environ.pop(_VARIABLE, None)
        ray_constants.ENABLE_RAY_CLUSTER = before


def is_on_this_machine_only(address: str) -> bool:
    """Tell whether a cluster listens at 127.0.0.1 alone, in place of which Ray would ask this machine's other one."""
    host, _, port = address.rpartition(":")
    if host.strip("[]") not in (LOOPBACK, "localhost", "::1") or not port.isdigit():
        return False
    return _answers(LOOPBACK, int(port)) and not _answers(services.get_node_ip_address(), int(port))


def _answers(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), _SECONDS).close()
    except (OSError, OverflowError):
        return False
    return True
