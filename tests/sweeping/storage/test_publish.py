"""Publishing that ends anywhere leaves a results folder in the store that goes on, and the next pass completes it."""

import os
import shutil

import pytest

from raybert.errors import StorageAway
from raybert.sweeping.folder.trial_folder import TrialFolder
from raybert.sweeping.storage.fetch import fetch_to_go_on
from raybert.sweeping.storage.parts import TAR
from raybert.sweeping.storage.publish import Publisher
from tests.object_stores import failing, local_store
from tests.sweeping.storage.moments import NUM_MOMENTS, A, B, contents, go_to, steps

ORDER = {"pending": 0, "failed": 1, "complete": 2}
MOST_STEPS = {A: 2, B: 3}


@pytest.fixture(autouse=True, scope="module")
def _no_syncs():
    """A process that ends loses nothing of what it has written, so nothing waits for the disk here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("os.fsync", lambda descriptor: None)
        yield


def publisher_of(folder, store):
    folder.mkdir(exist_ok=True)
    return Publisher.going_on(folder, store, folder.parent / "published.json")


def fetched(store, target):
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir()
    fetch_to_go_on(store, target, store.list())
    return target


@pytest.fixture(scope="module")
def num_calls(tmp_path_factory):
    """How many calls all moments take together, each published."""
    path = tmp_path_factory.mktemp("calls")
    files = failing(path / "store")
    publisher = publisher_of(path / "work", local_store(path / "store", files))
    for moment in range(NUM_MOMENTS):
        go_to(path / "work", moment)
        publisher.publish()
    return files.calls


def test_every_moment_is_published_as_it_is(tmp_path):
    work, store = tmp_path / "work", local_store(tmp_path / "store")
    publisher = publisher_of(work, store)
    for moment in range(NUM_MOMENTS):
        go_to(work, moment)
        publisher.publish()
        found = contents(fetched(store, tmp_path / "found"))
        assert found == contents(work), moment


def test_what_has_not_changed_is_not_put_again(tmp_path):
    work, files = tmp_path / "work", failing(tmp_path / "store")
    store = local_store(tmp_path / "store", files)
    publisher = publisher_of(work, store)
    for moment in range(4):
        go_to(work, moment)
    publisher.publish()
    before = files.calls
    publisher.publish()
    publisher_of(work, store).publish()  # another process that goes on
    assert files.calls == before


def test_a_run_that_has_ended_is_looked_through_again_only_when_its_folder_has_changed(tmp_path):
    work, store = tmp_path / "work", local_store(tmp_path / "store")
    publisher = publisher_of(work, store)
    go_to(work, 4)
    os.utime(work / "trials" / B, (1, 1))
    publisher.publish()
    assert list(publisher.settled) == [f"trials/{B}"]
    TrialFolder(work / "trials" / B).forget_failure()
    publisher.publish()
    assert not store.has(f"trials/{B}/failure.json")
    go_to(work, 4)
    publisher.publish()
    os.utime(work / "trials" / B, (1, 1))
    publisher.publish()
    (work / "trials" / B / "failure.json").write_text("{}")  # in place, which no time of the folder tells
    publisher.publish()
    assert store.get_bytes(f"trials/{B}/failure.json") != b"{}"
    publisher.publish(with_study=True)
    assert store.get_bytes(f"trials/{B}/failure.json") == b"{}"


def test_a_run_at_work_is_one_object_that_holds_its_checkpoint(tmp_path):
    work, store = tmp_path / "work", local_store(tmp_path / "store")
    publisher = publisher_of(work, store)
    for moment in range(3):
        go_to(work, moment)
    publisher.publish()
    assert f"trials/{A}/{TAR}" in store.list()
    assert not [name for name in store.list() if "checkpoint" in name]
    go_to(work, 3)
    publisher.publish()
    assert f"trials/{A}/{TAR}" not in store.list()
    assert f"trials/{A}/checkpoint/best/COMPLETE" in store.list()


EVERY = pytest.mark.parametrize("every", [7, pytest.param(1, marks=pytest.mark.long)])
"""Call, at which the store goes away."""


@EVERY
@pytest.mark.parametrize("tears", [False, True])
def test_wherever_it_ends_the_store_holds_what_goes_on(tmp_path, num_calls, tears, every):
    """After every number of calls the store goes away for good, as with a machine that is lost."""
    assert num_calls > 60
    for left in range(0, num_calls, every):
        path = tmp_path / str(left)
        path.mkdir()
        files = failing(path / "store", left, tears=tears)
        work, store = path / "work", local_store(path / "store", files)
        publisher, published = publisher_of(work, store), {A: ("pending", 0), B: ("pending", 0)}
        for moment in range(NUM_MOMENTS):
            go_to(work, moment)
            try:
                publisher.publish()
            except StorageAway:
                break
            published = {trial: steps(work, trial) for trial in (A, B)}
        files.left = None
        found = fetched(store, path / "found")
        for trial in (A, B):
            state, step = steps(found, trial)
            # What was published is not lost, except that a failure that is tried again may still, or no longer, count.
            is_retried = trial == B and published[B][0] in ("failed", "pending")
            assert is_retried or ORDER[state] >= ORDER[published[trial][0]], (left, trial, state, published)
            assert state != "pending" or step >= min(published[trial][1], MOST_STEPS[trial]) or tears, (left, trial)
            if state == "complete":
                assert (found / "trials" / trial / "selection.parquet").read_text() == f"chosen of {trial}"
                assert steps(found, trial)[1] == 0
                model = found / "trials" / trial / "checkpoint" / "best"
                assert not (model / "COMPLETE").exists() or (model / "model.safetensors").read_text()[:4] == "best"
            if state == "failed":
                assert TrialFolder(found / "trials" / trial).failure().kind
        if (found / "best" / "config.json").exists():
            assert (found / "best" / "model.safetensors").read_text() == "best"
        if (found / "signals/k/complete.json").exists():
            assert (found / "signals/k/block-00000.parquet").read_text() == "block"


@EVERY
def test_wherever_it_fails_once_the_next_pass_completes_it(tmp_path, num_calls, every):
    """The store is away for one call, or a process is killed there and another one goes on with the working folder."""
    for left in range(0, num_calls, every):
        path = tmp_path / str(left)
        path.mkdir()
        files = failing(path / "store", left, tears=left % 2 == 1)
        work, store = path / "work", local_store(path / "store", files)
        publisher = publisher_of(work, store)
        for moment in range(NUM_MOMENTS):
            go_to(work, moment)
            try:
                publisher.publish()
            except StorageAway:
                files.left = None
                if left % 3 == 0:
                    publisher = publisher_of(work, store)
                    publisher.may_have(store.list())
        files.left = None  # how many calls there are depends on which of several at once makes a folder
        publisher.publish()
        assert contents(fetched(store, path / "found")) == contents(work), left
        assert not [name for name in store.list() if name.endswith(TAR)]


def test_a_torn_object_is_no_part_of_a_run_that_counts(tmp_path):
    """A large object of another size than its file, as an upload that ends early leaves it, gets no mark."""
    work, store = tmp_path / "work", local_store(tmp_path / "store")
    publisher = publisher_of(work, store)
    go_to(work, 0)
    go_to(work, 3)
    put_file = type(store).put_file

    class Tearing(type(store)):
        def put_file(self, name, path):
            size = put_file(self, name, path)
            if name.endswith("selection.parquet"):
                self.put_bytes(name, b"half")
            return size

    publisher.store = Tearing(**vars(store))
    with pytest.raises(StorageAway, match=r"selection.parquet: must have \d+ bytes, has 4; it is put again"):
        publisher.publish()
    assert TrialFolder(fetched(store, tmp_path / "found") / "trials" / A).status() == "pending"
    publisher.store = store
    publisher.publish()
    assert TrialFolder(fetched(store, tmp_path / "found") / "trials" / A).status() == "complete"
