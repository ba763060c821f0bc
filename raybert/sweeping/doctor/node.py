"""What a node says of itself. Read in a process there, without Ray and without torch."""

from __future__ import annotations

import fcntl
import os
import platform
import resource
import shutil
import subprocess
import tempfile
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil

from raybert.machine import count_cores, memory_limit
from raybert.sweeping.folder.manifest import installed_versions

PROXIES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")
_SECONDS_FOR_DRIVER = 10.0


@dataclass(frozen=True)
class Place:
    """A folder's disk.

    Attributes:
        what: it is for.
        path: of the folder, or of what there is of it.
        free_bytes: for this user; None: there is no such place.
    """

    what: str
    path: str
    free_bytes: int | None


@dataclass(frozen=True)
class NodeFacts:
    """What a node has.

    Attributes:
        host: its name.
        versions: of Python and of what results depend on; None: it is not installed.
        cpus_seen: of the machine.
        cpus_usable: by quota, affinity and SLURM.
        memory_bytes: of the machine, or of the control group where that is less.
        available_bytes: of it that can be had now.
        shm_bytes: of /dev/shm; None: there is none.
        gpus: name and driver of each, as `nvidia-smi` says it; None: there is no such program.
        places: disks.
        open_files: limit of open files, as far as it can be raised.
        proxies: variables of the environment that are set.
        clock: seconds of the epoch.
    """

    host: str
    versions: Mapping[str, str | None]
    cpus_seen: int
    cpus_usable: int
    memory_bytes: int
    available_bytes: int
    shm_bytes: int | None
    gpus: tuple[str, ...] | None
    places: tuple[Place, ...]
    open_files: int
    proxies: tuple[str, ...]
    clock: float


def read_node(folders: Mapping[str, str]) -> NodeFacts:
    """Return what the node of this process has.

    Args:
        folders: what for -> path, whose disks are looked at besides the temporary folder.
    """
    memory = psutil.virtual_memory()
    limit = memory_limit()
    total = memory.total if limit is None else min(limit, memory.total)
    _, highest = resource.getrlimit(resource.RLIMIT_NOFILE)
    return NodeFacts(
        host=os.uname().nodename,
        versions={"python": platform.python_version(), **installed_versions()},
        cpus_seen=os.cpu_count() or 1,
        cpus_usable=count_cores(),
        memory_bytes=total,
        available_bytes=min(memory.available, total),
        shm_bytes=shutil.disk_usage("/dev/shm").total if Path("/dev/shm").is_dir() else None,
        gpus=_gpus(),
        places=tuple(_place(what, path) for what, path in {"temporary": tempfile.gettempdir(), **folders}.items()),
        open_files=2**31 if highest == resource.RLIM_INFINITY else highest,
        proxies=tuple(name for name in PROXIES if os.environ.get(name) or os.environ.get(name.upper())),
        clock=time.time(),
    )


def there_of(path: str) -> Path | None:
    """Return what there is of a path: the folder, or the nearest one above it; None: nothing but the root is."""
    found = next(one for one in (Path(path), *Path(path).parents) if one.exists())
    return found if found.is_dir() and found != Path(found.anchor) else None


def _place(what: str, path: str) -> Place:
    there = there_of(path)
    return Place(what, path, None if there is None else shutil.disk_usage(there).free)


def _gpus() -> tuple[str, ...] | None:
    """Return a line for each GPU of NVIDIA's: its name, driver and memory."""
    asked = ["nvidia-smi", "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader"]
    try:
        done = subprocess.run(asked, capture_output=True, text=True, timeout=_SECONDS_FOR_DRIVER, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return tuple(line.strip() for line in done.stdout.splitlines() if line.strip()) if done.returncode == 0 else ()


def write_there(folder: str) -> str:
    """Try on a node what results need of their folder; return the name of a file that is left for the driver to see.

    Raises:
        OSError: it cannot be written, synced or locked, or files cannot be renamed.
    """
    there = there_of(folder)
    if there is None:
        raise FileNotFoundError(2, "there is no such folder on this node", folder)
    path = there / f".raybert-doctor-{uuid.uuid4().hex}.tmp"
    try:
        with path.open("w", encoding="utf-8") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            file.write(path.name)
            file.flush()
            os.fsync(file.fileno())
        return str(path.rename(path.with_suffix(".seen")))
    except OSError:
        path.unlink(missing_ok=True)
        raise


def see_and_remove(path: str) -> bool:
    """Tell whether a file of `write_there` is there with its content; it is removed."""
    file = Path(path)
    try:
        is_whole = file.read_text(encoding="utf-8") == f"{file.stem}.tmp"
    except OSError:
        return False
    file.unlink(missing_ok=True)
    return is_whole
