"""What a sweep or pretraining file needs of this machine, and nothing else: itself, local data, models and modules."""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from raybert.config.code_digest import files_of_module
from raybert.config.kinds import AnyConfig, load_any
from raybert.config.load import read_yaml
from raybert.config.pretraining import PretrainingConfig
from raybert.data.kinds import BUILT_IN
from raybert.errors import ConfigError, DataError
from raybert.models import BUILT_IN_ENCODERS
from raybert.passwords import holds_password

MOST_BYTES = 256 * 2**20
"""Of all that is sent: Ray keeps it in the memory of the head, and takes at most 500 MiB."""
FILE, OF_MODELS = "sweep.yaml", "pretraining.yaml"
"""What the file is called there."""
_PATHS = ("source", "encoder", "checkpoint", "model")
"""Last names of keys whose values may be a path of this machine."""
_PATHS_OF_MODELS = (*_PATHS, "folder", "templates", "pairs")
"""Likewise of pretraining files, with those of `tokenizer` and `probes`."""
_NAMES = frozenset({"", "pool", "prose", *BUILT_IN, *BUILT_IN_ENCODERS})
"""What those keys take that is no path, whatever lies in the folder."""
_CODE = re.compile(r"[^\W\d][\w.]*:[^\W\d]\w*")
_ELSEWHERE = "sent"
"""Folder of what does not lie below the folder of the command."""


@dataclass(frozen=True)
class SentFile:
    """A file that goes to the cluster.

    Attributes:
        path: here.
        name: there, relative to the folder of the job.
        num_bytes: size.
    """

    path: Path
    name: str
    num_bytes: int


@dataclass(frozen=True)
class Bundle:
    """What is sent.

    Attributes:
        text: of the file, as it is there.
        files: that go with it.
        overrides: of keys, as they are there.
        stays: what the file names that is no file of this machine and must be on the cluster, in words.
        name: of the file there.
    """

    text: str
    files: tuple[SentFile, ...]
    overrides: tuple[str, ...]
    stays: tuple[str, ...] = ()
    name: str = FILE

    @property
    def num_bytes(self) -> int:
        """Of all files, with the one that says what is run."""
        return len(self.text.encode()) + sum(file.num_bytes for file in self.files)

    def write(self, folder: Path) -> None:
        """Write everything into an empty folder."""
        (folder / self.name).write_text(self.text, encoding="utf-8")
        for file in self.files:
            target = folder / file.name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file.path, target)

    def lines(self) -> Iterator[str]:
        """Yield what is sent and with what sizes, the files of a folder as one line."""
        yield f"{self.name}  {_size(len(self.text.encode()))}"
        parts: dict[str, list[int]] = {}
        for file in self.files:
            folder, _, rest = file.name.partition("/")
            parts.setdefault(f"{folder}/" if rest.count("/") else file.name, []).append(file.num_bytes)
        for name, sizes in sorted(parts.items()):
            many = f" in {len(sizes)} files" if len(sizes) > 1 else ""
            yield f"{name}  {_size(sum(sizes))}{many}"


def make_bundle(file: Path, overrides: Iterable[str] = (), *, with_code: bool = True) -> Bundle:
    """Return what a file needs of this machine; nothing that it names is imported.

    Paths below the working folder keep their names, so that the sweep is the same as here; others get new ones.

    Args:
        file: a sweep file, or a pretraining file.
        overrides: of keys, `dotted.key=value`.
        with_code: send modules that it names; without, they are left out.

    Raises:
        ConfigError: the file is wrong, holds a password, or needs more than can be sent.
        DataError: a file that it names cannot be read.
    """
    overrides = tuple(overrides)
    config = load_any(file, overrides)
    is_of_models = isinstance(config, PretrainingConfig)
    _check_passwords(config)
    here = Path.cwd().resolve()
    document = config.model_dump(mode="json")
    renamed: dict[str, str] = {}
    files: dict[str, SentFile] = {}
    stays: list[str] = []
    for value in dict.fromkeys(_paths_in(document, _PATHS_OF_MODELS if is_of_models else _PATHS)):
        path = Path(value).expanduser()
        if not path.exists():
            if value.startswith((".", "/", "~")):
                stays.append(f"{value}: is not on this machine, and must be on all nodes of the cluster")
            continue
        there = _name_there(path.resolve(), here, len(renamed))
        if there != value.rstrip("/").removeprefix("./"):
            renamed[value] = there
        files |= {sent.name: sent for sent in _files_below(path.resolve(), there)}
    if str(here) not in sys.path:
        sys.path.append(str(here))  # as where a name is imported
    for module in dict.fromkeys(_modules_in(document)) if with_code else ():
        place, found = files_of_module(module)
        if not found:
            stays.append(f"{module}: is an installed package, or not found here, and must be installed on all nodes")
        for path in found:
            name = path.relative_to(place).as_posix()
            files[name] = SentFile(path, name, path.stat().st_size)
    text = file.read_text(encoding="utf-8")
    if renamed:
        text = yaml.safe_dump(_with_names(read_yaml(file), renamed), sort_keys=False, allow_unicode=True)
        overrides = tuple(_renamed_override(one, renamed) for one in overrides)
    name = OF_MODELS if is_of_models else FILE
    bundle = Bundle(text, tuple(files[one] for one in sorted(files)), overrides, tuple(stays), name)
    _check_size(bundle)
    return bundle


def _check_passwords(config: AnyConfig) -> None:
    tune = None if isinstance(config, PretrainingConfig) else config.sweep.tune
    if tune is not None and holds_password(tune.storage):
        raise ConfigError(
            "sweep.tune.storage: must not hold a password, which the dashboard of the cluster would show, got one; "
            "write ${NAME} in its place and set NAME on the head"
        )


def _check_size(bundle: Bundle) -> None:
    if bundle.num_bytes <= MOST_BYTES:
        return
    largest = max(bundle.files, key=lambda sent: sent.num_bytes)
    raise ConfigError(
        f"submit: at most {_size(MOST_BYTES)} are sent with a file, got {_size(bundle.num_bytes)}, of which "
        f"{largest.path} has {_size(largest.num_bytes)}; copy it to storage that all nodes see, and name its path "
        "there"
    )


def _paths_in(node: Any, keys: tuple[str, ...], key: str = "") -> Iterator[str]:
    """Yield what may be a path: values of keys that take one, in grids and search spaces, too."""
    if isinstance(node, Mapping):
        for name, value in node.items():
            yield from _paths_in(
                value, keys, key if name in ("choice", "low", "high") else str(name).rpartition(".")[2]
            )
    elif isinstance(node, (list, tuple)):
        for value in node:
            yield from _paths_in(value, keys, key)
    elif isinstance(node, str) and key in keys and node not in _NAMES:
        yield node


def _modules_in(node: Any) -> Iterator[str]:
    """Yield the modules of everything that has the form `module:attribute`."""
    if isinstance(node, Mapping):
        for name, value in node.items():
            yield from _modules_in(name)
            yield from _modules_in(value)
    elif isinstance(node, (list, tuple)):
        for value in node:
            yield from _modules_in(value)
    elif isinstance(node, str) and _CODE.fullmatch(node):
        yield node.partition(":")[0]


def _name_there(path: Path, here: Path, number: int) -> str:
    if path.is_relative_to(here) and path != here:
        return path.relative_to(here).as_posix()
    return f"{_ELSEWHERE}/{number}/{path.name}"


def _files_below(path: Path, name: str) -> Iterator[SentFile]:
    """Yield the file of a path, or those of a folder, without hidden ones.

    Raises:
        DataError: something there cannot be read.
    """
    found = sorted(one for one in path.rglob("*") if one.is_file()) if path.is_dir() else [path]
    for one in found:
        inner = one.relative_to(path)
        if any(part.startswith(".") for part in inner.parts):
            continue
        if not os.access(one, os.R_OK):
            raise DataError(f"{one}: must be readable to be sent to the cluster")
        yield SentFile(one, f"{name}/{inner.as_posix()}" if inner.parts else name, one.stat().st_size)


def _with_names(node: Any, renamed: Mapping[str, str]) -> Any:
    if isinstance(node, Mapping):
        return {name: _with_names(value, renamed) for name, value in node.items()}
    if isinstance(node, list):
        return [_with_names(value, renamed) for value in node]
    return renamed.get(node, node) if isinstance(node, str) else node


def _renamed_override(override: str, renamed: Mapping[str, str]) -> str:
    key, sign, value = override.partition("=")
    return f"{key}{sign}{renamed.get(value, value)}"


def _size(num_bytes: int) -> str:
    size = float(num_bytes)
    for unit in ("B", "KiB", "MiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} GiB"
