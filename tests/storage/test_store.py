"""Objects: whole or not there; errors in one line, and again where they may pass."""

import pytest

from raybert.errors import ExitCode, StorageAway, StorageError
from raybert.storage import Store
from raybert.storage import store as module
from tests.object_stores import AWAY, failing, local_store


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch):
    monkeypatch.setattr(module.time, "sleep", lambda seconds: None)


def test_objects_are_put_read_listed_and_deleted(tmp_path):
    store = local_store(tmp_path / "store")
    store.put_bytes("a/b.txt", b"one")
    (tmp_path / "file").write_bytes(b"two")
    assert store.put_file("a/c.txt", tmp_path / "file") == 3
    assert {name: found.size_bytes for name, found in store.list().items()} == {"a/b.txt": 3, "a/c.txt": 3}
    assert list(store.list("a")) == ["a/b.txt", "a/c.txt"]
    assert store.list("none") == {}
    assert store.get_bytes("a/c.txt") == b"two"
    assert store.get_file("a/b.txt", tmp_path / "deep" / "copy")
    assert (tmp_path / "deep" / "copy").read_bytes() == b"one"
    store.delete("a/b.txt")
    store.delete("a/b.txt")
    assert not store.has("a/b.txt")
    assert store.get_bytes("a/b.txt") is None
    assert not store.get_file("a/b.txt", tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_a_large_file_is_sent_part_by_part(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "AT_ONCE", 10)
    (tmp_path / "file").write_bytes(bytes(range(256)))
    store = local_store(tmp_path / "store")
    assert store.put_file("x", tmp_path / "file") == 256
    assert store.get_bytes("x") == bytes(range(256))


class Wrong:
    """A store that fails a number of times in some words, and then answers."""

    def __init__(self, words, times):
        self.words, self.times, self.calls = words, times, 0

    def delete_file(self, path):
        self.calls += 1
        if self.calls <= self.times:
            raise OSError(self.words)


def test_what_may_pass_is_tried_again_a_bounded_number_of_times():
    files = Wrong(AWAY, 4)
    Store("s3://b/x", tries=5, filesystem=files).delete("y")
    assert files.calls == 5
    files = Wrong(AWAY, 99)
    with pytest.raises(StorageAway, match=r"^s3://b/x: must answer, but does not \(.*NETWORK_CONNECTION"):
        Store("s3://b/x", tries=5, filesystem=files).delete("y")
    assert files.calls == 5


@pytest.mark.parametrize(
    ("words", "remedy"),
    [
        ("AWS Error NO_SUCH_BUCKET during PutObject operation: x", "the bucket does not exist; make it"),
        ("AWS Error ACCESS_DENIED during PutObject operation: x", "access is denied; the credentials"),
        ("AWS Error INVALID_ACCESS_KEY_ID during x", "does not know the access key"),
        ("AWS Error UNKNOWN (HTTP status 403) during x", "access is denied"),
    ],
)
def test_what_does_not_pass_is_said_at_once(words, remedy):
    files = Wrong(words, 99)
    with pytest.raises(StorageError, match=f"^s3://b/x: must be .* can be used: .*{remedy}") as refused:
        Store("s3://b/x", tries=5, filesystem=files).delete("y")
    assert files.calls == 1
    assert refused.value.exit_code == ExitCode.BAD_INPUT
    assert "\n" not in str(refused.value)


def test_a_file_of_this_machine_that_cannot_be_read_is_no_fault_of_the_store(tmp_path):
    with pytest.raises(FileNotFoundError):
        local_store(tmp_path / "store").put_file("x", tmp_path / "none")


def test_a_store_that_answers_no_call_is_away(tmp_path):
    store = local_store(tmp_path, failing(tmp_path, left=0))
    for act in (store.list, lambda: store.get_bytes("x"), lambda: store.put_bytes("x", b""), lambda: store.has("x")):
        with pytest.raises(StorageAway):
            act()
