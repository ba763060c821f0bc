"""`cluster.yaml` and `clusters/`: valid to Ray, private, the same versions everywhere, and no failed command is hidden."""

import os
import re
import subprocess
from pathlib import Path

import jsonschema
import pytest
import ray
import yaml
from ray.autoscaler._private.util import prepare_config, validate_config

ROOT = Path(__file__).resolve().parents[3]
LAUNCHED = [ROOT / "cluster.yaml", ROOT / "clusters" / "hosts.yaml", ROOT / "clusters" / "gcp.yaml"]
FILES = pytest.mark.parametrize("file", LAUNCHED, ids=lambda file: file.name)
STUBS = ("mountpoint", "sudo", "curl", "sh", "apt-get")


def read(file: Path) -> dict:
    return yaml.safe_load(file.read_text())


@FILES
def test_ray_takes_the_file_and_makes_a_cluster_of_it(file):
    prepared = prepare_config(read(file))
    validate_config(prepared)
    assert prepared["available_node_types"][prepared["head_node_type"]]["resources"].get("GPU") is None
    with pytest.raises(jsonschema.ValidationError, match="no_such_key"):
        validate_config(prepared | {"no_such_key": 1})


@pytest.mark.parametrize("name", ["cluster.yaml", "clusters/gcp.yaml"])
def test_gpu_workers_come_and_go_as_spot_first_and_the_head_is_none(name):
    given = read(ROOT / name)
    kinds = given["available_node_types"]
    assert given["head_node_type"] == "head"
    assert kinds["head"]["resources"] == {"CPU": 0}
    spot, fallback = kinds["gpu_spot"], kinds["gpu_on_demand"]
    assert spot["resources"] == fallback["resources"] == {"CPU": 8, "GPU": 1}
    assert spot["priority"] > fallback["priority"]  # Ray's autoscaler takes it first while there are such machines
    assert [kind["min_workers"] for kind in (spot, fallback)] == [0, 0]
    assert given["max_workers"] == spot["max_workers"] == 8
    is_spot = [re.search("spot", str(kind["node_config"]), re.IGNORECASE) is not None for kind in (spot, fallback)]
    assert is_spot == [True, False]


@FILES
def test_the_cluster_is_private_and_asks_for_its_token(file):
    given = read(file)
    assert given["file_mounts"]["~/.ray/auth_token"] == "~/.ray/auth_token"
    starts = [given[f"{kind}_start_ray_commands"][-1] for kind in ("head", "worker")]
    assert all("RAY_AUTH_MODE=token " in command for command in starts)
    # And in every shell of a node: without it `ray status` there is refused by the head, token or not. Trials read the
    # encoder where the driver has put it: in a cache that only the head sees they do not find it.
    assert (
        sum(
            "RAY_AUTH_MODE=token RAYBERT_CACHE=/shared/cache' >> ~/.bashrc" in command
            for command in given["setup_commands"]
        )
        == 1
    )
    assert "--dashboard-host=127.0.0.1" in starts[0]
    assert "0.0.0.0" not in file.read_text()


@FILES
def test_every_node_has_one_python_to_the_patch_level_and_the_versions_of_the_head(file):
    given = read(file)
    pythons = set(re.findall(r"--python (3\S*)", file.read_text()))
    assert pythons == {"3.12.12"}
    assert "FROM python:3.12.12-slim" in (ROOT / "clusters" / "Dockerfile").read_text()
    (written,) = re.findall(r"mv \S+ (\S+)", " ".join(given["head_setup_commands"]))
    assert f"--constraint {written} ~/raybert[submit]" in given["worker_setup_commands"][-1]
    # With Ray's dashboard, by which `ray dashboard` and `raybert submit` work; raybert alone has none.
    assert "~/raybert[submit]" in given["head_setup_commands"][0]


@FILES
@pytest.mark.slow
def test_no_command_hides_that_it_failed(file, tmp_path):
    """Every command is run with programs that do nothing: all is well; then each program fails, and so does its command."""
    given = read(file)
    commands = [
        command.replace("/shared", str(tmp_path / "shared"))
        for part in ("setup_commands", "head_setup_commands", "worker_setup_commands")
        for command in given[part]
    ]
    assert not [command for command in commands if re.search(r"\|\|\s*(true|:)\s*$|;\s*true\s*$", command)]
    uv, venv = tmp_path / ".local" / "bin" / "uv", tmp_path / "bin"
    for folder in (uv.parent, venv, tmp_path / "shared"):
        folder.mkdir(parents=True)
    programs = [uv, *(venv / name for name in STUBS)]

    def run(command: str, broken: Path | None) -> int:
        for program in programs:
            program.write_text(f"#!/bin/bash\necho torch==2.13.0\nexit {3 if program == broken else 0}\n")
            program.chmod(0o755)
        environment = {"HOME": str(tmp_path), "USER": "me", "PATH": f"{venv}:{os.environ['PATH']}"}
        return subprocess.run(["bash", "-c", command], env=environment, capture_output=True, check=False).returncode

    assert [run(command, None) for command in commands] == [0] * len(commands), commands
    installs = [command for command in commands if "bin/uv " in command and "test -x" not in command]
    assert len(installs) >= 4
    assert all(run(command, uv) != 0 for command in installs)
    mounts = [command for command in commands if command.startswith("mountpoint")]
    assert len(mounts) == (0 if file.name == "hosts.yaml" else 1)
    for command in mounts:
        (venv / "mountpoint").unlink()
        programs.remove(venv / "mountpoint")
        assert run(command, venv / "sudo") != 0


def test_the_ray_job_is_of_this_version_of_ray_and_keeps_its_token_in_a_secret():
    job = read(ROOT / "clusters" / "kuberay.yaml")
    spec = job["spec"]["rayClusterSpec"]
    assert (job["kind"], spec["rayVersion"]) == ("RayJob", ray.__version__)
    workers = spec["workerGroupSpecs"][0]
    assert (workers["minReplicas"], workers["maxReplicas"]) == (0, 8)
    for group in (spec["headGroupSpec"], workers):
        (container,) = group["template"]["spec"]["containers"]
        token = next(each for each in container["env"] if each["name"] == "RAY_AUTH_TOKEN")
        assert token["valueFrom"] == {"secretKeyRef": {"name": "raybert-token", "key": "token"}}
        assert "nvidia.com/gpu" not in container["resources"]["limits"] or group is workers
    assert job["spec"]["shutdownAfterJobFinishes"]


def test_shell_scripts_are_shell():
    assert subprocess.run(["bash", "-n", ROOT / "clusters" / "slurm.sh"], check=False).returncode == 0
