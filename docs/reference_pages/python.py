"""The page of the Python interface: a directive of autodoc for everything in `raybert.__all__`."""

from __future__ import annotations

import inspect
from importlib import import_module

import raybert
from reference_pages.markdown import page

MODULES = ("losses", "metrics", "folds")
INTRODUCTION = """
Everything that `import raybert` offers. How to use it: [Use raybert from Python](../how-to/python.md).
"""


def python_page() -> str:
    """Return the functions, those of modules, then the classes, then the errors."""
    found = {name: getattr(raybert, name) for name in raybert.__all__ if not name.startswith("__")}
    errors = [name for name, thing in found.items() if inspect.isclass(thing) and issubclass(thing, BaseException)]
    classes = [name for name, thing in found.items() if inspect.isclass(thing) and name not in errors]
    functions = [name for name in found if name not in (*errors, *classes)]
    return page(
        "Python",
        INTRODUCTION,
        "## Functions",
        *(_directive("autofunction", name) for name in functions),
        *(part for name in MODULES for part in _module(name)),
        "## Classes",
        *(_directive("autoclass", name, *_members(found[name])) for name in classes),
        "## Errors",
        *(_directive("autoexception", name, ":show-inheritance:") for name in errors),
    )


def _members(thing: type) -> list[str]:
    """Return what a class shows: members of its own, and those of a half that is no class of the package's face."""
    halves = [base for base in thing.__mro__[1:] if base.__module__.startswith("raybert.analysis.results")]
    return [":members:", *([":inherited-members: object"] if halves else [])]


def _module(name: str) -> list[str]:
    """Return the section of a module that is public as a whole: its functions."""
    module = import_module(f"raybert.{name}")
    functions = [_directive("autofunction", f"{name}.{function}") for function in module.__all__]
    return [f"## raybert.{name}", inspect.getdoc(module) or "", *functions]


def _directive(kind: str, name: str, *options: str) -> str:
    lines = [f".. {kind}:: raybert.{name}", *(f"   {option}" for option in options)]
    return "```{eval-rst}\n" + "\n".join(lines) + "\n```"
