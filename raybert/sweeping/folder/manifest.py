"""What a sweep ran on: versions, source revision and hardware, for `manifest.json`."""

from __future__ import annotations

import os
import platform
import subprocess
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from raybert.machine import count_cores

if TYPE_CHECKING:
    from raybert.sweeping.plan.placement import Cluster

_PACKAGES = (
    "raybert",
    "ray",
    "torch",
    "transformers",
    "tokenizers",
    "datasets",
    "numpy",
    "pandas",
    "pyarrow",
    "scikit-learn",
)


_PROGRAMS = r"^(filter\..*\.(clean|process)|core\.fsmonitor|extensions\..*)$"
"""Keys of a repository's own configuration by which looking at its files starts programs, or reads further ones."""


def describe_run(cluster: Cluster | None) -> dict[str, Any]:
    """Return versions, revision and hardware as JSON; None: without a cluster, in this process."""
    size = {} if cluster is None else {"cpus": cluster.cpus, "gpus": cluster.gpus, "nodes": len(cluster.nodes)}
    return {
        "written": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "python": platform.python_version(),
        "versions": installed_versions(),
        "git": _git_revision(),
        "hardware": {
            "machine": platform.machine(),
            "system": platform.platform(),
            "cpus": os.cpu_count(),
            "cpus_usable": count_cores(),
            "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
            **{f"cluster_{name}": count for name, count in size.items()},
        },
        **({} if cluster is None or cluster.address is None else {"joined": _joined(cluster)}),
    }


def _joined(cluster: Cluster) -> dict[str, str | None]:
    return {"address": cluster.address, "named_by": cluster.named_by}


def installed_versions() -> dict[str, str | None]:
    """Return the versions of raybert and of the packages that results depend on."""
    return {name: _version(name) for name in _PACKAGES}


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _git_revision() -> str | None:
    """Return the commit of the folder that the command was given in, with `+` for uncommitted changes.

    A repository that somebody else has packed may have git run programs of his choice. Whether files have changed is
    then not asked, for which git would start them.
    """
    dirty = [] if _git("config", "--local", "--includes", "--get-regexp", _PROGRAMS) else ["--dirty=+"]
    return _git("-c", "core.fsmonitor=false", "describe", "--always", "--abbrev=12", *dirty)


def _git(*arguments: str) -> str | None:
    try:
        result = subprocess.run(
            ["git", *arguments], cwd=Path.cwd(), capture_output=True, text=True, timeout=10, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return result.stdout.strip() or None
