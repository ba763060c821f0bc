"""A working folder: begun, gone on with here or on another machine, kept while the store is away, and given up."""

import contextlib

import pytest

from raybert.errors import ConfigError, StorageAway, SweepError
from raybert.files import write_text
from raybert.polling import wait_until
from raybert.sweeping.folder.owner import current_attempt
from raybert.sweeping.folder.trial_folder import TrialFolder
from raybert.sweeping.storage import lease as lease_module
from raybert.sweeping.storage import work as module
from raybert.sweeping.storage.lease import LeaseLost
from raybert.sweeping.storage.parts import REQUEST
from raybert.sweeping.storage.work import folder_of, home_of, work_at, working_folder
from tests.object_stores import failing, local_store
from tests.sweeping.storage.moments import A, B, checkpoint, contents, end, go_to, steps

URL = "s3://bucket/runs/x"


@pytest.fixture
def files(tmp_path, monkeypatch):
    """The store of the test, which may go away."""
    found = failing(tmp_path / "store")
    monkeypatch.setattr(module, "open_store", lambda url: local_store(tmp_path / "store", found))
    monkeypatch.setattr(module, "_PATIENCE_SECONDS", 0.0)
    monkeypatch.setattr(module, "SECONDS_BETWEEN_PASSES", 0.05)
    monkeypatch.setattr(module, "_SECONDS_BETWEEN_REQUESTS", 0.05)
    monkeypatch.setattr(lease_module, "SECONDS_BETWEEN_BEATS", 0.05)
    monkeypatch.setattr("os.fsync", lambda descriptor: None)
    at(monkeypatch, tmp_path / "laptop")
    return found


def at(monkeypatch, cache):
    monkeypatch.setenv("RAYBERT_CACHE", str(cache))


@contextlib.contextmanager
def owned(note=lambda words: None):
    """Work in the folder as `owned_folder` does."""
    with working_folder(URL, note) as folder:
        write_text(folder / "attempt", str(current_attempt(folder) + 1))
        yield folder


def test_what_is_done_here_is_gone_on_with_on_another_machine(files, tmp_path, monkeypatch):
    with owned() as folder:
        for moment in range(3):
            go_to(folder, moment)
        before = contents(folder)
    assert work_at(folder) is None
    at(monkeypatch, tmp_path / "other")
    with owned() as other:
        assert other != folder
        assert current_attempt(other) == 2
        found = contents(other)
        assert found.pop("attempt") != before.pop("attempt")
        assert found == before
        end(other, A)
    at(monkeypatch, tmp_path / "laptop")
    with owned() as again:
        assert again == folder
        assert TrialFolder(again / "trials" / A).status() == "complete"
        assert steps(again, B) == ("pending", 1)


def test_what_a_node_has_of_another_drivers_sweep_is_no_newest_folder(files, tmp_path, monkeypatch):
    with owned() as folder:
        go_to(folder, 0)
        go_to(folder, 3)
        before = contents(folder)
    at(monkeypatch, tmp_path / "node")
    staged = folder_of(URL)  # what `cluster.staging` makes there
    write_text(staged / "attempt", "1")
    write_text(staged / module.STAGED, "sign")
    with owned() as there:
        found = contents(there)
    assert found.pop("attempt") != before.pop("attempt")
    assert found == before


def test_the_same_machine_fetches_nothing_again(files):
    with owned() as folder:
        go_to(folder, 0)
        go_to(folder, 3)
    reads = []
    read, files.open_input_stream = files.open_input_stream, lambda path: (reads.append(path), read(path))[1]
    with owned() as folder:
        assert TrialFolder(folder / "trials" / A).status() == "complete"
    assert not [path for path in reads if "/trials/" in path]


def test_what_a_killed_process_has_not_published_is_published_by_the_next(files, tmp_path, monkeypatch):
    def work_until_it_is_away():
        with owned() as folder:
            go_to(folder, 0)
            files.left = 0
            end(folder, A)

    with pytest.raises(StorageAway, match=r"not all of it is published; it is kept in .*remote"):
        work_until_it_is_away()
    files.left = None
    with owned() as folder:
        assert TrialFolder(folder / "trials" / A).status() == "complete"
    at(monkeypatch, tmp_path / "other")
    with owned() as other:
        assert TrialFolder(other / "trials" / A).status() == "complete"


def test_what_is_finished_here_counts_also_when_somebody_else_went_on_meanwhile(files, tmp_path, monkeypatch):
    def work_until_it_is_away():
        with owned() as folder:
            go_to(folder, 0)
            work_at(folder).publisher.publish()
            files.left = 0
            end(folder, A)
            checkpoint(folder, B, 5)

    with pytest.raises(StorageAway, match="must answer, but does not"):
        work_until_it_is_away()
    files.left = None
    at(monkeypatch, tmp_path / "other")
    for name in lease_module.read_claims(local_store(tmp_path / "store", files)):
        files.delete_file(f"runs/x/{name}")  # after 30 s
    with owned() as other:
        assert TrialFolder(other / "trials" / A).status() == "pending"
        end(other, B)
    at(monkeypatch, tmp_path / "laptop")
    with owned() as folder:
        assert TrialFolder(folder / "trials" / A).status() == "complete"
        assert TrialFolder(folder / "trials" / B).status() == "complete"


def test_results_that_were_deleted_in_the_store_do_not_come_back(files, tmp_path):
    with owned() as folder:
        go_to(folder, 0)
        end(folder, A)
    for name in local_store(tmp_path / "store", files).list():
        files.delete_file(f"runs/x/{name}")
    with owned() as folder:
        assert contents(folder).keys() == {"attempt"}


def test_while_the_store_is_away_work_goes_on_and_is_published_when_it_is_back(files, tmp_path):
    notes, lost = [], []
    with owned() as folder, work_at(folder).published(notes.append, lost.append):
        go_to(folder, 0)
        files.left = 0
        end(folder, A)
        assert wait_until(lambda: len(notes) == 1, 0.05, 20)
        files.left = None
        assert wait_until(lambda: len(notes) == 2, 0.05, 20)
    assert "must answer, but does not" in notes[0]
    assert "what is finished is kept in" in notes[0]
    assert "answers again" in notes[1]
    assert not lost
    assert local_store(tmp_path / "store", files).has(f"trials/{A}/result.json")


def test_a_request_in_the_store_reaches_who_works_here(files, tmp_path):
    store = local_store(tmp_path / "store", files)
    with owned() as folder, work_at(folder).published(print, print):
        store.put_bytes(REQUEST, b'{"command": "stop"}')
        assert wait_until(lambda: (folder / REQUEST).exists(), 0.05, 20)
        assert wait_until(lambda: not store.has(REQUEST), 0.05, 20)


def test_somebody_who_takes_over_is_noticed_and_nothing_more_is_written(files, tmp_path):
    store, lost = local_store(tmp_path / "store", files), []

    def work_until_it_is_lost():
        with owned() as folder, work_at(folder).published(print, lost.append):
            for name in lease_module.read_claims(store):
                store.delete(name)
            assert wait_until(lambda: bool(lost), 0.05, 20)
            end(folder, A)

    with pytest.raises(LeaseLost, match="another process has taken over the folder; nothing more is written there"):
        work_until_it_is_lost()
    assert not store.has(f"trials/{A}/result.json")
    assert not lease_module.read_claims(store)


def test_two_commands_of_one_machine_do_not_share_a_working_folder(files):
    with owned(), pytest.raises(SweepError, match="in use by another raybert process"), owned():
        pass


def test_other_peoples_objects_are_left_alone(files, tmp_path):
    local_store(tmp_path / "store", files).put_bytes("thesis.tex", b"mine")
    words = r"^output: must be an empty folder or a results folder.*other objects \(thesis.tex\)"
    with pytest.raises(SweepError, match=words), owned():
        pass
    assert list(local_store(tmp_path / "store", files).list()) == ["thesis.tex"]


def test_a_url_with_a_password_is_refused_before_anything_is_made(tmp_path, monkeypatch):
    at(monkeypatch, tmp_path / "cache")
    with pytest.raises(ConfigError, match="without credentials"), working_folder("s3://me:sesame@bucket/x", print):
        pass
    assert not (tmp_path / "cache").exists()


def test_working_folders_of_two_urls_are_two(tmp_path, monkeypatch):
    at(monkeypatch, tmp_path)
    assert home_of(URL) != home_of(f"{URL}2")
    assert folder_of(f"{URL}?region=eu").name == "x"
