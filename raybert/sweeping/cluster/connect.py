"""Starting or joining a cluster."""

from __future__ import annotations

import json
import logging
import os
import signal
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import ray
from ray._private import ray_constants

from raybert.errors import ResourceError
from raybert.machine import check_address_space, count_cores
from raybert.sweeping import WORKER_ENVIRONMENT
from raybert.sweeping.cluster.address import check_address, check_is_joined
from raybert.sweeping.cluster.autoscaler import IS_HEAD, nodes_to_come
from raybert.sweeping.cluster.loopback import is_on_this_machine_only, this_machine_only
from raybert.sweeping.cluster.processes import deaf_to_sigterm, end_ray
from raybert.sweeping.cluster.quiet import errors_unsaid, quiet_backend
from raybert.sweeping.cluster.scratch import ray_scratch
from raybert.sweeping.cluster.token import check_token_file, forget_token, make_token
from raybert.sweeping.cluster.versions import check_raybert, refusal_of_ray
from raybert.sweeping.plan.placement import Cluster, check_resources, concurrent_trials
from raybert.sweeping.plan.where import VARIABLE, asked_address, is_here

__all__ = ["Cluster", "check_resources", "concurrent_trials", "connected", "describe_nodes"]

_JOB = "RAY_JOB_CONFIG_JSON_ENV_VAR"
_OF_OTHER_CLUSTERS = (VARIABLE, _JOB, "RAY_RUNTIME_ENV_HOOK")
"""Variables that a job or a shell has for another cluster; a Ray of its own would follow them."""
_STARTED: set[str] = set()
"""Addresses of the Rays that `connected` has started in this process, of which one lives at a time."""


@contextmanager
def connected(address: str | None, *, check_versions: bool = True) -> Iterator[Cluster]:
    """Start Ray on this machine, or join the cluster at `address`, for the length of a `with` block.

    A local Ray lives in a temporary folder that is deleted afterwards. Inside a process that is connected
    already, that connection is used and left alone.

    Args:
        address: `auto` or HOST:PORT; None: what `RAY_ADDRESS` names, else this machine; `local`: this machine.
        check_versions: refuse a cluster with nodes of another raybert; Ray itself refuses other versions of its own.

    Raises:
        ResourceError: no cluster answers at the address or it refuses us, this process is connected to another one,
            or Ray cannot be started here.
    """
    if ray.is_initialized():
        if address is not None:
            check_is_joined(address, sum(node["Alive"] for node in ray.nodes()))
        yield _describe(address)
        return
    _keep_uv_run_here()
    with ExitStack() as stack:
        stack.enter_context(errors_unsaid())
        asked = asked_address(address)
        if asked is None:
            scratch = stack.enter_context(ray_scratch())
            stack.callback(forget_token, scratch)
            stack.enter_context(this_machine_only())
            stack.callback(end_ray, scratch)
            _start(scratch)
            _STARTED.add(ray.get_runtime_context().gcs_address)
        else:
            if is_on_this_machine_only(asked):
                stack.enter_context(this_machine_only())
            check_address(asked)
            stack.callback(ray.shutdown)
            _join(asked)
            if check_versions:
                check_raybert(asked)
        for name in ("ray.tune", "ray.train"):
            logging.getLogger(name).setLevel(logging.CRITICAL)
        yield _describe(address)


def _start(scratch: Path) -> None:
    """Start Ray on this machine, for this user alone.

    Ray lets everybody write into its folder (0777): it lies in one that only this user may enter, beside its token.
    Its ports are those of this machine's own address, which no other machine reaches.

    Args:
        scratch: a new folder of mode 0700.

    Raises:
        ResourceError: it does not start; says why.
    """
    check_token_file()
    make_token(scratch)
    check_address_space(_space_of_ray(), "Ray, which maps its whole object store")
    try:
        with _apart_from_other_clusters(), _as_for_workers(), deaf_to_sigterm(), _ready():
            ray.init(
                address="local",
                num_cpus=count_cores(),
                include_dashboard=False,
                _temp_dir=str(scratch / "ray"),
                log_to_driver=False,
                logging_level="ERROR",
            )
    except Exception as error:  # Ray raises that very class where a loaded machine takes longer than 30 s
        raise ResourceError(
            f"Ray cannot be started on this machine: {_first_line(error)}; try again when it is less busy, and see "
            "what it lacks (memory, processes, files) with RAY_BACKEND_LOG_LEVEL=error"
        ) from error


def _join(address: str) -> None:
    """Join a cluster that answers.

    Raises:
        ResourceError: it cannot be joined; says why.
    """
    of_job = _environment_of_job()
    kept = {name: value for name, value in WORKER_ENVIRONMENT.items() if name not in of_job}
    environment: dict[str, Any] = {"env_vars": kept}
    try:
        with _ready():
            ray.init(address=address, runtime_env=environment, log_to_driver=False, logging_level="ERROR")
    except Exception as error:  # of any class, as above
        refused = refusal_of_ray(error)
        if refused is not None:
            raise ResourceError(f"address: the Ray cluster at {address} {refused}") from error
        raise ResourceError(
            f"address: the Ray cluster at {address} cannot be joined: {_first_line(error)} (a sweep is driven from "
            "one of its nodes, with the same versions of Ray and Python)"
        ) from error


@contextmanager
def _ready() -> Iterator[None]:
    """Keep the handlers of signals that a sweep has set, and Ray's processes from dying with the terminal.

    `ray.init` puts a handler of SIGTERM in the place of ours that exits at once. SIGHUP goes to all processes of a
    terminal that is lost: ignored while Ray's are started, it is ignored by them, so that trials can save.
    """
    is_main = threading.current_thread() is threading.main_thread()  # the others cannot set handlers
    ours = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)} if is_main else {}
    if is_main:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with quiet_backend():
            yield
    finally:
        for number, handler in ours.items():
            if callable(handler) or number == signal.SIGHUP:
                signal.signal(number, handler)


@contextmanager
def _apart_from_other_clusters() -> Iterator[None]:
    kept = {name: os.environ.pop(name) for name in _OF_OTHER_CLUSTERS if name in os.environ}
    try:
        yield
    finally:
        os.environ.update(kept)


@contextmanager
def _as_for_workers() -> Iterator[None]:
    """Let the processes that are begun in a `with` block inherit what workers need, and this one keep what it has."""
    added = {name: value for name, value in WORKER_ENVIRONMENT.items() if name not in os.environ}
    os.environ.update(added)
    try:
        yield
    finally:
        for name in added:
            os.environ.pop(name, None)


def _space_of_ray() -> float:
    """Return the address space that Ray's processes need: their own, and that of the object store."""
    store: float = psutil.virtual_memory().total * ray_constants.DEFAULT_OBJECT_STORE_MEMORY_PROPORTION
    return store + 6 * 2**30


def _keep_uv_run_here() -> None:
    """Let `uv run` not be repeated in every worker, also where Ray was imported before raybert set its environment."""
    if os.environ["RAY_ENABLE_UV_RUN_RUNTIME_ENV"] == "0":
        ray_constants.RAY_ENABLE_UV_RUN_RUNTIME_ENV = False


def _first_line(error: BaseException) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)


def _environment_of_job() -> frozenset[str]:
    """Return the variables that a Ray job sets for its workers: Ray refuses to be given another value of one."""
    text = os.environ.get(_JOB, "{}")
    try:
        return frozenset(json.loads(text)["runtime_env"]["env_vars"])
    except (ValueError, KeyError, TypeError):
        return frozenset()


def describe_nodes(nodes: Sequence[Mapping[str, Any]], *, joins: bool) -> Cluster:
    """Return the cluster of some nodes.

    Args:
        nodes: as `ray.nodes` has them; those that have left do not count.
        joins: whether it is one that was there; its autoscaler may start further nodes.
    """
    alive = [node for node in nodes if node["Alive"]]
    here = ray.get_runtime_context().get_node_id()
    resources = tuple(dict(node["Resources"]) for node in alive)
    is_on_head = any(node["NodeID"] == here and IS_HEAD in node["Resources"] for node in alive)
    to_come = nodes_to_come(resources) if joins and is_on_head else ()
    is_local = [node["NodeID"] for node in alive] == [here] and not to_come
    return Cluster.of_nodes(resources, is_local=is_local, to_come=to_come)


def _describe(address: str | None) -> Cluster:
    cluster = describe_nodes(ray.nodes(), joins=not is_here(address))
    gcs = ray.get_runtime_context().gcs_address
    if gcs in _STARTED:
        return cluster
    named_by = "the process" if is_here(address) else VARIABLE if address is None else "address"
    return replace(cluster, address=gcs, named_by=named_by)
