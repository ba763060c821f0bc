"""Objects of a user's own: those that a sweep file names as `module:attribute`, and those of installed packages.

A name that is imported is code that runs. So it is imported where a sweep file of the user's own is run, checked or
planned, and nowhere else: `importing` says how names are taken in a block, `RAYBERT_IMPORTS=0` refuses all of them, and
so does `--safe` for one command.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import os
import sys
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any, Literal, ParamSpec, TypeVar

from raybert.config.load import suggest
from raybert.errors import ConfigError

VARIABLE = "RAYBERT_IMPORTS"
Imports = Literal["all", "labels", "nothing"]
"""all: names are imported; labels: what they name is left out, its label is enough; nothing: a name is an error."""
_imports: ContextVar[Imports] = ContextVar("imports", default="all")
_is_safe: ContextVar[bool] = ContextVar("is_safe", default=False)
_OWN = "raybert."
P = ParamSpec("P")
R = TypeVar("R")


@contextlib.contextmanager
def importing(what: Imports) -> Iterator[None]:
    """Say how names of a user's own objects are taken in this block."""
    before = _imports.set(what)
    try:
        yield
    finally:
        _imports.reset(before)


def are_labels_enough() -> bool:
    """Tell whether nothing is imported here because the labels of things are enough: reports, checks."""
    return _imports.get() == "labels"


def takes_safe(command: Callable[P, R]) -> Callable[P, R]:
    """Let a command that is given `safe=True` run no code that its file names, nor any process that it begins."""

    @functools.wraps(command)
    def run(*arguments: P.args, **named: P.kwargs) -> R:
        if not named.get("safe"):
            return command(*arguments, **named)
        before, mark = os.environ.get(VARIABLE), _is_safe.set(True)
        os.environ[VARIABLE] = "0"  # workers inherit it
        try:
            return command(*arguments, **named)
        finally:
            _is_safe.reset(mark)
            del os.environ[VARIABLE]
            if before is not None:
                os.environ[VARIABLE] = before

    return run


def why_refused() -> str:
    """Return what forbids code that a file names, and how it is allowed, where `imports_are_refused`."""
    if _is_safe.get():
        return "--safe is given (Python: `safe=True`)"
    return f"{VARIABLE}=0 is set"


def imports_are_refused() -> bool:
    """Tell whether `RAYBERT_IMPORTS=0`, or `--safe`, forbids code that a file names.

    Raises:
        ConfigError: the variable is neither 0 nor 1.
    """
    value = os.environ.get(VARIABLE, "1")
    if value not in ("0", "1", ""):
        raise ConfigError(f"{VARIABLE}: must be 0 (no code that a file names is imported) or 1, got '{value}'")
    return value == "0"


def import_attribute(reference: str, path: str) -> Any:
    """Return what `module:attribute` names; modules in the working directory are found too.

    Args:
        reference: e.g. `my_package.losses:robust`.
        path: dotted path in the sweep file, for the error.

    Raises:
        ConfigError: the module cannot be imported, has no such attribute, or must not be imported.
    """
    module_name, _, attribute = reference.partition(":")
    if not module_name.startswith(_OWN):
        _check_allowed(reference, path)
        here = str(Path.cwd())
        if here not in sys.path:
            sys.path.append(here)  # last: no module of it takes the place of an installed one; Ray's workers inherit it
    try:
        module = importlib.import_module(module_name)
    except (ImportError, ValueError) as error:  # ValueError: of an empty name
        raise ConfigError(f"{path}: '{reference}': module cannot be imported: {error}") from None
    if not hasattr(module, attribute):
        raise ConfigError(f"{path}: '{reference}': the module has no '{attribute}'{suggest(attribute, vars(module))}")
    return getattr(module, attribute)


def loaded_attribute(reference: str) -> Any:
    """Return what `module:attribute` names if its module is loaded already, so that no code runs; else None."""
    module_name, _, attribute = reference.partition(":")
    module = sys.modules.get(module_name)
    return None if module is None else vars(module).get(attribute)


def _check_allowed(reference: str, path: str) -> None:
    """Refuse to import here.

    Raises:
        ConfigError: says why.
    """
    if imports_are_refused():
        remedy = "leave it out" if _is_safe.get() else "unset it"
        raise ConfigError(f"{path}: '{reference}' must not be imported: {why_refused()}; {remedy} to run its code")
    if _imports.get() != "all":
        raise ConfigError(f"{path}: '{reference}' must not be imported: it is named by results, which are only read")


def load_part(point: EntryPoint) -> Any:
    """Return what an entry point names.

    Raises:
        ConfigError: its package cannot be imported; every list of names needs it, so it must be repaired or go.
    """
    try:
        return point.load()
    except (ImportError, AttributeError) as error:
        package = point.dist.name if point.dist is not None else point.module
        raise ConfigError(
            f"{point.group}: '{point.value}' of the installed package '{package}' cannot be imported: {error}; repair "
            "or uninstall it"
        ) from None


@functools.cache
def installed_parts(group: str) -> tuple[EntryPoint, ...]:
    """Return what installed packages offer under a group of entry points.

    Read once a process: it opens a file of every installed package (measured: 0.05 s for 136 of them), and names are
    looked up hundreds of times in a sweep.
    """
    return tuple(entry_points(group=group))
