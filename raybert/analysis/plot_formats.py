"""In which formats plots are written, known to all that draw (without matplotlib, which is slow to import)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Literal

from raybert.config import load_stored_config

Format = Literal["png", "svg"]
FORMATS: tuple[Format, ...] = ("png", "svg")
_wanted: ContextVar[Sequence[Format]] = ContextVar("formats of plots", default=FORMATS)


@contextmanager
def in_formats(formats: Sequence[Format]) -> Iterator[None]:
    """Let `save_figure` write these formats: `sweep.plots`, which a dozen drawers would have to hand on."""
    token = _wanted.set(formats)
    try:
        yield
    finally:
        _wanted.reset(token)


def formats_of(folder: Path | None) -> Sequence[Format]:
    """Return `sweep.plots` of a results folder; all formats of a model alone, and of a folder without its file."""
    path = folder / "resolved.yaml" if folder is not None else None
    return load_stored_config(path).sweep.plots if path is not None and path.is_file() else FORMATS


def wanted_formats() -> Sequence[Format]:
    """Return the formats that are asked for here."""
    return _wanted.get()
