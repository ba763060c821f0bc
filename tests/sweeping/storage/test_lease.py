"""One process works in a results folder of an object store: the others are refused, or take a dead one's place."""

import dataclasses
import json
import threading

import pytest

from raybert.errors import StorageAway, SweepError
from raybert.sweeping.storage import lease as module
from raybert.sweeping.storage.lease import LeaseLost, read_attempt, read_claims, take
from tests.object_stores import failing, local_store


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr(module, "FRESH_SECONDS", 0.6)
    monkeypatch.setattr(module, "_SECONDS_BETWEEN_LOOKS", 0.05)
    monkeypatch.setattr(module.random, "uniform", lambda low, high: 0.0)


def elsewhere(lease):
    """The claim of a lease, as a process on another host has written it."""
    return {**dataclasses.asdict(lease.owner), "host": "elsewhere", "owns": True, "beat": 1}


def test_the_first_one_stays_and_the_second_is_told_who_it_is(tmp_path):
    store, notes = local_store(tmp_path), []
    first = take(store, notes.append)
    assert first.owner.attempt == read_attempt(store) == 1
    with pytest.raises(
        SweepError, match=r"^s3://bucket/runs/x: in use by another raybert process \(pid \d+ on .*`raybert stop"
    ):
        take(store, notes.append)
    assert list(read_claims(store)) == [first.name]
    first.leave()
    assert take(store, notes.append).owner.attempt == 2
    assert not notes


def test_a_process_of_this_machine_that_has_ended_is_replaced_at_once(tmp_path):
    store, notes = local_store(tmp_path), []
    dead = {**elsewhere(take(store, notes.append)), "host": module.Owner.of_this_process(1).host, "process": "gone"}
    for name in read_claims(store):
        store.put_bytes(name, json.dumps(dead).encode())
    second = take(store, notes.append)
    assert second.owner.attempt == 2
    assert list(read_claims(store)) == [second.name]
    assert len(notes) == 1
    assert "taken over from" in notes[0]


def test_a_silent_one_elsewhere_is_replaced_and_notices_it(tmp_path):
    store, notes = local_store(tmp_path), []
    first = take(store, notes.append)
    store.put_bytes(first.name, json.dumps(elsewhere(first)).encode())
    second = take(store, notes.append)
    assert notes[0].startswith("note: looking for 1 s whether pid ")
    assert "has sent no heartbeat" in notes[1]
    assert first.look()
    with pytest.raises(LeaseLost, match="another process has taken over the folder"):
        first.check()
    second.check()


def test_one_elsewhere_that_lives_is_not_replaced(tmp_path):
    store, notes = local_store(tmp_path), []
    first = take(store, notes.append)
    left = threading.Event()

    def beat():
        count = 0
        while not left.wait(0.1):
            count += 1
            store.put_bytes(first.name, json.dumps({**elsewhere(first), "beat": count}).encode())

    beat_once = {**elsewhere(first), "beat": 0}
    store.put_bytes(first.name, json.dumps(beat_once).encode())
    thread = threading.Thread(target=beat)
    thread.start()
    try:
        with pytest.raises(SweepError, match="in use by another raybert process .* on elsewhere"):
            take(store, notes.append)
    finally:
        left.set()
        thread.join()
    assert list(read_claims(store)) == [first.name]


def test_of_many_that_come_at_once_at_most_one_stays(tmp_path):
    for number in range(10):
        store, leases, refused = local_store(tmp_path / str(number)), [], []
        start = threading.Barrier(4)

        def come(store=store, leases=leases, refused=refused, start=start):
            start.wait()
            try:
                leases.append(take(store, lambda words: None))
            except SweepError as error:
                refused.append(error)

        threads = [threading.Thread(target=come) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(leases) <= 1
        assert len(leases) + len(refused) == 4


def test_wherever_the_store_goes_away_nobody_stays_for_whom_it_did_not_answer(tmp_path):
    files = failing(tmp_path / "all")
    take(local_store(tmp_path / "all", files), lambda words: None)
    for left in range(files.calls):
        cut = failing(tmp_path / str(left), left)
        store = local_store(tmp_path / str(left), cut)
        with pytest.raises(StorageAway):
            take(store, lambda words: None)
        cut.left = None  # and the next one has its place, though its claim may be left
        for name, claim in read_claims(store).items():
            store.put_bytes(name, json.dumps({**claim, "process": "gone"}).encode())
        assert take(store, lambda words: None).owner.attempt in (1, 2)


def test_after_a_pause_of_the_machine_the_store_is_asked_before_anything_is_written(tmp_path, monkeypatch):
    store = local_store(tmp_path)
    first = take(store, lambda words: None)
    for name, claim in read_claims(store).items():
        store.put_bytes(name, json.dumps({**claim, "host": "elsewhere"}).encode())
    first.check()  # it has just been seen
    second = take(store, lambda words: None)
    assert second.owner.attempt == 2
    first.seen.last -= 100.0  # as if the lid of the laptop had been closed
    with pytest.raises(LeaseLost):
        first.check()
