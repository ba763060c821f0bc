"""What facts of nodes mean: every line ok, warning or failure, the last two with a remedy."""

from dataclasses import replace

import pytest

from raybert.errors import ExitCode
from raybert.machine import memory_limit
from raybert.sweeping.doctor.finding import Diagnosis, Finding
from raybert.sweeping.doctor.judge import GIB, judge_node, judge_versions
from raybert.sweeping.doctor.node import NodeFacts, Place, read_node, see_and_remove, there_of, write_there

VERSIONS = {"python": "3.11.7", "raybert": "0.1.0", "ray": "2.60.0", "torch": "2.13.0", "transformers": "5.24.0"}
NODE = NodeFacts(
    host="a",
    versions=VERSIONS,
    cpus_seen=8,
    cpus_usable=8,
    memory_bytes=32 * GIB,
    available_bytes=20 * GIB,
    shm_bytes=16 * GIB,
    gpus=(),
    places=(Place("results", "/shared", 100 * GIB),),
    open_files=65536,
    proxies=(),
    clock=0.0,
)
RESOURCES = {"CPU": 8.0, "object_store_memory": 9.0 * GIB}


def found(check, resources=RESOURCES, skew=0.0, **changes):
    (one,) = [one for one in judge_node(replace(NODE, **changes), resources, skew) if one.check == check]
    return one


def test_a_node_that_has_everything_is_ok():
    findings = list(judge_node(NODE, RESOURCES, 0.0))
    assert {one.status for one in findings} == {"ok"}
    assert {one.remedy for one in findings} == {""}
    assert {one.node for one in findings} == {"a"}


@pytest.mark.parametrize(
    ("check", "changes", "status", "text", "remedy"),
    [
        ("CPUs", {"cpus_usable": 2}, "warning", "2 to use of 8 (quota, affinity or SLURM), 8 in Ray", "--num-cpus 2"),
        ("memory", {"available_bytes": GIB // 2}, "failure", "0.5 GiB of 32.0 GiB can be had", "fewer trials"),
        ("memory", {"available_bytes": 2 * GIB}, "warning", "2.0 GiB of 32.0 GiB can be had", "fewer trials"),
        ("shared memory", {"shm_bytes": GIB // 16}, "warning", "object store 9.0 GiB, /dev/shm 0.1 GiB", "--shm-size"),
        ("disk", {"places": (Place("results", "/x", None),)}, "failure", "results: /x is not there", "mount storage"),
        ("disk", {"places": (Place("cache", "/c", GIB // 2),)}, "failure", "cache: 0.5 GiB free in /c", "make room"),
        ("disk", {"places": (Place("cache", "/c", 3 * GIB),)}, "warning", "cache: 3.0 GiB free in /c", "make room"),
        ("open files", {"open_files": 256}, "failure", "limit 256", "ulimit -n 16384"),
        ("open files", {"open_files": 2048}, "warning", "limit 2,048", "ulimit -n 16384"),
        ("GPUs", {"gpus": ("NVIDIA H200, 570.1, 143771 MiB",)}, "warning", "(0 in Ray)", "CUDA_VISIBLE_DEVICES"),
        ("clock", {"skew": 3.0}, "warning", "3.0 s from the driver's", "time server"),
        ("clock", {"skew": 90.0}, "failure", "90.0 s from the driver's", "time server"),
        ("proxies", {"proxies": ("https_proxy",)}, "ok", "https_proxy set: for the hub", ""),
    ],
)
def test_what_is_missing_has_a_remedy(check, changes, status, text, remedy):
    one = found(check, **changes)
    assert one.status == status
    assert text in one.text
    assert remedy in one.remedy
    assert (status == "ok") == (one.remedy == "")


def test_gpus_that_ray_has_and_no_driver_shows():
    assert found("GPUs", {**RESOURCES, "GPU": 1.0}, gpus=None).status == "warning"
    shown = found("GPUs", {**RESOURCES, "GPU": 1.0}, gpus=("NVIDIA H200, 570.1, 143771 MiB",))
    assert (shown.status, shown.text) == ("ok", "NVIDIA H200, 570.1, 143771 MiB")


@pytest.mark.parametrize(
    ("name", "status"), [("ray", "failure"), ("python", "failure"), ("raybert", "failure"), ("torch", "warning")]
)
def test_a_node_of_other_versions_is_named_with_both(name, status):
    other = replace(NODE, host="b", versions={**VERSIONS, name: "9"})
    driver, same, differing = judge_versions([replace(NODE, host="c"), other], NODE)
    assert (driver.status, same.status, same.text) == ("ok", "ok", "those of the driver")
    assert (differing.node, differing.status) == ("b", status)
    assert differing.text == f"{name} 9 in place of {VERSIONS[name]}"


def test_warnings_are_no_failures():
    ok, warning = Finding("a", "", "ok", "x"), Finding("b", "h", "warning", "y", "do z")
    assert Diagnosis((ok, warning)).exit_code == ExitCode.DONE
    failing = Diagnosis((ok, warning, Finding("c", "", "failure", "w")))
    assert failing.exit_code == ExitCode.FAILED
    assert str(failing).splitlines() == [
        "ok: a: x",
        "warning: b (h): y; do z",
        "failure: c: w",
        "1 ok, 1 warning, 1 failure",
    ]


def test_the_node_of_this_process_is_as_the_system_says(tmp_path):
    import os

    import psutil

    facts = read_node({"results": str(tmp_path / "not" / "there")})
    assert facts.host == os.uname().nodename
    assert facts.cpus_seen == os.cpu_count()
    assert 0 < facts.available_bytes <= facts.memory_bytes <= psutil.virtual_memory().total
    assert [place.what for place in facts.places] == ["temporary", "results"]
    assert all(place.free_bytes for place in facts.places)


def test_storage_is_tried_in_what_there_is_of_the_folder_and_nothing_is_left(tmp_path):
    path = write_there(str(tmp_path / "a" / "b"))
    assert os_names(tmp_path) == [path.rpartition("/")[2]]
    assert see_and_remove(path)
    assert os_names(tmp_path) == []
    assert not see_and_remove(path)
    assert there_of("/no/such/place") is None
    with pytest.raises(FileNotFoundError, match="no such folder on this node"):
        write_there("/no/such/place")


def os_names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize(
    ("groups", "files", "limit"),
    [
        ("0::/a/b\n", {"sys/fs/cgroup/a/b/memory.max": "max", "sys/fs/cgroup/a/memory.max": "1024"}, 1024),
        ("0::/\n", {"sys/fs/cgroup/memory.max": "4096\n"}, 4096),
        ("5:memory:/x\n", {"sys/fs/cgroup/memory/x/memory.limit_in_bytes": "2048"}, 2048),
        ("5:memory:/x\n", {"sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712"}, None),
        ("0::/\n", {}, None),
    ],
)
def test_memory_limits_of_control_groups(groups, files, limit, tmp_path):
    for name, text in {"proc/self/cgroup": groups, **files}.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    assert memory_limit(tmp_path) == limit
