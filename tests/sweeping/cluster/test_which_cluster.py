"""Which cluster a command uses: the one that is asked for, of the same versions, or none."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from ray._private import utils

from raybert.errors import ResourceError
from raybert.sweeping.cluster import address as addresses
from raybert.sweeping.cluster import versions
from raybert.sweeping.cluster.connect import connected
from raybert.sweeping.cluster.versions import check_raybert, refusal_of_ray
from raybert.version import __version__
from tests.e2e.commands import FILE, SHRUNK_OPTIONS, run_forked


@pytest.mark.ray
def test_a_process_that_is_connected_refuses_every_other_address(address):
    port = address.rpartition(":")[2]
    for same in (None, "auto", "local", address, f"localhost:{port}"):
        with connected(same) as cluster:
            assert (cluster.cpus, cluster.address) == (2, None)  # this process has started it
    for other in ("127.0.0.1:1", f"10.255.255.1:{port}", f"head.invalid:{port}"):
        with pytest.raises(ResourceError) as refused, connected(other):
            pass
        assert str(refused.value) == (
            f"address: must be {address}, got {other}, but this process is connected to the Ray cluster at {address} "
            "(1 nodes) already; leave `address` out to use that one, or call ray.shutdown() before"
        )


def test_local_is_no_cluster_of_several_nodes_or_of_another_machine(monkeypatch):
    for joined, num_nodes, refused in (("10.0.0.5:6379", 1, True), ("127.0.0.1:1", 2, True), ("127.0.0.1:1", 1, False)):
        context = type("Context", (), {"gcs_address": joined})
        monkeypatch.setattr(addresses.ray, "get_runtime_context", lambda context=context: context)
        monkeypatch.setattr(addresses, "_is_of_this_machine", lambda host: host == "127.0.0.1")
        if not refused:
            addresses.check_is_joined("local", num_nodes)
            continue
        with pytest.raises(ResourceError, match=f"asks for a Ray on this machine alone, but .* at {joined} "):
            addresses.check_is_joined("local", num_nodes)


@pytest.mark.parametrize(("listens_here_alone", "same"), [(True, False), (False, True)])
def test_this_machine_by_another_of_its_addresses_is_the_same_head_if_that_listens_there(
    listens_here_alone, same, monkeypatch
):
    monkeypatch.setattr(addresses, "_is_of_this_machine", lambda host: True)
    monkeypatch.setattr(addresses, "is_on_this_machine_only", lambda address: listens_here_alone)
    assert addresses._is_same(("127.0.0.1", 6379), ("10.0.0.5", 6379)) is same
    assert not addresses._is_same(("127.0.0.1", 6379), ("10.0.0.5", 6380))


def test_the_refusal_of_another_ray_or_python_is_one_line_with_both():
    here = sys.version.split()[0]
    with pytest.raises(RuntimeError) as raised:
        utils.check_version_info({"ray_version": "2.59.0", "python_version": "3.10.1"}, "node 10.0.0.5")
    said = refusal_of_ray(raised.value)
    assert "\n" not in said
    assert said.startswith(f"runs Ray 2.59.0 on Python 3.10.1, and this is Ray 2.60.0 on Python {here}: ")
    assert "use an environment with `ray==2.59.0` on Python 3.10.1" in said
    assert refusal_of_ray(RuntimeError("no room")) is None


def test_nodes_of_another_raybert_are_named(monkeypatch):
    found = {"a": __version__, **dict.fromkeys("bcdef", "0.0.9"), "g": None}
    monkeypatch.setattr(versions, "_versions_of_nodes", lambda: found)
    with pytest.raises(ResourceError) as refused:
        check_raybert("head:6379")
    assert f"must have raybert {__version__}, as it is here, but b, c, d and 2 more has raybert 0.0.9; g has no" in str(
        refused.value
    )
    monkeypatch.setattr(versions, "_versions_of_nodes", lambda: {"a": __version__})
    check_raybert("head:6379")


@pytest.mark.slow
@pytest.mark.ray
def test_the_cluster_of_the_environment_is_said_in_terminal_and_manifest(address, tmp_path, monkeypatch):
    monkeypatch.setenv("RAY_ADDRESS", address)
    options = (*SHRUNK_OPTIONS, "--set", "sweep.strategies=[random]", "--set", "sweep.seeds=1")
    done = run_forked("sweep", FILE, "--output", tmp_path / "run", *options)
    assert done.code == 0, done.said
    note = f"joins the Ray cluster at {address}, which RAY_ADDRESS names"
    assert note in " ".join(done.said.split())
    manifest = json.loads((tmp_path / "run" / "manifest.json").read_text())
    assert manifest["joined"] == {"address": address, "named_by": "RAY_ADDRESS"}


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.ray
def test_a_node_with_another_raybert_is_refused_and_the_doctor_says_which(ray_cluster, tmp_path):
    from ray.cluster_utils import Cluster

    from tests.ray_workers import warm_workers

    other = tmp_path / "other" / "raybert"
    other.mkdir(parents=True)
    (other / "__init__.py").touch()
    (other / "version.py").write_text('__version__ = "0.0.9"\n')
    with warm_workers():  # by the token of the session's Ray
        cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    cluster.add_node(num_cpus=1, env_vars={"PYTHONPATH": str(other.parent)})
    try:
        asked = ("--output", tmp_path / "run", "--address", cluster.address)
        # elsewhere: workers find what lies in the folder of their driver
        done = run_forked("sweep", FILE, *asked, *SHRUNK_OPTIONS, cwd=tmp_path)
    finally:
        cluster.shutdown()
    assert done.code == 2, done.said
    assert f"must have raybert {__version__}, as it is here, but" in " ".join(done.said.split())
    assert "has raybert 0.0.9: install the same on all of them" in " ".join(done.said.split())
    assert not (tmp_path / "run").exists()


_DRIVER = """
import json, sys
from ray._private.runtime_env.uv_runtime_env_hook import _get_uv_run_cmdline
from raybert.sweeping.cluster.connect import connected
import ray
with connected(sys.argv[1]):
    there = ray.remote(lambda: [ray.get_runtime_context().runtime_env, __import__("sys").executable]).remote()
    env, python = ray.get(there)
    print(json.dumps({"uv": bool(_get_uv_run_cmdline()), "env": dict(env), "python": python}))
"""


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.ray
def test_uv_run_uploads_nothing_and_installs_nothing_in_workers(address, tmp_path):
    if importlib.util.find_spec("uv") is None:
        pytest.skip("uv is not installed (pip install uv)")
    from uv import find_uv_bin

    (tmp_path / "driver.py").write_text(_DRIVER)
    (tmp_path / "large.bin").write_bytes(b"x" * 1000)
    asked = [
        find_uv_bin(),
        "run",
        "--offline",
        "--no-project",
        "--python",
        sys.executable,
        "python",
        "driver.py",
        address,
    ]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path.cwd()), *sys.path])}
    done = subprocess.run(asked, capture_output=True, text=True, cwd=tmp_path, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["uv"]  # Ray itself would repeat `uv run` in every worker, and upload the folder
    assert set(found["env"]) == {"env_vars"}
    assert Path(found["python"]).resolve() == Path(sys.executable).resolve()
