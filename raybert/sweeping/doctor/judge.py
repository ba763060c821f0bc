"""What the facts of nodes mean for a sweep: pure rules, from facts to findings."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from raybert.sweeping.doctor.finding import Finding, Status
from raybert.sweeping.doctor.node import NodeFacts

GIB = 2**30
_MUST_BE_EQUAL = ("python", "raybert", "ray")
"""A node of other versions cannot unpickle what the driver sends, or trains by other rules."""
_FEWEST_FILES, _FILES = 1024, 4096
_LITTLE_MEMORY, _MEMORY = 1 * GIB, 4 * GIB
_LITTLE_DISK, _DISK = 1 * GIB, 10 * GIB
_SKEW, _MUCH_SKEW = 2.0, 60.0
"""Seconds between two clocks: heartbeats and leases of other hosts are told by the file system's times."""


def judge_versions(nodes: Iterable[NodeFacts], driver: NodeFacts) -> Iterator[Finding]:
    """Yield what versions there are, and where a node has others than the driver."""
    names = ", ".join(f"{name} {version}" for name, version in driver.versions.items() if version is not None)
    missing = [name for name in ("ray", "torch", "transformers") if driver.versions.get(name) is None]
    if missing:
        yield Finding("versions", driver.host, "failure", f"lacks {', '.join(missing)}", "install raybert with pip")
    else:
        yield Finding("versions", driver.host, "ok", names)
    for facts in nodes:
        differing = {
            name: f"{name} {facts.versions.get(name)} in place of {version}"
            for name, version in driver.versions.items()
            if facts.versions.get(name) != version
        }
        if differing:
            status: Status = "failure" if set(differing) & set(_MUST_BE_EQUAL) else "warning"
            yield Finding(
                "versions", facts.host, status, ", ".join(differing.values()), "install the driver's versions there"
            )
        elif facts.host != driver.host:
            yield Finding("versions", facts.host, "ok", "those of the driver")


def judge_node(facts: NodeFacts, resources: Mapping[str, float], skew_seconds: float) -> Iterator[Finding]:
    """Yield what a node has, in the order of the page of the docs.

    Args:
        facts: what it says of itself.
        resources: what Ray says that it has.
        skew_seconds: of its clock, from the driver's, at least.
    """
    host = facts.host
    yield _cpus(facts, resources.get("CPU", 0.0))
    yield _of_size(
        "memory",
        host,
        facts.available_bytes,
        _LITTLE_MEMORY,
        _MEMORY,
        f"{_gib(facts.available_bytes)} of {_gib(facts.memory_bytes)} can be had",
        "end what uses it, or run fewer trials at once (resources.cpus_per_worker)",
    )
    yield _shared_memory(facts, resources.get("object_store_memory", 0.0))
    yield _gpus(facts, resources.get("GPU", 0.0))
    for place in facts.places:
        if place.free_bytes is None:
            remedy = "mount storage that all nodes see there, or name another folder"
            yield Finding("disk", host, "failure", f"{place.what}: {place.path} is not there", remedy)
        else:
            text = f"{place.what}: {_gib(place.free_bytes)} free in {place.path}"
            yield _of_size("disk", host, place.free_bytes, _LITTLE_DISK, _DISK, text, "make room, or name another disk")
    yield _of_size(
        "open files",
        host,
        facts.open_files,
        _FEWEST_FILES,
        _FILES,
        f"limit {facts.open_files:,}" if facts.open_files < 2**31 else "no limit",
        f"raise it: ulimit -n {_FILES * 4}",
    )
    names = ", ".join(facts.proxies)
    yield Finding("proxies", host, "ok", f"{names} set: for the hub, not between nodes" if names else "none")
    yield _clock(host, skew_seconds)


def _cpus(facts: NodeFacts, of_ray: float) -> Finding:
    seen, usable = facts.cpus_seen, facts.cpus_usable
    text = (
        f"{usable} to use"
        + (f" of {seen} (quota, affinity or SLURM)" if usable < seen else "")
        + f", {of_ray:g} in Ray"
    )
    if of_ray > usable:
        remedy = f"start Ray there by `ray start ... --num-cpus {usable}`: trials would wait for each other"
        return Finding("CPUs", facts.host, "warning", text, remedy)
    return Finding("CPUs", facts.host, "ok", text)


def _shared_memory(facts: NodeFacts, store: float) -> Finding:
    text = f"object store {_gib(store)}, /dev/shm " + ("-" if facts.shm_bytes is None else _gib(facts.shm_bytes))
    if facts.shm_bytes is not None and facts.shm_bytes < store:
        remedy = "give the container more (`docker run --shm-size 4g`): shared objects are on disk, and slower"
        return Finding("shared memory", facts.host, "warning", text, remedy)
    return Finding("shared memory", facts.host, "ok", text)


def _gpus(facts: NodeFacts, of_ray: float) -> Finding:
    if not facts.gpus:
        if of_ray:
            text = f"{of_ray:g} in Ray, and nvidia-smi sees none"
            remedy = "install the driver, or start the container by `docker run --gpus all`"
            return Finding("GPUs", facts.host, "warning", text, remedy)
        return Finding("GPUs", facts.host, "ok", "none")
    text = "; ".join(facts.gpus)
    if of_ray < len(facts.gpus):
        text += f" ({of_ray:g} in Ray)"
        return Finding(
            "GPUs", facts.host, "warning", text, "let Ray have them: CUDA_VISIBLE_DEVICES, `ray start --num-gpus`"
        )
    return Finding("GPUs", facts.host, "ok", text)


def _clock(host: str, skew: float) -> Finding:
    remedy = "let it follow a time server (chrony, systemd-timesyncd)"
    if skew < _SKEW:
        return Finding("clock", host, "ok", "as the driver's")
    status: Status = "failure" if skew >= _MUCH_SKEW else "warning"
    return Finding("clock", host, status, f"{skew:,.1f} s from the driver's", remedy)


def _of_size(check: str, host: str, size: float, little: float, enough: float, text: str, remedy: str) -> Finding:
    """Return whether there is enough of something: below `little` is a failure."""
    if size >= enough:
        return Finding(check, host, "ok", text)
    return Finding(check, host, "failure" if size < little else "warning", text, remedy)


def _gib(size: float) -> str:
    return f"{size / GIB:.1f} GiB"
