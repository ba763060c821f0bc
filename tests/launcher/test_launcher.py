"""`ray up clusters/hosts.yaml` over SSH to machines of this one's namespaces: up, a sweep, a worker that dies, down."""

import json
import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

from tests.in_one_process import sweep_in_this_process
from tests.launcher.machines import ROOT, address_of
from tests.processes import called
from tests.same_results import assert_same_results

NAMESPACES = ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
HEAD, WORKER = 0, 1
PROGRAMS = ("sshd", "ssh", "ssh-keygen", "rsync", "ip", "unshare", "nsenter", "pgrep")
# Fixed ports, which a raylet does not wait for: on a busy machine it gives up after 15 s. A core and 200 MB a machine.
PORTS = ("dashboard-agent-listen-port", "dashboard-agent-grpc-port", "metrics-export-port", "runtime-env-agent-port")
SMALL = (
    "".join(f" --{name}={52365 + n}" for n, name in enumerate(PORTS)) + " --num-cpus=1 --object-store-memory=200000000"
)
PATIENCE = 300.0
SWEEP = """
name: launched
data: {train_examples: 240, validation_examples: 60, test_examples: 80, max_length: 32}
train: {length: {steps: 60}, precision: fp32}
selection: {budget: 0.5}
sweep: {strategies: [random, random_epoch, random_stratified], seeds: 6}
limits: {max_nodes: 2}
"""
"""The launcher starts a worker again of which it has not heard for a while: the sweep must not plan with one node then."""


def lacking() -> str | None:
    """Say what this environment lacks for machines of its own."""
    path = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"
    missing = [name for name in PROGRAMS if shutil.which(name, path=path) is None]
    if missing:
        return f"needs {', '.join(missing)} (apt-get install openssh-server rsync iproute2 procps)"
    if os.geteuid() != 0:
        return "needs root, for namespaces and sshd"
    tried = subprocess.run(
        [*NAMESPACES, "bash", "-c", "mount -t tmpfs tmpfs /tmp && ip link add switch type bridge"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return f"namespaces are refused here: {tried.stderr.strip()}" if tried.returncode else None


def wait_until(
    holds: Callable[[], Any], what: str, seconds: float = PATIENCE, said: Callable[[], str] = lambda: ""
) -> Any:
    """Return what a condition gives as soon as it gives something true; it is asked once a second, as it asks by SSH."""
    until = time.monotonic() + seconds
    while not (found := holds()):
        assert time.monotonic() < until, f"not within {seconds} s: {what}\n{said()}"
        time.sleep(1)
    return found


@dataclass(frozen=True)
class Machines:
    """A head, a worker, and the machine that is typed on.

    Attributes:
        folder: which all of them see.
        pid: of the first process of the machine that is typed on.
        file: the cluster's file.
    """

    folder: Path
    pid: int
    file: Path

    @property
    def shared(self) -> Path:
        return self.folder / "shared"

    def inside(self, command: str) -> list[str]:
        """Return a command line by which a command is typed there, in the checkout."""
        path = f"{Path(sys.executable).parent}:{os.defpath}:/usr/sbin:/sbin"
        kept = {"PATH": path, "HOME": str(Path.home()), "USER": "root", "PYTHONPATH": str(ROOT), "TERM": "dumb"}
        words = ["nsenter", "-t", str(self.pid), "-n", "-m", "-p", "--", "env", "-i"]
        words += [f"{name}={value}" for name, value in kept.items()]
        return [*words, "bash", "-c", f"cd {ROOT} && {command}"]

    def type(self, command: str, seconds: float = PATIENCE) -> str:
        """Run a command on the machine that is typed on; return what it said."""
        done = subprocess.run(
            self.inside(command),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=seconds,
            check=False,
        )
        assert done.returncode == 0, f"{command}: {done.returncode}\n{done.stdout[-4000:]}"
        return done.stdout

    def on(self, number: int, command: str) -> str:
        """Return a command that runs a command on a machine, by SSH."""
        return f"ssh -i {self.folder}/key -o StrictHostKeyChecking=no -o LogLevel=ERROR root@{address_of(number)} {shlex.quote(command)}"

    def raylets(self, number: int) -> list[str]:
        """Return the process of a machine that is its node, if there is one; it has a namespace of processes of its own."""
        return self.type(self.on(number, "pgrep -x raylet || true")).split()

    def said_by_launcher(self) -> str:
        """Return what the part of the launcher that runs on the head has said."""
        return self.type(self.on(HEAD, "tail -n 30 /tmp/ray/session_latest/logs/{monitor,raylet}.*"))

    def is_node(self, number: int) -> bool:
        """Tell whether Ray knows a machine as a living node."""
        script = "import ray; ray.init(logging_level=40); print([n['NodeManagerAddress'] for n in ray.nodes() if n['Alive']])"
        return f"'{address_of(number)}'" in self.type(
            f"ray exec --no-config-cache {self.file} {shlex.quote(f'python -c {shlex.quote(script)}')}"
        )


@pytest.fixture(scope="module")
def machines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machines]:
    reason = lacking()
    if reason is not None:
        pytest.skip(reason)
    folder = tmp_path_factory.mktemp("machines")
    command = [*NAMESPACES, sys.executable, "-m", "tests.launcher.machines", str(folder), "2"]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE) as process:
        try:
            wait_until(lambda: (folder / "ready").exists() or process.poll() is not None, "the machines", 60)
            assert process.poll() is None
            (first,) = psutil.Process(process.pid).children()
            yield Machines(folder, first.pid, cluster_file(folder))
        finally:
            process.kill()  # and with it everything in its namespaces


def cluster_file(folder: Path) -> Path:
    """Write `clusters/hosts.yaml` for these machines: other addresses and keys, another shared folder, and small nodes."""
    given = yaml.safe_load((ROOT / "clusters" / "hosts.yaml").read_text().replace("/shared", f"{folder}/shared"))
    given["provider"] |= {"head_ip": address_of(HEAD), "worker_ips": [address_of(WORKER)]}
    given["auth"] = {"ssh_user": "root", "ssh_private_key": f"{folder}/key"}
    for kind in ("head", "worker"):
        given[f"{kind}_start_ray_commands"][-1] += SMALL
    file = folder / "hosts.yaml"
    file.write_text(yaml.safe_dump(given))
    return file


def nodes_at_work(run: Path) -> set[str]:
    """Return the nodes on which trials have run, by their last heartbeats."""
    return {json.loads(path.read_text())["node_id"] for path in run.glob("trials/*/heartbeat.json")}


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_cluster_of_hosts_is_made_loses_a_worker_gets_it_back_and_gives_the_tables_of_one_machine(machines):
    file, run = machines.shared / "sweep.yaml", machines.shared / "runs"
    file.parent.mkdir()
    file.write_text(SWEEP)
    machines.type("ray get-auth-token --generate > /dev/null")
    machines.type(f"ray up -y --no-config-cache {machines.file}")
    wait_until(lambda: machines.raylets(WORKER), "a node on the worker", said=machines.said_by_launcher)
    # Its process is there before Ray knows it, on a busy machine by more than the sweep takes.
    wait_until(lambda: machines.is_node(WORKER), "a worker that Ray knows", said=machines.said_by_launcher)

    command = f"bash --login -c 'cd ~/raybert && raybert sweep {file} --address auto --output {run}'"
    sweep = subprocess.Popen(
        machines.inside(machines.on(HEAD, command)), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    with sweep:
        wait_until(lambda: len(nodes_at_work(run)) == 2 or sweep.poll() is not None, "trials on both machines")
        assert sweep.poll() is None, sweep.communicate()[0][-4000:]
        (lost,) = machines.raylets(WORKER)
        machines.type(machines.on(WORKER, f"kill -9 {lost}"))  # its node vanishes; its sshd is there for the launcher
        said, _ = sweep.communicate(timeout=2 * PATIENCE)
    assert sweep.returncode == 0, said[-4000:]
    wait_until(
        lambda: machines.raylets(WORKER) not in ([], [lost]),
        "another node on the worker",
        said=machines.said_by_launcher,
    )
    wait_until(lambda: machines.is_node(WORKER), "a worker that Ray knows")

    called(sweep_in_this_process, file, machines.folder / "alone")
    assert_same_results(run, machines.folder / "alone")

    machines.type(f"ray down -y {machines.file}")
    for number in (HEAD, WORKER):
        wait_until(lambda number=number: not machines.raylets(number), f"no node on machine {number}", 60)
