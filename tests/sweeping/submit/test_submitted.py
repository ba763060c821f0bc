"""`raybert submit` to a real cluster on this machine's own address: the job outlives its client, and is asked from here."""

import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

import psutil
import pytest

from raybert.storage import open_store
from tests.e2e.commands import ROOT
from tests.object_stores import s3_server
from tests.pretraining.packed import documents
from tests.processes import wait_until

pytest.importorskip("aiohttp", reason="Ray's dashboard is not installed: pip install 'raybert[submit]'")
pytest.importorskip("opencensus", reason="Ray's dashboard is not installed: pip install 'raybert[submit]'")
pytestmark = [pytest.mark.long, pytest.mark.slow, pytest.mark.ray]
STRATEGY = """
import raybert
from parts_of_mine import longest


class Longest(raybert.Strategy):
    name = "longest"
    needs = frozenset({"lengths"})

    def choose(self, pool, budget):
        return longest(pool, budget)
"""
PARTS = """
import numpy as np
import raybert


def longest(pool, budget):
    lengths = np.asarray(pool.signals["lengths"])
    rows = np.lexsort((pool.tie_keys, -lengths))[:budget]
    return raybert.Selection(rows, lengths[rows].astype(float))
"""
FILE = """
name: sub
data: {source: data/train.csv, max_length: 16}
model: {encoder: raybert-tiny}
train: {length: {steps: 10}, batch_size: 8}
selection: {budget: 50}
sweep: {strategies: [random, "mine_of_test:Longest"], seeds: 1}
"""
STUDY = """
name: pre
corpora: {north: north.txt}
tokenizer: {vocabulary: 120}
model: {config: {hidden_size: 32, num_attention_heads: 2, intermediate_size: 48}}
pretrain: {length: {steps: 6}, eval_every: 3, max_length: 32, batch_size: 8, early_stopping: null}
resources: {gpus_per_worker: 0}
"""


def free_ports(count):
    with ExitStack() as stack:
        found = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [server.getsockname()[1] for server in found]


@pytest.fixture(scope="module")
def server():
    """An object store, which the environment of whatever is begun after it names."""
    with s3_server() as url:
        yield url


@pytest.fixture(scope="module")
def cluster(server, tmp_path_factory):
    """A head as `ray start` makes it, with a token and a dashboard; yields the dashboard and the environment of clients."""
    gcs, dashboard, http, grpc, metrics, client = free_ports(6)
    given = {name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "TUNE_"))}
    given |= {
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(32),
    }
    given |= {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    given |= {"PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])}
    with tempfile.TemporaryDirectory(prefix="rb-", dir="/tmp", ignore_cleanup_errors=True) as folder:
        asked = [
            *(sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block", "--disable-usage-stats"),
            *(f"--port={gcs}", "--num-cpus=2", "--node-ip-address=127.0.0.1", f"--temp-dir={folder}/ray"),
            *("--dashboard-host=127.0.0.1", f"--dashboard-port={dashboard}", f"--ray-client-server-port={client}"),
            *(f"--dashboard-agent-listen-port={http}", f"--dashboard-agent-grpc-port={grpc}"),
            *(f"--metrics-export-port={metrics}", "--min-worker-port=0", "--max-worker-port=0"),
        ]
        log = tmp_path_factory.mktemp("head") / "log"
        with log.open("w") as file:
            head = subprocess.Popen(asked, env=given, stdout=file, stderr=file)
        try:
            wait_until(lambda: answers(dashboard) or head.poll() is not None, "the dashboard", 180)
            assert head.poll() is None, log.read_text()
            yield f"http://127.0.0.1:{dashboard}", given
        finally:
            begun = psutil.Process(head.pid).children(recursive=True) if head.poll() is None else []
            head.terminate()
            head.wait(60)
            for process in begun:
                if process.is_running():
                    process.kill()


def answers(port):
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("user")
    (folder / "data").mkdir()
    rows = [f"{'good' if i % 2 else 'bad'} {' word' * (i % 7)} {i},{'p' if i % 2 else 'n'}" for i in range(300)]
    (folder / "data" / "train.csv").write_text("text,label\n" + "\n".join(rows))
    for name, text in {
        "sub.yaml": FILE,
        "mine_of_test.py": STRATEGY,
        "parts_of_mine.py": PARTS,
        "pre.yaml": STUDY,
    }.items():
        (folder / name).write_text(text)
    return folder


@pytest.fixture
def raybert(cluster, place):
    """Run a command line of a client of the cluster; returns exit code, standard output and error."""
    address, environment = cluster

    def run(*words, without_token=False):
        given = {key: value for key, value in environment.items() if not (without_token and key == "RAY_AUTH_TOKEN")}
        given |= {"HOME": str(place), "COLUMNS": "200"} if without_token else {"COLUMNS": "200"}
        asked = [sys.executable, "-m", "raybert", *map(str, words), "--address", address]
        done = subprocess.run(asked, capture_output=True, text=True, cwd=place, env=given, timeout=500, check=False)
        return done.returncode, done.stdout, done.stderr

    return run


@pytest.fixture(scope="module")
def job(cluster, place, tmp_path_factory):
    """A job whose client was killed as soon as it had sent it, and its results folder."""
    address, environment = cluster
    output = tmp_path_factory.mktemp("shared") / "sub"
    said = place / "said"
    asked = [sys.executable, "-m", "raybert", "submit", "sub.yaml", "--address", address, "--output", str(output)]
    with said.open("w") as file:
        client = subprocess.Popen(asked, cwd=place, env=environment, stdout=file, stderr=file)
    wait_until(lambda: "results in" in said.read_text() or client.poll() is not None, "the job", 180)
    assert client.poll() is None, said.read_text()
    client.send_signal(signal.SIGKILL)
    assert client.wait() == -signal.SIGKILL
    text = said.read_text()
    for name in ("sweep.yaml", "data/train.csv", "mine_of_test.py", "parts_of_mine.py"):
        assert f"    {name}  " in text
    return text.partition("job ")[2].split()[0], output


@pytest.mark.fault("client of a submitted sweep")
def test_a_job_outlives_its_client_and_is_followed_again_to_its_end(job, raybert, fault):
    name, output = job
    with fault.once():
        code, said, errors = raybert("submit", "--attach", name)
        assert code == 0, said + errors
    assert "note: joins the Ray cluster at 127.0.0.1:" in said
    assert "which RAY_ADDRESS names" in said
    assert "[2/2]" in said
    assert "Running entrypoint" not in said
    manifest = json.loads((output / "manifest.json").read_text())
    assert manifest["joined"]["named_by"] == "RAY_ADDRESS"
    assert [key for key in manifest["code"] if "mine_of_test:Longest" in key]


def test_commands_take_the_job_and_its_folder(job, raybert, place):
    name, output = job
    assert raybert("submit", "--attach", name)[0] == 0  # it has ended
    code, said, errors = raybert("status", name, "--json")
    assert code == 0, errors
    assert json.loads(said)["strategies"]["longest"] == {"complete": 1}
    code, said, errors = raybert("results", output, "--format", "csv")
    assert code == 0, errors
    assert said.startswith("strategy,")
    code, said, errors = raybert("report", name)
    assert code == 0, errors
    assert "fetched sub.report.html" in said
    assert (place / "sub.report.html").read_bytes() == (output / "report.html").read_bytes()


def test_stop_saves_and_the_job_ends_as_an_interrupted_sweep(cluster, raybert, tmp_path):
    output = tmp_path / "long"
    code, _, errors = raybert(
        *("submit", "sub.yaml", "--detach", "--output", output, "--set", "train.length={steps: 100000}")
    )
    assert code == 0, errors
    name = errors.partition("job ")[2].split()[0]
    assert f"raybert submit --attach {name} --address={cluster[0]}" in errors
    wait_until(
        lambda: list(output.glob("trials/*/heartbeat*")) or list(output.glob("trials/*/log.txt")), "a trial", 180
    )
    code, said, errors = raybert("stop", name)
    assert code == 0, said + errors
    assert "stopping: running trials save" in said
    code, said, errors = raybert("submit", "--attach", name)
    assert code == 3, said + errors
    assert f"continue with:  raybert submit sub.yaml --address {cluster[0]} --output {output} '--set=train" in said


def test_results_of_a_job_may_go_into_an_object_store(raybert, place):
    output = "s3://bucket/runs/sub"
    code, said, errors = raybert("submit", "sub.yaml", "--output", output)
    assert code == 0, said + errors
    assert f"results in {output} there" in errors
    name = errors.partition("job ")[2].split()[0]
    results = [name for name in open_store(output).list("trials") if name.endswith("/result.json")]
    assert len(results) == 2
    for target in (name, output):
        code, said, errors = raybert("status", target, "--json")
        assert code == 0, errors
        assert json.loads(said)["strategies"]["longest"] == {"complete": 1}
    code, said, errors = raybert("report", name)
    assert code == 0, errors
    assert (place / "sub.report.html").read_bytes() == open_store(output).get_bytes("report.html")


def test_a_pretraining_file_is_run_as_a_study(raybert, place, tmp_path):
    (place / "north.txt").write_text("\n".join(documents(120, 0)))
    output = tmp_path / "pre"
    code, said, errors = raybert("submit", "pre.yaml", "--output", output)
    assert code == 0, said + errors
    assert "    pretraining.yaml  " in errors
    assert "    north.txt  " in errors
    assert (output / "models" / "north-s0" / "model" / "model.safetensors").exists()
    assert (output / "crosseval").is_dir()


def test_without_the_token_it_is_one_line(raybert):
    code, said, errors = raybert("submit", "sub.yaml", "--output", "/tmp/x", without_token=True)
    assert (code, said) == (2, "")
    assert len(errors.strip().splitlines()) == 1
    assert "asks for a token, and there is none here" in errors
