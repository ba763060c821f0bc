"""`raybert doctor` on this machine: it starts what it needs, and leaves nothing."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace
from urllib.error import URLError

import pytest

from raybert.errors import ConfigError, ResourceError
from raybert.sweeping.cluster import scratch
from raybert.sweeping.doctor import examine, object_store
from raybert.sweeping.doctor.trial import BATCH, try_training
from tests.clusters import OF_OTHER_RAYS
from tests.e2e.commands import run
from tests.object_stores import failing, local_store
from tests.processes import called

CHECKS = {"hub", "Ray", "versions", "CPUs", "memory", "shared memory", "GPUs", "disk", "open files", "proxies", "clock"}


def test_where_ray_does_not_start_the_machine_is_examined_all_the_same(tmp_path, monkeypatch):
    def refuse(address, check_versions):
        raise ResourceError("Ray cannot be started on this machine: no room; make some")

    monkeypatch.setattr(examine, "connected", refuse)
    told = []
    found = examine.examine(None, tmp_path / "runs", told=told.append)
    assert tuple(told) == found.findings
    assert {one.check for one in found.findings} == CHECKS
    (failure,) = found.of("failure")
    assert (failure.text, failure.remedy) == ("Ray cannot be started on this machine: no room", "make some")


@pytest.mark.parametrize(
    ("answer", "status", "text"),
    [(None, "ok", "answers"), (URLError("no route"), "warning", "no route"), (TimeoutError("slow"), "warning", "slow")],
)
def test_the_hub_is_asked_for_a_sign_of_life(answer, status, text, monkeypatch):
    import contextlib

    def urlopen(request, timeout):
        assert request.get_method() == "HEAD"
        if answer is not None:
            raise answer
        return contextlib.nullcontext()

    monkeypatch.setattr(examine, "urlopen", urlopen)
    monkeypatch.setattr(examine.constants, "HF_HUB_OFFLINE", False)
    found = examine._hub("a")
    assert (found.status, text in found.text) == (status, True)
    monkeypatch.setattr(examine.constants, "HF_HUB_OFFLINE", True)
    assert examine._hub("a").text == "not asked: HF_HUB_OFFLINE=1 is set"


def test_storage_that_the_driver_does_not_see_is_a_failure(monkeypatch, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    nodes = {"NodeID": "x"}
    monkeypatch.setattr(examine, "_on", lambda node, function, *arguments: function(*arguments))
    ok = examine._storage(nodes, "b", elsewhere, is_alone=False)
    assert (ok.status, ok.text) == ("ok", f"{elsewhere} can be written, synced, locked, and the driver sees it")
    monkeypatch.setattr(examine, "see_and_remove", lambda path: Path(path).unlink(missing_ok=True))
    unseen = examine._storage(nodes, "b", elsewhere, is_alone=False)
    assert (unseen.status, "the driver does not see" in unseen.text) == ("failure", True)
    assert "that all nodes see" in unseen.remedy
    assert not list(elsewhere.iterdir())
    missing = examine._storage(nodes, "b", Path("/no/such"), is_alone=False)
    assert (missing.status, missing.text) == ("failure", "/no/such: there is no such folder on this node")


def test_a_node_of_each_kind_trains():
    nodes = [
        {"NodeID": name, "Resources": resources}
        for name, resources in {
            "head": {"CPU": 0.0},
            "a": {"CPU": 4.0},
            "b": {"CPU": 4.0},
            "c": {"CPU": 4.0, "GPU": 1.0, "accelerator_type:H200": 1.0},
            "d": {"CPU": 4.0, "GPU": 1.0, "accelerator_type:L4": 1.0},
        }.items()
    ]
    assert [node["NodeID"] for node in examine._kinds(nodes)] == ["a", "c", "d"]


@pytest.mark.slow
def test_twenty_steps_are_trained_and_leave_no_trace():
    import torch

    before = torch.random.get_rng_state()
    speed = try_training()
    assert torch.equal(torch.random.get_rng_state(), before)
    assert speed.examples_per_second > BATCH / speed.seconds / 20
    assert speed.on.startswith("on ")


def test_an_error_of_a_node_is_one_line():
    error = SimpleNamespace(cause=ValueError("one\ntwo"))
    assert examine._line(error) == "ValueError: one"
    assert examine._line(KeyError("x" * 1000)).startswith("KeyError: 'xxx")
    assert len(examine._line(KeyError("x" * 1000))) == 300


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.ray
def test_the_command_leaves_nothing_and_says_all_as_json(tmp_path):
    (runs := tmp_path / "runs").mkdir()
    place = tempfile.mkdtemp(dir="/tmp", prefix="d")  # no other test's Ray is there
    code, out, said = called(_examine_alone, place, runs)
    assert code == 0, said
    found = json.loads(out)
    assert {one["check"] for one in found["findings"]} == CHECKS | {"storage", "trial"}
    (ray,) = [one["text"] for one in found["findings"] if one["check"] == "Ray"]
    assert "joined" not in ray
    assert found["num_failures"] == 0
    (trial,) = [one["text"] for one in found["findings"] if one["check"] == "trial"]
    assert "20 steps in" in trial
    assert "examples/s on" in trial
    assert not list(runs.iterdir())
    os.rmdir(place)  # it is empty


def _examine_alone(place: str, runs: Path) -> tuple[int, str, str]:
    """Run the command where no Ray of the tests is known, and a Ray of its own keeps its files at a place of its own."""
    for name in OF_OTHER_RAYS:
        os.environ.pop(name, None)
    os.chdir(runs)
    asked: list[str] = []
    scratch._places = lambda: asked.append(place) or [place]
    done = run("doctor", "--json")
    assert asked, done.said
    return done.code, done.out, done.said


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.ray
def test_every_node_of_a_cluster_is_examined(ray_cluster, tmp_path):
    from ray.cluster_utils import Cluster

    from tests.ray_workers import warm_workers

    with warm_workers():  # by the token of the session's Ray
        cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
        for _ in range(2):
            cluster.add_node(num_cpus=1)
    address = cluster.address
    try:
        asked = ["doctor", "--json", "--address", address, "--output", str(tmp_path / "runs")]
        done = subprocess.run([sys.executable, "-m", "raybert", *asked], capture_output=True, text=True, check=False)
    finally:
        cluster.shutdown()
    assert done.returncode == 0, done.stderr
    found = [SimpleNamespace(**one) for one in json.loads(done.stdout)["findings"]]
    assert [one for one in found if one.status == "failure"] == []
    (joined,) = [one for one in found if one.check == "Ray"]
    assert f"joined at {address}, 3 nodes" in joined.text
    assert [one.text.partition(", ")[2] for one in found if one.check == "CPUs"].count("1 in Ray") == 2
    assert sum(one.check == "storage" for one in found) == 3
    assert sum(one.check == "trial" for one in found) == 1  # of two nodes of one kind
    assert not list(tmp_path.iterdir())


def test_an_object_store_is_used_from_every_node_and_only_the_driver_must(tmp_path, monkeypatch):
    files = failing(tmp_path / "store")
    monkeypatch.setattr(object_store, "open_store", lambda url, tries: local_store(tmp_path / "store", files))
    monkeypatch.setattr(examine, "_on", lambda node, function, *arguments: function(*arguments))
    monkeypatch.setattr(
        examine.ray, "get_runtime_context", lambda: SimpleNamespace(get_node_id=lambda: "here"), raising=True
    )
    here, there = {"NodeID": "here"}, {"NodeID": "there"}
    for node in (here, there):
        found = examine._object_store(node, "a", "s3://bucket/runs/x")
        assert found.status == "ok"
        assert found.text.startswith("s3://bucket/runs/x can be written, read, listed and deleted in (")
    assert not [path for path in (tmp_path / "store").rglob("*") if path.is_file()]
    files.left = 0
    failure = examine._object_store(here, "a", "s3://bucket/runs/x")
    assert failure.status == "failure"
    assert "must answer, but does not" in failure.text
    assert failure.remedy == "the same command goes on when it is back"
    warning = examine._object_store(there, "b", "s3://bucket/runs/x")
    assert (warning.status, warning.remedy) == ("warning", "runs need none: the driver publishes")


def test_a_url_that_is_none_of_an_object_store_is_refused():
    with pytest.raises(ConfigError, match="output: must be a path here, got the URL ftp://x/y"):
        examine.examine(None, "ftp://x/y")
