"""A document of JSON on standard output, alone and whole."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import Any

from raybert.plain import hide


def print_json(document: Mapping[str, Any]) -> None:
    """Print a document; letters that would act on a terminal are escaped, passwords hidden.

    What the standard stream makes of text would change the marks of JSON, so it is written past that.
    """
    stream = getattr(sys.stdout, "unfiltered", sys.stdout)
    stream.write(json.dumps(_without_secrets(document), indent=1, allow_nan=False) + "\n")
    stream.flush()


def _without_secrets(value: Any) -> Any:
    if isinstance(value, str):
        return hide(value)
    if isinstance(value, Mapping):
        return {hide(str(key)): _without_secrets(part) for key, part in value.items()}
    return [_without_secrets(part) for part in value] if isinstance(value, list) else value
