"""A heartbeat from the middle of long passes over examples, which no optimizer step interrupts."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextvars import ContextVar

_beat: ContextVar[Callable[[], object] | None] = ContextVar("raybert_pulse", default=None)


def pulse() -> None:
    """Tell whoever watches this thread that it is alive; must be called often, and costs next to nothing."""
    beat = _beat.get()
    if beat is not None:
        beat()


@contextlib.contextmanager
def heard_by(beat: Callable[[], object]) -> Iterator[None]:
    """Pass every `pulse()` of this thread to a function, for the length of a `with` block."""
    token = _beat.set(beat)
    try:
        yield
    finally:
        _beat.reset(token)
