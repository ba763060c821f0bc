"""Sweeps whose results go into an object store: killed, gone on with from another machine, stopped, refused."""

import contextlib
import json
import os
import signal
from pathlib import Path

import pytest

import raybert
from raybert.storage import open_store
from tests.faults.sweeps import assert_same_end, assert_same_tables, finish, started
from tests.object_stores import KEYS, s3_server
from tests.processes import wait_until

pytestmark = [pytest.mark.long, pytest.mark.slow, pytest.mark.ray]


@pytest.fixture(scope="module")
def server():
    with s3_server() as url:
        yield {**KEYS, "AWS_ENDPOINT_URL": url}


@pytest.fixture
def place(request):
    """A results folder in the store, of the test alone."""
    return f"s3://bucket/runs/{request.node.name.replace('[', '-').rstrip(']')}"


def machine(server, folder):
    """The environment of a machine with an empty cache but for the corpus."""
    folder.mkdir(exist_ok=True)
    return {**server, "RAYBERT_CACHE": str(folder)}


def all_of(place, target):
    """All that is in the store, as another tool copies it."""
    store = open_store(place)
    for name in store.list():
        store.get_file(name, target / name)
    return target


def wait_for(place, suffix, number=1):
    store = open_store(place)
    return wait_until(
        lambda: len([name for name in store.list() if name.endswith(suffix)]) >= number and True,
        f"{number} objects {suffix}",
    )


def test_a_sweep_gives_the_same_as_on_a_disk_and_nothing_holds_a_credential(
    server, place, ground, undisturbed, tmp_path, address
):
    file = ground.write(tmp_path / "sweep.yaml")
    code, said = finish(file, place, "--address", address, environment=machine(server, tmp_path / "one"))
    assert code == 0, said
    assert place in said
    found = all_of(place, tmp_path / "copy")
    assert_same_end(found, undisturbed)
    assert_same_tables(Path(raybert.load_sweep(place).folder), undisturbed)
    secret = KEYS["AWS_SECRET_ACCESS_KEY"].encode()
    for folder in (found, tmp_path / "one"):
        assert not [path for path in folder.rglob("*") if path.is_file() and secret in path.read_bytes()]
    assert secret.decode() not in said
    assert not [name for name in open_store(place).list() if name.startswith("owners/") and name != "owners/"]


def test_a_killed_driver_is_gone_on_with_from_another_machine_at_its_last_checkpoint(
    server, place, ground, undisturbed, tmp_path, address
):
    file = ground.write(tmp_path / "sweep.yaml")
    ground.traps.lay("gate")
    with started(file, place, "--address", address, environment=machine(server, tmp_path / "one")) as driver:
        ground.traps.wait_for_trial()
        wait_for(place, "/unfinished.tar")
        driver.kill()
    ground.traps.clear()
    code, said = finish(file, place, "--address", address, environment=machine(server, tmp_path / "two"))
    assert code == 0, said
    found = all_of(place, tmp_path / "copy")
    assert_same_end(found, undisturbed)
    restarts = [path.read_text() for path in found.glob("trials/*/restarts.jsonl")]
    assert restarts, "the trial began anew in place of going on"


def test_a_second_driver_is_refused_and_a_request_from_elsewhere_stops_the_first(
    server, place, ground, undisturbed, tmp_path, address
):
    file = ground.write(tmp_path / "sweep.yaml")
    ground.traps.lay("gate")
    elsewhere = machine(server, tmp_path / "two")
    with started(file, place, "--address", address, environment=machine(server, tmp_path / "one")) as driver:
        ground.traps.wait_for_trial()
        code, said = finish(file, place, "--address", address, environment=elsewhere)
        assert code == 2
        assert "in use by another raybert process" in said
        with pytest.MonkeyPatch.context() as patch:
            for name, value in elsewhere.items():
                patch.setenv(name, value)
            assert raybert.status(place).owner
            raybert.stop(place)
        ground.traps.open()
        code, said = driver.end()
        assert code == 3, said
    ground.traps.clear()
    code, said = finish(file, place, "--address", address, environment=elsewhere)
    assert code == 0, said
    assert_same_end(all_of(place, tmp_path / "copy"), undisturbed)


def test_ctrl_c_leaves_everything_published(server, place, ground, tmp_path, address):
    file = ground.write(tmp_path / "sweep.yaml")
    ground.traps.lay("gate")
    with started(file, place, "--address", address, environment=machine(server, tmp_path / "one")) as driver:
        ground.traps.wait_for_trial()
        os.kill(driver.pid, signal.SIGINT)
        ground.traps.open()
        code, said = driver.end()
        assert code == 3, said
    (work,) = (tmp_path / "one" / "remote").glob("*/work/*")
    found = all_of(place, tmp_path / "copy")
    with contextlib.suppress(FileNotFoundError):
        for path in found.glob("trials/*/unfinished.tar"):
            assert (work / path.relative_to(found).parent / "checkpoint/last/COMPLETE").exists()
    assert json.loads((found / "state.json").read_text())["phase"] == "stopped"
    results = {path.relative_to(work): path.read_bytes() for path in work.glob("trials/*/result.json")}
    assert results == {path.relative_to(found): path.read_bytes() for path in found.glob("trials/*/result.json")}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"url": "s3://nobucket/x"}, "the bucket does not exist; make it"),
        ({"AWS_ENDPOINT_URL": "http://127.0.0.1:9"}, "must answer, but does not"),
    ],
)
def test_a_store_that_cannot_be_used_is_one_line_and_exit_code_2(server, ground, tmp_path, address, changes, words):
    file = ground.write(tmp_path / "sweep.yaml")
    url = changes.pop("url", "s3://bucket/x")
    environment = {**machine(server, tmp_path / "one"), **changes}
    code, said = finish(file, url, "--address", address, environment=environment)
    assert code == 2, said
    assert words in said
    assert "Traceback" not in said
    assert len([line for line in said.splitlines() if "error" in line]) == 1
