"""The built-in corpus `docstrings`: from which library does this docstring come?

Real, noisy, imbalanced English that every installation of raybert has on its disk: the first paragraph of the
docstring of each public function and class of some of raybert's own dependencies. Files are parsed with
`ast`; no package is imported. The corpus depends on the installed versions, which are recorded beside it.
"""

from __future__ import annotations

import ast
import importlib.metadata
import importlib.util
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from raybert.data.python_files import definitions, fast_parsing, package_folder, parsed_files
from raybert.durable import atomic_path
from raybert.errors import DataError
from raybert.files import json_digest, kept_if_possible

LIBRARIES = {
    "fsspec": "fsspec",
    "matplotlib": "matplotlib",
    "networkx": "networkx",
    "numpy": "numpy",
    "optuna": "optuna",
    "pandas": "pandas",
    "pydantic": "pydantic",
    "rich": "rich",
    "scipy": "scipy",
    "sklearn": "scikit-learn",
    "sqlalchemy": "SQLAlchemy",
}
"""Import name (the class) -> distribution name."""

COLUMNS = ("text", "label", "module")
MIN_WORDS = 4
_PARSER_VERSION = 1
_LIBRARY_NAME = re.compile(rf"\b({'|'.join([*LIBRARIES, 'scikit-learn', 'mpl', 'np', 'nx', 'pd', 'plt'])})\b", re.I)
_BLANK_LINE = re.compile(r"\n\s*\n")


def read_docstrings(cache_folder: Path) -> tuple[pa.Table, dict[str, str]]:
    """Return the corpus and the versions of the libraries it was read from.

    The names of the libraries themselves and their usual aliases (`np`, `pd`, ...) are replaced by the word
    "library"; nothing else is changed but white space. Texts under four words, and texts found in two
    libraries, are left out; of a text repeated inside one library the first is kept.

    Args:
        cache_folder: the parsed corpus is kept below it, one file per set of versions.

    Returns:
        A table with columns text, label (import name), module (dotted; usable as `data.group`), sorted by
        library, file and line; and import name -> version.

    Raises:
        DataError: fewer than two of the libraries are installed.
    """
    versions = installed_versions()
    if len(versions) < 2:
        raise DataError(
            f"data.source: 'docstrings' needs at least two of {', '.join(LIBRARIES)} installed, "
            f"got {', '.join(versions) or 'none'}; install them or name another source"
        )
    path = cache_folder / "docstrings" / f"{_cache_key(versions)}.parquet"
    kept = _read_kept(path)
    if kept is not None:
        return kept, versions
    table = parse_libraries({name: package_folder(name) for name in versions})
    with kept_if_possible("the built-in corpus", cache_folder), atomic_path(path) as temporary:
        pq.write_table(table, temporary, compression="zstd", write_page_checksum=True)
    return table, versions


def _read_kept(path: Path) -> pa.Table | None:
    """Return the parsed corpus from the cache; None: it is not there, or damaged and to be made again."""
    if not path.exists():
        return None
    try:
        table = pq.read_table(path, page_checksum_verification=True, partitioning=None)
    except (OSError, pa.ArrowException):
        return None
    return table if tuple(table.column_names) == COLUMNS else None


def installed_versions() -> dict[str, str]:
    """Return import name -> version of the corpus's libraries that are installed, sorted by name."""
    versions = {}
    for name, distribution in sorted(LIBRARIES.items()):
        spec = importlib.util.find_spec(name)  # does not import a top-level package
        if spec is None or not spec.submodule_search_locations:
            continue
        try:
            versions[name] = importlib.metadata.version(distribution)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions


def parse_libraries(folders: dict[str, Path]) -> pa.Table:
    """Return the corpus of some package folders (import name -> folder); see `read_docstrings`."""
    found: dict[str, tuple[str, str]] = {}  # text -> (library, module) of its first place
    shared: set[str] = set()
    with fast_parsing():
        for library, folder in sorted(folders.items()):
            for module, text in _library_texts(folder):
                if found.setdefault(text, (library, module))[0] != library:
                    shared.add(text)
    rows = [(text, *place) for text, place in found.items() if text not in shared]
    columns = zip(*rows, strict=True) if rows else ([], [], [])
    return pa.table([pa.array(column, pa.string()) for column in columns], names=[*COLUMNS])


def _library_texts(folder: Path) -> Iterator[tuple[str, str]]:
    """Yield (module, text) of every usable docstring, by file and line."""
    for path, tree in parsed_files(folder):
        module = ".".join(path.relative_to(folder.parent).with_suffix("").parts)
        for node in definitions(tree):
            text = _usable_text(node)
            if text:
                yield module, text


def _usable_text(node: Any) -> str | None:
    """Return the masked first paragraph of a public definition's docstring, or None if it has no use."""
    docstring = None if node.name.startswith("_") else ast.get_docstring(node)
    if not docstring:
        return None
    words = _BLANK_LINE.split(docstring, maxsplit=1)[0].split()
    if len(words) < MIN_WORDS:
        return None
    return without_library_names(" ".join(words))


def without_library_names(text: str) -> str:
    """Return a text with the names of the libraries, and their usual aliases, replaced by the word "library"."""
    return _LIBRARY_NAME.sub("library", text)


def _cache_key(versions: dict[str, str]) -> str:
    parts = [_PARSER_VERSION, MIN_WORDS, sys.version_info[:2], sorted(versions.items())]
    return json_digest(parts)[:16]
