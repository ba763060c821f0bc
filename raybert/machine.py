"""What this process may use of its machine."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator, Mapping
from pathlib import Path

from raybert.errors import ResourceError

SPACE_OF_TORCH = 5 * 2**30
"""Address space that a process needs which trains; with 3 GiB it dies of a signal, with 6 it does not (measured)."""
_NUMBERS_OF_THREADS = ("OMP_NUM_THREADS", "RAYON_NUM_THREADS")
"""Of torch, numpy and Arrow; of tokenizers."""


def count_cores(root: Path = Path("/")) -> int:
    """Return the CPU cores that this process may use: a container, a task set or SLURM may allow fewer than there are.

    Of a quota that is no whole number (`docker run --cpus 1.5`) the part is left out: who uses it up, waits.

    Args:
        root: of the file system.
    """
    seen = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min([seen, *(int(quota) for quota in _quotas(root)), *_of_slurm(os.environ)]))


def memory_limit(root: Path = Path("/")) -> int | None:
    """Return the bytes of memory that the control groups of this process allow; None: no group has a limit.

    Args:
        root: of the file system.
    """
    found = [*_limits(root, "", "memory.max"), *_limits(root, "memory", "memory.limit_in_bytes")]
    return min(found, default=None)


def limit_threads() -> None:
    """Let libraries that are not imported yet use as many threads as there are cores, not as are seen."""
    seen = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if count_cores() < seen:
        for name in _NUMBERS_OF_THREADS:
            os.environ.setdefault(name, str(count_cores()))


def tokenize_in_one_thread() -> None:
    """Let tokenizers use one thread in this process, unless its user has said otherwise: a worker shares the cores."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")


def shares_of(gpus: float, share: float) -> int:
    """Return how many workers find their share of GPUs: a fraction is one of a single GPU, and what is left is lost.

    Args:
        gpus: of a node.
        share: of a worker: a whole number, or a fraction of one.
    """
    if share >= 1:
        return int(gpus / share + 1e-9)
    return int(gpus + 1e-9) * int(1 / share + 1e-9)


def check_address_space(num_bytes: float, what: str) -> None:
    """Refuse a limit of address space (`ulimit -v`) below what is mapped, of which little is used.

    Where it is exceeded, libraries print pages of their own, or end the process.

    Args:
        num_bytes: that are mapped.
        what: maps them.

    Raises:
        ResourceError: the limit is lower, and cannot be raised.
    """
    limit, highest = resource.getrlimit(resource.RLIMIT_AS)
    if limit != resource.RLIM_INFINITY and limit != highest:
        resource.setrlimit(resource.RLIMIT_AS, (highest, highest))
        limit = highest
    if limit != resource.RLIM_INFINITY and limit < num_bytes:
        raise ResourceError(
            f"ulimit -v: must be unlimited, or at least {num_bytes / 1024:.0f}, for {what}, got {limit / 1024:.0f}: "
            "limit memory by a container or a control group instead"
        )


def _of_slurm(environment: Mapping[str, str]) -> Iterator[int]:
    """Yield the cores that SLURM gives a job on this node, and in a step (`srun`) each of its tasks.

    Most clusters bind processes to them as well; where they do not, these variables alone say what a job has. The
    script of a job that starts several tasks a node is none of them, and may use what all of them have.
    """
    on_node, of_task = (environment.get(f"SLURM_CPUS_{name}", "") for name in ("ON_NODE", "PER_TASK"))
    if on_node.isdigit():
        yield int(on_node)
    if of_task.isdigit() and ("SLURM_STEP_ID" in environment or not on_node.isdigit()):
        yield int(of_task)


def _quotas(root: Path) -> Iterator[float]:
    """Yield the CPU quotas of the control groups that this process is in, in cores."""
    try:
        groups = (root / "proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:  # not Linux
        return
    for line in groups:
        if line.count(":") < 2:
            continue
        _, controllers, path = line.split(":", 2)
        if not controllers:
            for folder in _and_above(root / "sys/fs/cgroup", path):
                yield from _quota(_words(folder / "cpu.max"))
        elif "cpu" in controllers.split(","):
            mounts = [root / "sys/fs/cgroup" / name for name in (controllers, "cpu")]  # or a link of that name
            mount = next((found for found in mounts if found.is_dir()), mounts[0])
            for folder in _and_above(mount, path):
                yield from _quota([*_words(folder / "cpu.cfs_quota_us"), *_words(folder / "cpu.cfs_period_us")])


def _limits(root: Path, controller: str, name: str) -> Iterator[int]:
    """Yield what the files of a name say in the groups that this process is in; `max`, or nearly 2^63, is no limit."""
    try:
        groups = (root / "proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:  # not Linux
        return
    for line in groups:
        _, controllers, path = line.split(":", 2) if line.count(":") > 1 else ("", "-", "")
        if controller in controllers.split(","):
            for folder in _and_above(root / "sys/fs/cgroup" / controller, path):
                yield from (int(word) for word in _words(folder / name) if word.isdigit() and int(word) < 2**60)


def _and_above(mount: Path, path: str) -> list[Path]:
    """Return the folder of a group and those above it, whose quotas hold for it, too.

    In a container the path may be that of the host, while the mount shows the container's own group as its root.
    """
    group = mount / path.strip("/")
    return [group, *(parent for parent in group.parents if parent.is_relative_to(mount))]


def _quota(words: list[str]) -> Iterator[float]:
    """Yield a quota in cores, if there is one: microseconds of `max` or -1 are none."""
    try:
        quota, period = map(int, words)
    except ValueError:
        return
    if quota > 0 and period > 0:
        yield quota / period


def _words(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").split()
    except OSError:
        return []
