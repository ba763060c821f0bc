"""Whether a node can use an object store as a sweep does: write an object, read, list and delete it."""

from __future__ import annotations

import time
import uuid

from raybert.errors import StorageError
from raybert.storage import open_store
from raybert.sweeping.doctor.finding import Finding

_CONTENT = b"written by raybert doctor, and removed at once"


def try_store(url: str) -> tuple[float, str]:
    """Return the seconds that it took, and what is in the way, in one line; empty: nothing is. Runs on a node."""
    store, name = open_store(url, tries=1), f"doctor-{uuid.uuid4().hex}"
    started = time.monotonic()
    try:
        store.put_bytes(name, _CONTENT)
        content, is_listed = store.get_bytes(name), name in store.list()
        store.delete(name)
    except StorageError as error:
        return time.monotonic() - started, str(error)
    seconds = time.monotonic() - started
    if content != _CONTENT or not is_listed:
        return seconds, f"{url}: must show what was just written, but does not; it cannot hold results"
    return seconds, ""


def judge_store(host: str, url: str, tried: tuple[float, str], *, is_driver: bool) -> Finding:
    """Return what to say of it: the driver publishes for all nodes, so the others may do without.

    Args:
        host: of the node.
        url: of the place of results.
        tried: what `try_store` returned there.
        is_driver: whether a sweep that is begun here would be driven from it.
    """
    seconds, problem = tried
    if not problem:
        return Finding("storage", host, "ok", f"{url} can be written, read, listed and deleted in ({seconds:.1f} s)")
    text, _, remedy = problem.partition("; ")
    if is_driver:
        return Finding("storage", host, "failure", text, remedy)
    return Finding(
        "storage", host, "warning", f"{text}: no sweep can be driven from here", "runs need none: the driver publishes"
    )
