"""The corpus `prose`: English that every installation of raybert has on its disk, and no example of `docstrings`.

Docstrings of modules, functions and classes of raybert's dependencies and of Python itself, whole and without their
examples of code. It is what `raybert-tiny` is pretrained on. None of the libraries whose docstrings are classified in
the corpus `docstrings` is read, and what shares eight words in a row with one of its texts is left out, wherever it was
copied to: no text of that task is known before.
"""

from __future__ import annotations

import ast
import importlib.metadata
import importlib.util
import json
import platform
import re
import sysconfig
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from raybert.data.docstrings import LIBRARIES, installed_versions, read_docstrings, without_library_names
from raybert.data.python_files import definitions, fast_parsing, package_folder, parsed_files
from raybert.durable import atomic_path
from raybert.files import json_digest, kept_if_possible

PACKAGES = {
    "PIL": "pillow",
    "click": "click",
    "datasets": "datasets",
    "filelock": "filelock",
    "huggingface_hub": "huggingface-hub",
    "jinja2": "jinja2",
    "jsonschema": "jsonschema",
    "mpmath": "mpmath",
    "pyarrow": "pyarrow",
    "pygments": "pygments",
    "ray": "ray",
    "requests": "requests",
    "sympy": "sympy",
    "torch": "torch",
    "transformers": "transformers",
    "typer": "typer",
}
"""Import name -> distribution name: what raybert needs, directly or not, and whose licence lets anybody reuse it."""

PROSE = "prose"
"""The name as a source of a corpus."""

RUN = 8
"""Words in a row that no document may share with a text of `docstrings`."""
MIN_WORDS = 4
_STANDARD_LIBRARY = "python"
_NOT_PROSE = frozenset({"site-packages", "dist-packages", "idlelib", "lib2to3", "turtledemo"})
_BLANK_LINE = re.compile(r"\n\s*\n")
_WORD = re.compile(r"\w+")
_PARSER_VERSION = 1
_LEFT_OUT = b"left_out"


@dataclass(frozen=True)
class Prose:
    """The documents of the corpus.

    Attributes:
        texts: one a document, paragraphs divided by a line break; distinct, by package, file and line.
        packages: (n,) import name of each, `python` for the standard library.
        versions: import name -> version.
        left_out: import name -> documents that share words with `docstrings`.
    """

    texts: tuple[str, ...]
    packages: tuple[str, ...]
    versions: dict[str, str]
    left_out: dict[str, int]


def read_prose(cache_folder: Path) -> Prose:
    """Return the corpus of what is installed here, which takes a minute, or some ten seconds on a fast machine.

    Args:
        cache_folder: it is kept below it, one file per set of versions, beside the corpus `docstrings`.

    Raises:
        DataError: fewer than two of the libraries of `docstrings` are installed.
    """
    versions = {name: version for name in sorted(PACKAGES) if (version := _version(name)) is not None}
    folders = {name: package_folder(name) for name in versions}
    folders[_STANDARD_LIBRARY] = Path(sysconfig.get_paths()["stdlib"])
    versions[_STANDARD_LIBRARY] = platform.python_version()
    key = json_digest([_PARSER_VERSION, RUN, MIN_WORDS, sorted(versions.items()), sorted(installed_versions().items())])
    path = cache_folder / "prose" / f"{key[:16]}.parquet"
    kept = _read_kept(path, versions)
    if kept is not None:
        return kept
    held_out, _ = read_docstrings(cache_folder)
    prose = collect_prose(folders, held_out["text"].to_pylist(), versions)
    table = pa.table({"text": prose.texts, "package": prose.packages})
    table = table.replace_schema_metadata({_LEFT_OUT: json.dumps(prose.left_out)})
    with kept_if_possible("the corpus `prose`", path.parent), atomic_path(path) as temporary:
        pq.write_table(table, temporary, compression="zstd", write_page_checksum=True)
    return prose


def _read_kept(path: Path, versions: dict[str, str]) -> Prose | None:
    """Return the corpus from the cache; None: it is not there, or damaged and to be made again."""
    try:
        table = pq.read_table(path, page_checksum_verification=True, partitioning=None)
    except (OSError, pa.ArrowException):
        return None
    left_out = json.loads((table.schema.metadata or {}).get(_LEFT_OUT, b"null"))
    if table.column_names != ["text", "package"] or left_out is None:
        return None
    return Prose(tuple(table["text"].to_pylist()), tuple(table["package"].to_pylist()), versions, left_out)


def collect_prose(folders: dict[str, Path], held_out: Iterable[str], versions: dict[str, str]) -> Prose:
    """Return the documents of some folders of Python files (name -> folder) that share no `RUN` of words with texts.

    Args:
        folders: import name -> folder.
        held_out: texts of the corpus `docstrings`. Those of fewer words than `RUN` must not be a paragraph, either.
        versions: import name -> version.
    """
    forbidden = set(chain.from_iterable(map(_runs, held_out)))
    found: dict[str, str] = {}
    left_out: dict[str, int] = {}
    with fast_parsing():
        for package, folder in sorted(folders.items()):
            for text in _documents(folder):
                if any(not forbidden.isdisjoint(_runs(paragraph)) for paragraph in text.split("\n")):
                    left_out[package] = left_out.get(package, 0) + 1
                else:
                    found.setdefault(text, package)
    return Prose(tuple(found), tuple(found.values()), versions, left_out)


def _version(name: str) -> str | None:
    """Return the version of a package; None: it is not installed, or not as a folder of files."""
    assert name not in LIBRARIES
    spec = importlib.util.find_spec(name)  # does not import a top-level package
    if spec is None or not spec.submodule_search_locations:
        return None
    try:
        return importlib.metadata.version(PACKAGES[name])
    except importlib.metadata.PackageNotFoundError:
        return None


def _documents(folder: Path) -> Iterator[str]:
    """Yield the prose of every docstring below a folder that has some."""
    for path, tree in parsed_files(folder):
        if _NOT_PROSE.intersection(path.relative_to(folder).parts):
            continue
        for node in chain([tree], definitions(tree)):
            assert isinstance(node, ast.Module | ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
            text = _prose_of(ast.get_docstring(node) or "")
            if len(text.split()) >= MIN_WORDS:
                yield text


def _prose_of(docstring: str) -> str:
    """Return the paragraphs of a docstring, one a line, without those that show code at a prompt."""
    paragraphs = [part for part in _BLANK_LINE.split(docstring) if not part.lstrip().startswith((">>>", "$ ", "..."))]
    return "\n".join(without_library_names(" ".join(part.split())) for part in paragraphs if part.strip())


def _runs(text: str) -> list[tuple[str, ...]]:
    """Return all runs of words of a text; of a shorter text the whole, which a paragraph of other length is not."""
    words = _WORD.findall(text.lower())
    return [tuple(words[start : start + RUN]) for start in range(max(1, len(words) - RUN + 1))]
