"""How the workers of a run find each other: over a port of their own node's address, which rank 0 opens for them."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import psutil
import ray
from ray.train.torch import TorchConfig
from torch import distributed
from torch.distributed import TCPStore  # type: ignore[attr-defined]  # of C++

_INTERFACES = ("GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME")
_LOOPBACK = "127.0.0.1"
_kept: list[TCPStore] = []
"""The store of rank 0: it lives as long as the process, or the next run's takes its place."""


@dataclass
class OwnAddressConfig(TorchConfig):  # type: ignore[misc]  # of Ray, as Any
    """Torch's process group, whose ports are those of the address that Ray itself uses.

    Ray lets torch open them: it then listens at every address of the machine, a public one among them.
    """

    @property
    def backend_cls(self) -> Any:
        return _OwnAddressBackend


class _OwnAddressBackend(TorchConfig().backend_cls):  # type: ignore[misc]  # Ray's own, which types as Any
    def on_start(self, worker_group: Any, backend_config: TorchConfig) -> None:
        share = worker_group.get_resources_per_worker().get("GPU", 0)
        # NCCL refuses two workers on one GPU, as those may be that have a fraction of one each.
        backend = backend_config.backend or ("nccl" if share >= 1 else "gloo")
        host, port = worker_group.execute_single(0, _open_store)
        size = len(worker_group)
        ray.get(
            [
                worker_group.execute_single_async(
                    rank, _join, host, port, backend, rank, size, backend_config.timeout_s
                )
                for rank in range(size)
            ]
        )


def _open_store() -> tuple[str, int]:
    """Open the store by which the workers find each other, on rank 0; return where."""
    host = ray.util.get_node_ip_address()
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.create_server((host, 0), family=family, backlog=1024)
    port = listening.getsockname()[1]
    store = TCPStore(host, port, is_master=True, wait_for_workers=False, master_listen_fd=listening.detach())
    _kept[:] = [store]
    return host, port


def _join(host: str, port: int, backend: str, rank: int, size: int, timeout_seconds: int) -> None:
    """Make a worker one of a group."""
    if host == _LOOPBACK:
        for name in _INTERFACES:
            os.environ.setdefault(name, _loopback())
    timeout = timedelta(seconds=timeout_seconds)
    store = TCPStore(host, port, is_master=False, wait_for_workers=False, timeout=timeout)
    distributed.init_process_group(backend, store=store, rank=rank, world_size=size, timeout=timeout)


def _loopback() -> str:
    """Return what the interface of this machine's own address is called here: `lo`, or `lo0` on macOS."""
    found = (name for name, parts in psutil.net_if_addrs().items() if any(part.address == _LOOPBACK for part in parts))
    return next(found, "lo")
