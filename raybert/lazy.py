"""Names that a module finds when they are asked for: heavy ones, for which no list need wait, and old ones."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any

from raybert.errors import RenamedWarning


def names_on_first_use(
    package: str, homes: Mapping[str, Sequence[str]], modules: Sequence[str] = ()
) -> Callable[[str], Any]:
    """Return the `__getattr__` (PEP 562) of a package whose public names live in modules that are slow to import.

    The package imports the same names `if TYPE_CHECKING`, so that editors and mypy see where they come from. A name
    must not be that of a module of the package: importing the module would put it in the name's place.

    Args:
        package: `__name__` of the package.
        homes: module -> the names that it has.
        modules: of the package, which are public as a whole.
    """
    home_of = {name: home for home, names in homes.items() for name in names}

    def find(name: str) -> Any:
        if name in modules:
            return import_module(f"{package}.{name}")
        if name not in home_of:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = getattr(import_module(home_of[name]), name)
        setattr(sys.modules[package], name, value)  # from now on it is found without a question
        return value

    return find


def old_names(module: str, renamed: Mapping[str, str]) -> Callable[[str], Any]:
    """Return the `__getattr__` of a module whose names were others in raybert 0.1, which a warning says.

    Args:
        module: `__name__` of the module.
        renamed: old name -> `module:name` of today.
    """

    def find(name: str) -> Any:
        if name not in renamed:
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        home, _, new = renamed[name].partition(":")
        warn_of_old_name(f"{module}.{name}", f"{home}.{new}")
        return getattr(import_module(home), new)

    return find


def warn_of_old_name(old: str, new: str) -> None:
    """Say to the caller of the caller that a name of raybert 0.1 is another one now."""
    note = f"{old} is called {new} now; the old name is accepted until the next release"
    warnings.warn(note, RenamedWarning, stacklevel=3)
