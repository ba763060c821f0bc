"""Digests of a user's own code, by which a sweep sees that a strategy, loss or signal is not what it was.

A digest covers a definition and all that it can reach by name in the user's own files: what stands beside it in the
same module, and what it imports from the same package or folder. Another strategy in the file may change without it.
"""

from __future__ import annotations

import ast
import contextlib
import hashlib
import importlib.util
import inspect
import sys
import sysconfig
import textwrap
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any
from weakref import WeakKeyDictionary

_RAYBERT = "raybert"
_DEFINITIONS = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
_SOURCES: WeakKeyDictionary[ModuleType, _Source | None] = WeakKeyDictionary()
_DIGESTS: WeakKeyDictionary[ModuleType, dict[str, str]] = WeakKeyDictionary()
"""Of what has been imported, by name: every run of a sweep asks for them again."""


def is_own(kind: type) -> bool:
    """Tell whether a class is a user's own, not raybert's."""
    return kind.__module__.partition(".")[0] != _RAYBERT


def code_digest(own: Any, reference: str = "") -> str | None:
    """Return 16 hex digits of the code that a user's class, function or object runs; None: it cannot be read.

    Comments, docstrings and layout do not count. In a notebook, where there is no file to read, it is the source of
    the class or function alone. The first answer about a module stays: what a process has imported does not change
    with the file.

    Args:
        own: the class, function or object.
        reference: `module:attribute` by which it was found; default: where it was defined.
    """
    if not reference:
        kind = own if hasattr(own, "__qualname__") else type(own)
        reference = f"{kind.__module__}:{kind.__qualname__}"
    module, _, path = reference.partition(":")
    name = path.split(".")[0]
    source = _source_of(module)
    if source is None or module.partition(".")[0] in sys.stdlib_module_names:
        return _digest_of_own_source(own)
    known = _DIGESTS.setdefault(sys.modules[module], {}) if module in sys.modules else {}
    if name not in known:
        parts = sorted(_reached(module, name if name in source.bindings else None, _place_of(module, source.path)))
        known[name] = hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]
    return known[name]


def library_digest(own: Any, reference: str) -> str | None:
    """Return 16 hex digits of what a function of an installed library is: its own source and the library's version.

    All that it reaches would be most of a library such as scikit-learn (measured: a minute).

    Args:
        own: the function.
        reference: `module:attribute` by which it was found.

    Returns:
        None: it is of no installed library.
    """
    module = reference.partition(":")[0]
    origin = _origin(module)
    if origin is None or not any(origin.is_relative_to(folder) for folder in _library_folders()):
        return None
    version = getattr(sys.modules.get(module.partition(".")[0]), "__version__", "")
    return hashlib.sha256(f"{version}\n{_digest_of_own_source(own)}".encode()).hexdigest()[:16]


def files_of_module(module: str) -> tuple[Path, tuple[Path, ...]]:
    """Return the folder that a user's own module is found in, and its files: it, and what it imports from there.

    Files of the packages that lead to one (`__init__.py`) are among them, and these alone are run.

    Returns:
        No files: there is no such module, or it is installed.
    """
    origin = _origin(module)
    if origin is None or any(origin.is_relative_to(folder) for folder in _library_folders()):
        return Path(), ()
    place = _place_of(module, origin)
    found: dict[Path, None] = {}
    waiting, known = [module], set()
    while waiting:
        name = waiting.pop()
        path = _origin(name) if name not in known and name.partition(".")[0] != _RAYBERT else None
        known.add(name)
        if path is None or not _is_in(path, place):
            continue
        found[path] = None
        above = (folder / "__init__.py" for folder in path.parents if folder != place and folder.is_relative_to(place))
        found.update(dict.fromkeys(one for one in above if one.is_file()))
        source = _parse(path)
        package = name if path.name == "__init__.py" else name.rpartition(".")[0]
        for statement in () if source is None else ast.walk(ast.parse(path.read_bytes())):
            if isinstance(statement, ast.Import | ast.ImportFrom):
                waiting += [imported for imported, _ in _imported(statement, package)]
    return place, tuple(found)


def _digest_of_own_source(own: Any) -> str | None:
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(own)))
    except (OSError, TypeError, SyntaxError):
        return None
    return hashlib.sha256("\n".join(_unparsed(statement) for statement in tree.body).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class _Source:
    """The statements of a module.

    Attributes:
        path: of its file.
        bindings: name -> the statements that define it.
        always: statements that define no name, but are run.
    """

    path: Path
    bindings: dict[str, list[ast.stmt]]
    always: list[ast.stmt]


def _source_of(module: str) -> _Source | None:
    """Return the statements of a module; None: it has no file of Python that can be read."""
    imported = sys.modules.get(module)
    if imported is None or module == "__main__":
        path = None if module == "__main__" else _origin(module)
        return None if path is None else _parse(path)
    if imported not in _SOURCES:
        path = _origin(module)
        _SOURCES[imported] = None if path is None else _parse(path)
    return _SOURCES[imported]


def _origin(module: str) -> Path | None:
    """Return the file of a module, imported already or not; None: there is none that holds Python."""
    path = getattr(sys.modules.get(module), "__file__", None)
    if module not in sys.modules:
        with contextlib.suppress(ImportError, ValueError, AttributeError):
            spec = importlib.util.find_spec(module)
            path = None if spec is None else spec.origin
    return Path(path).resolve() if path and path.endswith(".py") and Path(path).is_file() else None


def _parse(path: Path) -> _Source | None:
    try:
        tree = ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return None
    bindings: dict[str, list[ast.stmt]] = defaultdict(list)
    always = []
    for statement in tree.body:
        names = set(_bound(statement))
        if not names and not _is_text(statement):
            always.append(statement)
        for name in names:
            bindings[name].append(statement)
    return _Source(path, dict(bindings), always)


def _bound(statement: ast.stmt) -> Iterator[str]:
    """Yield the names that a statement at the top of a module defines."""
    if isinstance(statement, _DEFINITIONS):
        yield statement.name
        return
    for node in ast.walk(statement):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif isinstance(node, _DEFINITIONS):
            yield node.name
        elif isinstance(node, ast.Import | ast.ImportFrom):
            yield from ((alias.asname or alias.name.split(".")[0]) for alias in node.names if alias.name != "*")


def _reached(module: str, name: str | None, place: Path) -> Iterator[str]:
    """Yield the code that a definition reaches, every statement once; raybert's own is left out.

    Args:
        module: of the definition.
        name: of the definition; None: all of the module.
        place: folder of the modules that are followed.
    """
    known: set[tuple[str, str | None]] = set()
    done: set[ast.stmt] = set()
    waiting: list[tuple[str, str | None]] = [(module, name)]
    while waiting:
        here = waiting.pop()
        if here in known or here[0].partition(".")[0] == _RAYBERT:
            continue
        known.add(here)
        source = _source_of(here[0])
        if source is None or not _is_in(source.path, place):
            continue
        names = source.bindings if here[1] is None else (here[1],)
        found = [*source.always, *(one for bound in names for one in source.bindings.get(bound, ()))]
        statements = [one for one in dict.fromkeys(found) if one not in done]
        done.update(statements)
        package = here[0] if source.path.name == "__init__.py" else here[0].rpartition(".")[0]
        for statement in statements:
            yield f"{here[0]}: {_unparsed(statement)}"
            for node in ast.walk(statement):
                if isinstance(node, ast.Name):
                    waiting.append((here[0], node.id))
                elif isinstance(node, ast.Import | ast.ImportFrom):
                    waiting += _imported(node, package)


def _imported(node: ast.Import | ast.ImportFrom, package: str) -> Iterator[tuple[str, str | None]]:
    """Yield what an import statement brings: modules, and names of modules."""
    if isinstance(node, ast.Import):
        yield from ((alias.name, None) for alias in node.names)
        return
    start = node.module or ""
    if node.level:
        outer = package.split(".")[: package.count(".") + 2 - node.level]
        start = ".".join([*outer, *([start] if start else [])])
    for alias in node.names:
        is_module = alias.name != "*" and _origin(f"{start}.{alias.name}") is not None
        yield (f"{start}.{alias.name}", None) if is_module else (start, None if alias.name == "*" else alias.name)


def _place_of(module: str, origin: Path) -> Path:
    """Return the folder whose modules are one code with this one: its project, or its package where that is installed.

    Modules that lie alone among installed packages are a project of their own.
    """
    depth = module.count(".") + (origin.name == "__init__.py")
    package = origin.parents[depth - 1] if depth else origin
    return package if package.parent in _library_folders() else package.parent


def _is_in(path: Path, place: Path) -> bool:
    """Tell whether a file is of the same code: in its folder, and not in an environment that lies there too."""
    libraries = (folder for folder in _library_folders() if folder.is_relative_to(place))
    return path.is_relative_to(place) and not any(path.is_relative_to(folder) for folder in libraries)


def _library_folders() -> frozenset[Path]:
    return frozenset(Path(sysconfig.get_path(name)).resolve() for name in ("stdlib", "purelib", "platlib"))


def _unparsed(statement: ast.stmt) -> str:
    """Return a statement without comments, docstrings and layout."""
    return ast.unparse(_Bare().visit(ast.parse(ast.unparse(statement))))  # of a copy: the tree is kept


class _Bare(ast.NodeTransformer):
    """Takes docstrings, and other strings that nothing reads, out of a tree."""

    def visit_Expr(self, node: ast.Expr) -> ast.AST:
        return ast.Pass() if _is_text(node) else node


def _is_text(statement: ast.stmt) -> bool:
    is_constant = isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
    return is_constant and isinstance(statement.value.value, str)  # type: ignore[attr-defined]
