"""Datasets of the Hugging Face hub, through `datasets`."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any

from raybert.config import DataConfig
from raybert.data.arrow_files import tables_of_datasets
from raybert.data.raw import RawTable
from raybert.errors import DataError


def read_hub(config: DataConfig, wanted: Mapping[str, str], built_in: tuple[str, ...]) -> dict[str, RawTable]:
    """Return the tables of a hub dataset, from the local cache of `datasets` if it is there.

    Args:
        config: source, subset and revision.
        wanted: key of the `data` section -> name of the column it asks for.
        built_in: names of built-in corpora, for the hint when a name is misspelt.

    Raises:
        DataError: not reachable, not found, or without a train split or a wanted column.
    """
    return tables_of_datasets(load_hub(config, built_in), wanted, (), f"hub dataset '{config.source}'")


def load_hub(config: DataConfig, built_in: tuple[str, ...]) -> Mapping[str, Any]:
    """Return the parts of a hub dataset, from the local cache of `datasets` if it is there.

    Raises:
        DataError: not reachable, or not found.
    """
    try:
        import datasets
    except ImportError:
        raise DataError(
            f"data.source: hub dataset '{config.source}' needs the package `datasets`; install it or name a local path"
        ) from None
    try:
        return dict(datasets.load_dataset(config.source, config.config, revision=config.revision))
    except (ConnectionError, OSError, ValueError, RuntimeError) as error:
        raise DataError(_explain(config, error, built_in)) from None


def _explain(config: DataConfig, error: Exception, built_in: tuple[str, ...]) -> str:
    """Return one line for what `datasets` and the hub's client raise in many ways."""
    first_line = (str(error).strip().splitlines() or [type(error).__name__])[0]
    if isinstance(error, ValueError) and "onfig" in str(
        error
    ):  # "Config name is missing", "BuilderConfig .. not found"
        options = str(error)[str(error).find("[") :].split("]")[0].strip("[]").replace("'", "")
        got = f"'{config.config}'" if config.config else "none"
        return f"data.config: hub dataset '{config.source}' has the configurations {options}, got {got}"
    near = difflib.get_close_matches(config.source, built_in, n=1)
    hint = f"; did you mean the built-in '{near[0]}'?" if near else ""
    if "doesn't exist" in first_line or "not found" in first_line.lower():
        return f"data.source: no hub dataset, file or folder '{config.source}'{hint}"
    if isinstance(error, (ConnectionError, OSError)):
        return (
            f"data.source: hub dataset '{config.source}' is not on this machine and the hub cannot be reached"
            f"{hint}; download it first where there is network (`datasets.load_dataset('{config.source}')` "
            "keeps it in its cache), or name a local file"
        )
    return f"data.source: hub dataset '{config.source}' cannot be loaded: {first_line}"
