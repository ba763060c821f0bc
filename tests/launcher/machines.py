"""Machines of a cluster on this one: each has processes, a network, a home folder and temporary files of its own, and sshd.

    unshare --net --mount --pid --fork --kill-child --mount-proc python -m tests.launcher.machines FOLDER COUNT

Inside namespaces nothing that a launcher does (`ray stop`, what it writes into the home folder) reaches anything outside, and
nothing of them outlives the process. The process itself is the machine that commands are typed on, 10.77.0.1; the others are
10.77.0.2, ... It writes `FOLDER/ready` once all can be reached, and ends with its input.
"""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TYPED_ON = "10.77.0.1"
_SHELL = "PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=$HOME/raybert HF_HUB_OFFLINE=1 RAY_raylet_start_wait_time_s=300"
"""Of every machine; it must not name the environment: the cluster's file adds its own line only where none does."""
_SUMS = "OPENBLAS_"
"""Begins names of variables by which OpenBLAS takes the code of one processor or of another: the last digit of a sum."""


def address_of(number: int) -> str:
    """Return the address of a machine: 0, 1, 2, ..."""
    return f"10.77.0.{number + 2}"


_SSHD = """
Port 22
ListenAddress {address}
HostKey {folder}/host_key
AuthorizedKeysFile {folder}/key.pub
StrictModes no
UsePAM no
PasswordAuthentication no
PermitRootLogin prohibit-password
AcceptEnv *
MaxStartups 100
PidFile none
LogLevel ERROR
"""


def own_folders(folder: Path, name: str) -> str:
    """Return shell commands that give a namespace of mounts a home and temporary files of its own.

    What this process runs from (Python, its environment, the checkout, the folder) stays where it is. `~/raybert-venv` is the
    environment of this process, and `~/.local/bin/uv` says that everything is installed.
    """
    home, own = Path.home(), folder / name
    kept = sorted({Path(sys.base_prefix), Path(sys.prefix), ROOT, folder})
    lines = [f"mkdir -p {own}/.local/bin", f"ln -sfn {sys.prefix} {own}/raybert-venv"]
    lines += [f"printf '#!/bin/sh\\necho ray==2.60.0\\n' > {own}/.local/bin/uv", f"chmod +x {own}/.local/bin/uv"]
    sums = " ".join(f"{name}={value}" for name, value in os.environ.items() if name.startswith(_SUMS))
    lines += [f"echo 'export {_SHELL} {sums}' > {own}/.bashrc", f"ln -sfn {own}/.bashrc {own}/.bash_profile"]
    lines += ["mount -t tmpfs tmpfs /run", "mkdir -p /run/sshd"]
    for number, path in enumerate(kept):  # out of the way of what is mounted over it
        lines += [f"mkdir -p /run/kept/{number}", f"mount --bind {path} /run/kept/{number}"]
    lines += [f"mount --rbind {own} {home}", "mount -t tmpfs tmpfs /tmp", "chmod 1777 /tmp"]
    for number, path in enumerate(kept):
        if path.is_relative_to(home) or path.is_relative_to("/tmp"):
            lines += [f"mkdir -p {path}", f"mount --bind /run/kept/{number} {path}"]
    lines += ["mount -t tmpfs -o size=1g tmpfs /dev/shm"]
    return "\n".join(lines)


def begin(folder: Path, number: int) -> subprocess.Popen[bytes]:
    """Begin a machine: its shell waits for its end of a cable, then becomes sshd."""
    name, address = f"machine{number}", address_of(number)
    (folder / f"{name}.sshd").write_text(_SSHD.format(address=address, folder=folder))
    script = f"""
set -e
{own_folders(folder, name)}
hostname {name} || true
until ip link show eth0 > /dev/null 2>&1; do sleep 0.05; done
ip link set lo up
ip addr add {address}/24 dev eth0
ip link set eth0 up
ip route add default via {TYPED_ON}  # where nothing is, but Ray asks by it which address is its own
exec /usr/sbin/sshd -D -e -f {folder}/{name}.sshd
"""
    command = [
        "unshare",
        "--net",
        "--mount",
        "--pid",
        "--uts",
        "--fork",
        "--kill-child",
        "--mount-proc",
        "bash",
        "-c",
        script,
    ]
    log = (folder / f"{name}.log").open("wb")
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT)
    wait_for_network(process)
    cable = f"cable{number}"
    shell(f"ip link add {cable} type veth peer name eth0 netns {process.pid}")
    shell(f"ip link set {cable} master switch up")
    return process


def wait_for_network(process: subprocess.Popen[bytes]) -> None:
    """Wait until a machine's first process has left this network: its end of a cable would stay here, unplugged."""
    mine = os.readlink("/proc/self/ns/net")
    while os.readlink(f"/proc/{process.pid}/ns/net") == mine:
        assert process.poll() is None, f"a machine ended before it began: {process.args}"
        time.sleep(0.01)  # the kernel tells nobody of it


def wait_for_sshd(folder: Path, number: int, process: subprocess.Popen[bytes]) -> None:
    """Wait until a machine can be reached."""
    while True:
        assert process.poll() is None, (folder / f"machine{number}.log").read_text()
        with contextlib.suppress(OSError), socket.create_connection((address_of(number), 22), timeout=1):
            return
        time.sleep(0.05)


def shell(script: str) -> None:
    """Run shell commands."""
    subprocess.run(["bash", "-euc", script], check=True)


def main() -> None:
    folder, count = Path(sys.argv[1]), int(sys.argv[2])
    for key in ("key", "host_key"):
        shell(f"ssh-keygen -q -t ed25519 -N '' -f {folder}/{key}")
    shell(own_folders(folder, "typed_on"))
    shell(
        f"ip link set lo up; ip link add switch type bridge; ip addr add {TYPED_ON}/24 dev switch; ip link set switch up"
    )
    machines = [begin(folder, number) for number in range(count)]
    for number, process in enumerate(machines):
        wait_for_sshd(folder, number, process)
    (folder / "ready").write_text(str(os.getpid()))
    sys.stdin.read()


if __name__ == "__main__":
    main()
