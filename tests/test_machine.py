"""The cores that a process may use: those of its task set, and no more than the quotas of its control groups."""

import contextlib
import json
import os
import resource
import shutil
import subprocess
import sys

import pytest

from raybert import machine
from raybert.errors import ResourceError
from raybert.machine import count_cores, limit_threads


def system(root, groups: str, **files: str):
    """A file system with the control groups of this process and the files of a hierarchy."""
    for name, text in {"proc/self/cgroup": groups, **files}.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


@pytest.fixture(autouse=True)
def _eight_cores(monkeypatch):
    for name in ("SLURM_CPUS_ON_NODE", "SLURM_CPUS_PER_TASK", "SLURM_STEP_ID"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: range(8))


@pytest.mark.parametrize(
    ("groups", "files", "cores"),
    [
        ("0::/\n", {"sys/fs/cgroup/cpu.max": "200000 100000\n"}, 2),
        ("0::/\n", {"sys/fs/cgroup/cpu.max": "max 100000\n"}, 8),
        ("0::/\n", {"sys/fs/cgroup/cpu.max": "150000 100000\n"}, 1),
        ("0::/\n", {"sys/fs/cgroup/cpu.max": "50000 100000\n"}, 1),
        ("0::/\n", {"sys/fs/cgroup/cpu.max": "3200000 100000\n"}, 8),
        ("0::/\n", {"sys/fs/cgroup/cpu.max": "torn"}, 8),
        ("0::/\n", {}, 8),
        # the limit of a slice above it holds, too
        (
            "0::/system.slice/job\n",
            {
                "sys/fs/cgroup/system.slice/cpu.max": "300000 100000",
                "sys/fs/cgroup/system.slice/job/cpu.max": "max 100000",
            },
            3,
        ),
        # in a container without a name space of its own the path is the host's
        ("0::/docker/abc\n", {"sys/fs/cgroup/cpu.max": "400000 100000"}, 4),
        (
            "5:memory:/\n3:cpu,cpuacct:/docker/abc\n",
            {
                "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "250000",
                "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000",
            },
            2,
        ),
        (
            "3:cpuacct,cpu:/job\n",
            {"sys/fs/cgroup/cpu/job/cpu.cfs_quota_us": "300000", "sys/fs/cgroup/cpu/job/cpu.cfs_period_us": "100000"},
            3,
        ),
        ("torn\n0::/job\n", {"sys/fs/cgroup/job/cpu.max": "300000 100000"}, 3),
        (
            "1:cpu:/\n",
            {"sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1", "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000"},
            8,
        ),
    ],
)
def test_a_quota_counts_in_whole_cores(groups, files, cores, tmp_path):
    assert count_cores(system(tmp_path, groups, **files)) == cores


def test_without_control_groups_the_task_set_counts(tmp_path):
    assert count_cores(tmp_path) == 8


@pytest.mark.parametrize(
    ("variables", "cores"),
    [
        ({"CPUS_ON_NODE": "4"}, 4),
        ({"CPUS_PER_TASK": "2"}, 2),
        ({"CPUS_ON_NODE": "6", "CPUS_PER_TASK": "2"}, 6),  # the script of a job with three tasks on this node
        ({"CPUS_ON_NODE": "6", "CPUS_PER_TASK": "2", "STEP_ID": "0"}, 2),  # one of them
        ({"CPUS_ON_NODE": "6", "STEP_ID": "0"}, 6),
        ({"CPUS_ON_NODE": "64"}, 8),  # the task set allows fewer
        ({"CPUS_ON_NODE": "16(x2)"}, 8),
        ({"CPUS_ON_NODE": "0"}, 1),
    ],
)
def test_slurm_says_how_many_cores_a_job_has_on_its_node_and_a_step_for_each_task(
    variables, cores, tmp_path, monkeypatch
):
    for name, value in variables.items():
        monkeypatch.setenv(f"SLURM_{name}", value)
    assert count_cores(tmp_path) == cores


_SAID = """
import json, os
from raybert.machine import count_cores, limit_threads
limit_threads()
import torch
from raybert.sweeping.doctor.node import read_node
from raybert.sweeping.folder.manifest import describe_run
from raybert.sweeping.plan.placement import this_machine
print(json.dumps({
    "cores": count_cores(), "threads": torch.get_num_threads(), "tokenizers": os.environ.get("RAYON_NUM_THREADS"),
    "doctor": read_node({}).cpus_usable, "plan": this_machine().cpus,
    "manifest": describe_run(None)["hardware"]["cpus_usable"],
}))
"""


@pytest.mark.slow
@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="one core cannot be taken away")
@pytest.mark.parametrize("by", ["taskset", "slurm"])
def test_all_that_counts_cores_counts_those_that_are_allowed(by):
    environment = {**os.environ, "SLURM_CPUS_ON_NODE": "1"} if by == "slurm" else dict(os.environ)
    before = [] if by == "slurm" else ["taskset", "-c", "0"]
    for name in ("OMP_NUM_THREADS", "RAYON_NUM_THREADS"):
        environment.pop(name, None)
    if before and shutil.which(before[0]) is None:
        pytest.skip("taskset (util-linux) is not installed")
    said = subprocess.run([*before, sys.executable, "-c", _SAID], env=environment, capture_output=True, check=True)
    found = json.loads(said.stdout)
    tokenizers = {"tokenizers": found.pop("tokenizers")}
    assert set(found.values()) == {1}
    assert tokenizers["tokenizers"] == ("1" if by == "slurm" else None)  # Rayon itself looks at the task set


@pytest.mark.parametrize(("cores", "threads"), [(2, "2"), (8, None)])
def test_libraries_take_as_many_threads_as_there_are_cores(cores, threads, monkeypatch):
    names = ("OMP_NUM_THREADS", "RAYON_NUM_THREADS")
    for name in names:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(machine, "count_cores", lambda: cores)
    limit_threads()
    assert [os.environ.get(name) for name in names] == [threads, threads]


@pytest.mark.fault("ulimit -v")
@pytest.mark.parametrize(
    ("limits", "refused", "then"),
    [
        ((resource.RLIM_INFINITY, resource.RLIM_INFINITY), False, None),
        ((6 * 2**30, 6 * 2**30), False, None),
        ((3 * 2**30, 3 * 2**30), True, None),
        ((3 * 2**30, 8 * 2**30), False, 8 * 2**30),  # it may be raised
        ((3 * 2**30, 4 * 2**30), True, 4 * 2**30),
    ],
)
def test_too_little_address_space_is_said_before_a_library_dies_of_it(limits, refused, then, monkeypatch):
    raised = []
    monkeypatch.setattr(resource, "getrlimit", lambda which: limits)
    monkeypatch.setattr(resource, "setrlimit", lambda which, now: raised.append(now[0]))
    said = pytest.raises(ResourceError, match=r"ulimit -v: must be unlimited, or at least 5242880, for training, got")
    with said if refused else contextlib.nullcontext():
        machine.check_address_space(machine.SPACE_OF_TORCH, "training")
    assert raised == ([] if then is None else [then])


def test_who_sets_the_threads_has_them(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "5")
    monkeypatch.setattr(machine, "count_cores", lambda: 2)
    limit_threads()
    assert os.environ["OMP_NUM_THREADS"] == "5"
