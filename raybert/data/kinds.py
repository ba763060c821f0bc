"""What `data.source` stands for, by its name alone; imports nothing that takes time."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from raybert.config import DataConfig
from raybert.data.formats import format_of
from raybert.data.label_columns import label_columns
from raybert.errors import DataError

BUILT_IN = ("docstrings",)
_HUB_ID = re.compile(r"[\w.-]+(/[\w.-]+)?")
_KEY = re.compile(r"\bdata\.(source|config|revision|text_pair|text|label)\b")
_COLUMNS = ("text", "text_pair", "label", "id", "group")


def columns_of(config: DataConfig) -> dict[str, str]:
    """Return key of the `data` section -> name of the column it asks for."""
    found: dict[str, str] = {}
    for key in _COLUMNS:
        column = getattr(config, key)
        if isinstance(column, tuple):
            found |= label_columns(column)
        elif column is not None:
            found[key] = column
    return found


@contextlib.contextmanager
def naming_extra_test(name: str) -> Iterator[None]:
    """Let errors about a source and its columns name the key of a further test set (`data.extra_tests`)."""
    try:
        yield
    except DataError as error:
        raise DataError(_KEY.sub(rf"data.extra_tests.{name}.\1", str(error))) from None


def source_kind(source: str) -> Literal["built-in", "local", "hub"]:
    """Return what a source's name stands for.

    A built-in name wins; then whatever exists on disk or looks like a path (starts with `.`, `~` or a
    separator, or ends like a data file) is local; what is left must have the form of a hub id.

    Raises:
        DataError: none of the three.
    """
    if source in BUILT_IN:
        return "built-in"
    looks_local = source.startswith((".", "~", os.sep)) or _looks_like_file(source)
    if looks_local or Path(source).expanduser().exists() or source.count("/") > 1:
        return "local" if "://" not in source else _refuse(source)
    return "hub" if _HUB_ID.fullmatch(source) else _refuse(source)


def _refuse(source: str) -> Literal["hub"]:
    raise DataError(
        f"data.source: must be a built-in corpus ({', '.join(BUILT_IN)}), a local path, or a hub id, got '{source}'"
    )


def _looks_like_file(name: str) -> bool:
    """Tell whether a name ends as a file of data does."""
    return format_of(Path(name)).is_data
