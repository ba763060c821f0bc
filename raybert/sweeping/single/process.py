"""A run in this process, which may be a user's own: a notebook, or a program with random numbers of its own."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch


@contextlib.contextmanager
def torch_as_it_was() -> Iterator[None]:
    """Restore torch's number of threads and random states at the end of a `with` block; a run sets its own."""
    threads = torch.get_num_threads()
    is_in_use = torch.cuda.is_initialized()  # type: ignore[no-untyped-call]
    devices = range(torch.cuda.device_count()) if is_in_use else ()
    with torch.random.fork_rng(devices=list(devices)):
        try:
            yield
        finally:
            torch.set_num_threads(threads)
