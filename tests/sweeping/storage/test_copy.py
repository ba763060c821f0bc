"""Copies for readers: what is needed and no more, brought up to date, followed, and never outside of their folder."""

import io
import tarfile

import pytest

from raybert.errors import SweepError
from raybert.files import write_json
from raybert.polling import wait_until
from raybert.sweeping.folder.owner import OwnerWatch, read_owner
from raybert.sweeping.storage import copy as module
from raybert.sweeping.storage.copy import Needs, copied, results_folders
from raybert.sweeping.storage.fetch import fetch_unfinished
from raybert.sweeping.storage.lease import take
from raybert.sweeping.storage.parts import ATTEMPT, REQUEST
from raybert.sweeping.storage.publish import Publisher
from tests.object_stores import Failing, failing
from tests.sweeping.storage.moments import NUM_MOMENTS, A, B, go_to

URL = "s3://bucket/runs/x"


@pytest.fixture
def files(tmp_path, monkeypatch):
    found = failing(tmp_path / "store")
    monkeypatch.setattr(module, "open_store", lambda url: store_at(url, found))
    monkeypatch.setattr(module, "_SECONDS_BETWEEN_LOOKS", 0.05)
    monkeypatch.setattr("os.fsync", lambda descriptor: None)
    monkeypatch.setenv("RAYBERT_CACHE", str(tmp_path / "cache"))
    return found


def store_at(url: str, files: Failing):
    return module.Store(url, tries=1, filesystem=files, root=url.removeprefix("s3://bucket/"))


@pytest.fixture
def store(files, tmp_path):
    """The results of all moments, as they were published."""
    found, work = store_at(URL, files), tmp_path / "work"
    work.mkdir()
    publisher = Publisher(work, found, tmp_path / "published.json")
    for moment in range(NUM_MOMENTS):
        go_to(work, moment)
    publisher.publish()
    found.put_bytes(ATTEMPT, b"1")
    return found


def names_in(folder):
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_who_asks_how_it_stands_gets_no_models_and_who_predicts_does(store):
    with copied(URL, Needs.STATUS) as folder:
        found = names_in(folder)
    assert {"plan.json", f"trials/{A}/result.json", f"trials/{A}/evaluations.jsonl"} <= found
    assert not [name for name in found if "checkpoint" in name or name.startswith(("best", "signals", "results"))]
    with copied(URL, Needs.RESULTS) as folder:
        assert {"results/trials.csv", f"trials/{A}/selection.parquet"} <= names_in(folder)
    with copied(URL, Needs.MODELS) as folder:
        assert {"best/model.safetensors", f"trials/{B}/checkpoint/best/COMPLETE"} <= names_in(folder)


def test_a_copy_is_brought_up_to_date_and_fetches_only_what_has_changed(store, files):
    with copied(URL, Needs.RESULTS):
        pass
    reads, read = [], files.open_input_stream
    files.open_input_stream = lambda path: (reads.append(path), read(path))[1]
    store.put_bytes("results/trials.csv", b"b\n1\n")
    store.delete(f"trials/{A}/result.json")
    with copied(URL, Needs.RESULTS) as folder:
        assert (folder / "results" / "trials.csv").read_text() == "b\n1\n"
        assert not (folder / "trials" / A / "result.json").exists()
    assert [path for path in reads if "/results/" not in path] == []


def test_a_folder_inside_of_the_results_is_found_there(store):
    with copied(f"{URL}/trials/{B}/checkpoint/best", Needs.MODELS) as model:
        assert (model / "model.safetensors").read_text() == f"best of {B}"
        assert not (model.parents[3] / "best").exists()
        assert not [name for name in names_in(model.parents[3]) if A in name]


def test_where_nothing_is_that_is_said(store):
    for url in ("s3://bucket/runs/none", f"{URL}/trials/none/checkpoint"):
        with pytest.raises(SweepError, match=r"^s3://bucket/runs/(none|x).*: must be "), copied(url, Needs.STATUS):
            pass


def test_results_folders_below_a_url_are_listed_by_their_urls(store, files):
    store_at("s3://bucket/runs/deep/y", files).put_bytes(ATTEMPT, b"1")
    assert results_folders("s3://bucket/runs") == ["s3://bucket/runs/deep/y", URL]
    assert results_folders(URL) == [URL]


def test_what_is_followed_shows_the_heartbeat_and_hands_a_request_on(store):
    lease = take(store, print)
    with copied(URL, Needs.STATUS, is_followed=True) as folder:
        assert read_owner(folder).pid == lease.owner.pid
        watch = OwnerWatch(folder, 20.0)
        assert watch.is_alive() is None, "nobody knows until the heartbeat has changed"
        lease.write()
        assert wait_until(lambda: watch.is_alive() is True, 0.05, 20)
        write_json(folder / REQUEST, {"command": "stop"})
        assert wait_until(lambda: store.has(REQUEST), 0.05, 20)
        store.delete(REQUEST)  # as the owner does when it takes it
        assert wait_until(lambda: not (folder / REQUEST).exists(), 0.05, 20)


def test_what_a_command_writes_goes_back_into_the_store_and_nothing_else(store):
    before = store.list()
    with copied(URL, Needs.RESULTS, gives_back=True) as folder:
        (folder / "results" / "trials.csv").write_text("new\n")
        (folder / "report.html").write_text("<html>")
        (folder / "trials" / A / "result.json").write_text("{}")
    assert store.get_bytes("results/trials.csv") == b"new\n"
    assert store.get_bytes("report.html") == b"<html>"
    assert store.list().keys() - before.keys() == {"report.html"}
    assert store.get_bytes(f"trials/{A}/result.json") != b"{}"
    assert store.has("best/model.safetensors"), "what was not fetched was not deleted"


def test_names_and_archives_of_somebody_else_do_not_lead_out_of_the_folder(store, files, tmp_path, monkeypatch):
    listed = store.list()
    evil = {**listed, "results/../../../stolen.txt": next(iter(listed.values()))}
    monkeypatch.setattr(module.Store, "list", lambda self, prefix="": evil)
    words = r"must have names that are paths in a folder, got 'results/\.\./"
    with pytest.raises(SweepError, match=words), copied(URL, Needs.RESULTS):
        pass
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        info = tarfile.TarInfo("../../stolen.txt")
        archive.addfile(info, io.BytesIO())
    store.put_bytes(f"trials/{A}/unfinished.tar", packed.getvalue())
    target = tmp_path / "deep" / "target"
    assert not fetch_unfinished(store, target, f"trials/{A}")
    assert not list(tmp_path.rglob("stolen.txt"))
