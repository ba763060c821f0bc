"""The Python files of installed packages, parsed and never imported, for the corpora that are made of docstrings."""

from __future__ import annotations

import ast
import gc
import importlib.util
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from raybert.errors import DataError

_SKIPPED_FOLDERS = frozenset({"tests", "test", "testing", "_tests", "externals", "_externals", "_vendor"})
_Definition = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


def parsed_files(folder: Path) -> Iterator[tuple[Path, ast.Module]]:
    """Yield the files of a package and their trees, by path, but for tests and for what it only ships of others."""
    for path in sorted(folder.rglob("*.py")):
        parts = path.relative_to(folder.parent).with_suffix("").parts
        if _SKIPPED_FOLDERS.intersection(parts) or path.name.startswith("test_"):
            continue
        try:
            yield path, ast.parse(path.read_bytes())
        except (SyntaxError, ValueError):  # templates, and files for a newer Python
            continue


def definitions(node: ast.AST) -> Iterator[ast.AST]:
    """Yield functions and classes at any depth, by line; expressions, which hold none, are not entered."""
    for block in ("body", "cases", "handlers", "orelse", "finalbody"):
        for child in getattr(node, block, ()):
            if isinstance(child, _Definition):
                yield child
            yield from definitions(child)


@contextmanager
def fast_parsing() -> Iterator[None]:
    """Switch the cyclic garbage collector off: it walks the growing trees again and again, for nothing."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # invalid escapes in other people's files
            yield
    finally:
        if was_enabled:
            gc.enable()


def package_folder(name: str) -> Path:
    """Return the folder of an installed package.

    Raises:
        DataError: it is not installed, or not as files.
    """
    spec = importlib.util.find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        raise DataError(f"data.source: the files of installed package '{name}' cannot be found")
    return Path(next(iter(spec.submodule_search_locations)))
