"""One owner a results folder, one writer a trial: with real processes, killed ones among them."""

import contextlib
import errno
import json
import os
import queue
import shutil
import signal
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from raybert.errors import SweepError, TrialError
from raybert.sweeping.folder import ownership
from raybert.sweeping.folder.ownership import (
    FRESH_SECONDS,
    Fence,
    Owner,
    Superseded,
    beat_age_seconds,
    current_attempt,
    is_held,
    own,
    read_owner,
    sole_writer,
)
from tests.processes import forked, wait_until


def hold(take: Callable[[Path], contextlib.AbstractContextManager[object]], folder: Path) -> None:
    """Hold what is taken of a folder until somebody ends this process."""
    with take(folder):
        print("mine", flush=True)
        signal.pause()


def take_folder(folder: Path) -> contextlib.AbstractContextManager[object]:
    return own(folder, print)


def take_pen(folder: Path) -> contextlib.AbstractContextManager[object]:
    return sole_writer(folder, Fence(folder, None))


@contextlib.contextmanager
def process(take: Callable[[Path], contextlib.AbstractContextManager[object]], folder: Path):
    """A process that holds what it takes of a folder."""
    with forked(hold, take, folder) as running:
        running.read_until("mine")
        yield running


def leave_owner(folder: Path, **changed: object) -> None:
    owner = {"pid": 1, "host": os.uname().nodename, "since": "2026-01-01 00:00:00", "attempt": 7, **changed}
    (folder / "owner.json").write_text(json.dumps(owner))


@pytest.mark.slow
def test_a_second_process_is_refused_with_who_and_since(tmp_path):
    with process(take_folder, tmp_path) as owner:
        since = read_owner(tmp_path).since
        message = rf"in use by another raybert process \(pid {owner.pid} on {os.uname().nodename}, since {since}\)"
        with pytest.raises(SweepError, match=message), own(tmp_path, print):
            raise AssertionError("two owners")
        assert is_held(tmp_path)


@pytest.mark.slow
def test_a_killed_owner_is_taken_over_with_a_message_and_a_higher_number(tmp_path):
    with process(take_folder, tmp_path) as owner:
        pid = owner.pid
    assert not is_held(tmp_path)
    notes = []
    with own(tmp_path, notes.append) as attempt:
        assert attempt == current_attempt(tmp_path) == 2
        assert read_owner(tmp_path).pid == os.getpid()
    assert len(notes) == 1
    assert f"taken over from pid {pid} on" in notes[0]
    assert "last heartbeat" in notes[0]


def test_an_owner_that_left_in_order_leaves_its_number_and_nothing_to_say(tmp_path):
    notes = []
    for expected in (1, 2, 3):
        with own(tmp_path, notes.append) as attempt:
            assert attempt == expected
        assert not (tmp_path / "owner.json").exists()
    assert notes == []


def test_who_may_only_read_a_folder_learns_whether_it_is_owned(tmp_path, monkeypatch):
    def refuse(lock, **_):
        raise OSError(errno.EROFS, "Read-only file system", str(lock.lock_file))

    def touch(path):
        raise OSError(errno.EROFS, "Read-only file system", str(path))

    with own(tmp_path, print), monkeypatch.context() as patch:
        patch.setattr("filelock.FileLock.acquire", refuse)
        patch.setattr(Path, "touch", touch)
        assert is_held(tmp_path)
        assert 0 <= beat_age_seconds(tmp_path) < FRESH_SECONDS
    (tmp_path / "lock").touch()
    monkeypatch.setattr("filelock.FileLock.acquire", refuse)
    assert not is_held(tmp_path)


def test_a_fresh_heartbeat_from_another_host_is_believed_where_locks_are_not_seen(tmp_path):
    leave_owner(tmp_path, host="elsewhere")
    with pytest.raises(SweepError, match=r"in use .*pid 1 on elsewhere.*try again in 30 s"), own(tmp_path, print):
        raise AssertionError("two owners")
    stale = (tmp_path / "owner.json").stat().st_mtime - 60
    os.utime(tmp_path / "owner.json", (stale, stale))
    assert beat_age_seconds(tmp_path) > 30
    notes = []
    with own(tmp_path, notes.append) as attempt:
        assert attempt == 8
    assert "taken over from pid 1 on elsewhere" in notes[0]


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"pid": 3}'])
def test_a_damaged_owner_file_is_taken_over(tmp_path, damage):
    (tmp_path / "owner.json").write_text(damage)
    notes = []
    with own(tmp_path, notes.append):
        assert read_owner(tmp_path).pid == os.getpid()
    assert "owner.json is damaged" in notes[0]


@pytest.mark.parametrize("damage", ["", "x", None])
def test_the_number_rises_even_if_the_file_that_counts_is_lost(tmp_path, damage):
    with own(tmp_path, print):
        pass
    (tmp_path / "attempt").unlink() if damage is None else (tmp_path / "attempt").write_text(damage)
    beat = tmp_path / "trials" / "t" / "heartbeat.json"
    beat.parent.mkdir(parents=True)
    beat.write_text('{"attempt": 5}')
    with own(tmp_path, print) as attempt:
        assert attempt == 6


def test_a_living_owner_writes_its_lost_files_anew(tmp_path, monkeypatch):
    monkeypatch.setattr(ownership, "SECONDS_BETWEEN_BEATS", 0.02)
    with own(tmp_path, print):
        (tmp_path / "attempt").unlink()
        (tmp_path / "owner.json").unlink()
        wait_until(lambda: read_owner(tmp_path) is not None and current_attempt(tmp_path) == 1, "both written anew")
        assert (read_owner(tmp_path).pid, read_owner(tmp_path).attempt) == (os.getpid(), 1)


def test_an_owner_that_is_replaced_in_the_middle_of_a_beat_leaves_the_files_of_the_newer_one(tmp_path):
    older = Owner.of_this_process(1)
    (tmp_path / "attempt").write_text("2")
    leave_owner(tmp_path, attempt=2)
    ownership._beat_once(tmp_path, older)
    assert (current_attempt(tmp_path), read_owner(tmp_path).attempt) == (2, 2)


def test_an_owner_that_was_replaced_is_told_once(tmp_path, monkeypatch):
    monkeypatch.setattr(ownership, "SECONDS_BETWEEN_BEATS", 0.02)
    told: queue.Queue[str] = queue.Queue()
    with own(tmp_path, print, lost=told.put):
        (tmp_path / "attempt").write_text("2")
        leave_owner(tmp_path, attempt=2)
        assert told.get(timeout=10) == "another process has taken over the folder"
    assert read_owner(tmp_path).attempt == 2, "the newer owner's file was deleted"


@pytest.mark.parametrize("then", ["deleted", "moved", "made anew"])
def test_an_owner_whose_folder_is_gone_is_told_once_and_makes_no_other(then, tmp_path, monkeypatch):
    monkeypatch.setattr(ownership, "SECONDS_BETWEEN_BEATS", 0.02)
    told: queue.Queue[str] = queue.Queue()
    folder = tmp_path / "run"
    with own(folder, print, lost=told.put) as attempt:
        Fence(folder, attempt).check()
        folder.rename(tmp_path / "elsewhere")
        if then == "deleted":
            shutil.rmtree(tmp_path / "elsewhere")
        if then == "made anew":
            folder.mkdir()
            leave_owner(folder, attempt=1)
        assert told.get(timeout=10) == "the results folder has been deleted or moved away"
        with pytest.raises(Superseded, match="deleted or moved away"):
            Fence(folder, attempt).check()
    assert folder.exists() == (then == "made anew")
    if then == "made anew":
        assert (folder / "owner.json").exists(), "the other owner's file was deleted"


@pytest.mark.parametrize(
    ("path", "reason"), [("file", "File exists"), ("file/run", "Not a directory"), ("long" * 100, "File name too long")]
)
def test_a_place_that_cannot_hold_results_is_one_line(path, reason, tmp_path):
    (tmp_path / "file").write_text("not a folder")
    words = rf"output: must be a folder that can be written, got .* \({reason}\); give"
    with pytest.raises(SweepError, match=words), own(tmp_path / path, print):
        pass
    assert (tmp_path / "file").read_text() == "not a folder"


@pytest.mark.slow
def test_a_trial_waits_for_the_process_that_a_killed_sweep_left_behind(tmp_path):
    with process(take_pen, tmp_path) as survivor:
        threading.Timer(0.3, survivor.send_signal, [signal.SIGKILL]).start()
        with sole_writer(tmp_path, Fence(tmp_path), wait_seconds=30):
            assert survivor.end()[0] == -9


@pytest.mark.slow
def test_a_writer_that_does_not_let_go_is_named(tmp_path):
    (tmp_path / "heartbeat.json").write_text('{"pid": 1234, "host": "node-a"}')
    with (
        process(take_pen, tmp_path),
        pytest.raises(TrialError, match=r"another \(pid 1234 on node-a\) still does after 0.1 s") as caught,
        sole_writer(tmp_path, Fence(tmp_path), wait_seconds=0.1),
    ):
        raise AssertionError("two writers")
    assert caught.value.kind == "lost"


def test_who_started_under_an_earlier_owner_must_not_write(tmp_path):
    (tmp_path / "attempt").write_text("3")
    Fence(tmp_path, 3).check()
    Fence(tmp_path, None).check()
    with pytest.raises(Superseded, match="owner 2 was replaced"):
        Fence(tmp_path, 2).check()
    with pytest.raises(Superseded), sole_writer(tmp_path / "t", Fence(tmp_path, 2)):
        raise AssertionError("an earlier owner's process writes")
