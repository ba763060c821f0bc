"""The classes of a user's own in a strategy, and digests of their code."""

from __future__ import annotations

from collections.abc import Iterator

from raybert.config import Section
from raybert.config.own_code import is_own
from raybert.selection.strategy import Strategy


def own_classes(section: Section) -> Iterator[type[Strategy]]:
    """Yield the strategies and filters of a user's own in a strategy: itself, what is around it, what it asks."""
    if isinstance(section, Strategy) and is_own(type(section)):
        yield type(section)
    for key in type(section).model_fields:
        value = getattr(section, key)
        for part in value if isinstance(value, tuple | list) else (value,):
            if isinstance(part, Section):
                yield from own_classes(part)
