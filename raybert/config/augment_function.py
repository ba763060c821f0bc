"""Functions of a user's own that change examples: found by name, and checked before anything calls them."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from raybert.config.augment import KEY
from raybert.config.imports import import_attribute
from raybert.errors import ConfigError


def own_function(name: str) -> Callable[..., Any]:
    """Return the function that `module:function` names.

    Raises:
        ConfigError: it cannot be imported, or cannot be called with three arguments.
    """
    function = import_attribute(name, KEY)
    rule = f"{KEY}: '{name}' must be a function (text, label, generator) -> text"
    if not callable(function):
        raise ConfigError(f"{rule}, got {described(function)}")
    try:
        inspect.signature(function).bind("", 0, None)
    except TypeError as error:
        raise ConfigError(f"{rule}: {error}") from None
    except ValueError:  # of C, which tells no signature
        pass
    found: Callable[..., Any] = function
    return found


def described(value: Any) -> str:
    """Return of what kind a value is, for messages."""
    if isinstance(value, (tuple, list)):
        return f"{type(value).__name__} of {len(value)}"
    return "None" if value is None else type(value).__name__
