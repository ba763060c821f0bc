"""Ray's own lines on standard error, which its C++ writes past `sys.stderr` and in the middle of a live view."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator
from typing import IO

from ray._private import worker

_LEVEL = "RAY_BACKEND_LOG_LEVEL"


@contextlib.contextmanager
def quiet_backend() -> Iterator[IO[bytes]]:
    """Let the C++ of a Ray that is started, or joined, in this block say only what ends the process.

    It writes errors that are none: Ray Data restarts its actors and gives them an argument from the object store, and
    of every such actor the driver warns (`core_worker.cc ... MapWorker ... max_restarts > 0`, Ray issue 53727). The
    level of its log is documented, and read once, while Ray starts; that it has been read is another line, which goes
    into the file that is yielded. Who sets `RAY_BACKEND_LOG_LEVEL` sees everything.
    """
    if os.environ.get(_LEVEL):
        with tempfile.TemporaryFile() as nothing:
            yield nothing
        return
    os.environ[_LEVEL] = "fatal"
    try:
        with cxx_lines_kept() as said:
            yield said
    finally:
        del os.environ[_LEVEL]


@contextlib.contextmanager
def errors_unsaid() -> Iterator[None]:
    """Let this process not print what Ray's other processes publish as errors, for the length of a `with` block.

    Of a raylet that dies it is half a page with the end of its log, from a thread, where raybert has a line of its own.
    There is no switch: `log_to_driver=False` is about what workers print. Who sets `RAY_BACKEND_LOG_LEVEL` sees it.
    """
    if os.environ.get(_LEVEL):
        yield
        return
    printed = worker.print_to_stdstream
    worker.print_to_stdstream = lambda *_, **__: None
    try:
        yield
    finally:
        worker.print_to_stdstream = printed


@contextlib.contextmanager
def cxx_lines_kept() -> Iterator[IO[bytes]]:
    """Send what is written to standard error by its number into a file, for the length of a short `with` block."""
    if sys.stderr is not None:
        sys.stderr.flush()
    kept = os.dup(2)
    try:
        with tempfile.TemporaryFile() as said:
            os.dup2(said.fileno(), 2)
            try:
                yield said
            finally:
                os.dup2(kept, 2)
    finally:
        os.close(kept)
