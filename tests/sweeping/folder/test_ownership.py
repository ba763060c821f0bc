"""One owner a results folder, one writer a trial: with real processes, killed ones among them."""

import contextlib
import errno
import fcntl
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
from raybert.locks import is_held
from raybert.sweeping.folder import fence, owner, ownership
from raybert.sweeping.folder.fence import Fence, Superseded, sole_writer
from raybert.sweeping.folder.owner import Owner, current_attempt, is_alive, read_owner
from raybert.sweeping.folder.ownership import own
from raybert.sweeping.folder.signs import Watch, age_seconds, identity_of
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
        assert is_held(tmp_path / "lock")


@pytest.mark.slow
def test_a_killed_owner_is_taken_over_with_a_message_and_a_higher_number(tmp_path):
    with process(take_folder, tmp_path) as owner:
        pid = owner.pid
    assert not is_held(tmp_path / "lock")
    notes = []
    with own(tmp_path, notes.append) as attempt:
        assert attempt == current_attempt(tmp_path) == 2
        assert read_owner(tmp_path).pid == os.getpid()
    assert len(notes) == 1
    assert f"taken over from pid {pid} on" in notes[0]
    assert notes[0].endswith("which ended without leaving")


def test_an_owner_that_left_in_order_leaves_its_number_and_nothing_to_say(tmp_path):
    notes = []
    for expected in (1, 2, 3):
        with own(tmp_path, notes.append) as attempt:
            assert attempt == expected
        assert not (tmp_path / "owner.json").exists()
    assert notes == []


def test_who_may_only_read_a_folder_learns_whether_it_is_owned(tmp_path, monkeypatch):
    opened = os.open

    def read_only(path, flags, *mode):
        if flags & os.O_RDWR:
            raise OSError(errno.EROFS, "Read-only file system", str(path))
        return opened(path, flags, *mode)

    def touch(path):
        raise OSError(errno.EROFS, "Read-only file system", str(path))

    with own(tmp_path, print), monkeypatch.context() as patch:
        patch.setattr("raybert.locks.os.open", read_only)
        patch.setattr(Path, "touch", touch)
        assert is_alive(tmp_path)
        assert 0 <= age_seconds(tmp_path / "owner.json") < 60
    (tmp_path / "lock").touch()
    monkeypatch.setattr("raybert.locks.os.open", read_only)
    assert not is_alive(tmp_path)


class Clock:
    """A clock that only sleeping moves; what sleeps lets somebody else work meanwhile."""

    def __init__(self, meanwhile=lambda: None):
        self.time, self.meanwhile = 100.0, meanwhile

    def sleep(self, seconds):
        self.time += seconds
        self.meanwhile()

    def install(self, monkeypatch):
        monkeypatch.setattr("time.monotonic", lambda: self.time)
        monkeypatch.setattr("time.sleep", self.sleep)
        monkeypatch.setattr(owner.OwnerWatch.__init__, "__defaults__", (owner.SHORT_LOOK_SECONDS, lambda: self.time))
        monkeypatch.setattr(Watch.__init__, "__defaults__", (lambda: self.time,))
        wait = fence.wait_until
        ticking = {"now": lambda: self.time, "sleep": self.sleep}
        for module in ("locks", "sweeping.folder.fence"):
            monkeypatch.setattr(f"raybert.{module}.wait_until", lambda *args, **_: wait(*args, **ticking))
        return self


def beats_of(path, clock_of_its_host):
    """A process elsewhere that sends heartbeats, dated by a clock of its own."""

    def beat():
        clock_of_its_host.append(clock_of_its_host[-1] + 1)
        os.utime(path, (clock_of_its_host[-1],) * 2)

    return beat


HOUR = 3600


@pytest.mark.fault("clock of a file server an hour off")
@pytest.mark.parametrize("error", [None, errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP], ids=str)
@pytest.mark.parametrize("date", [-HOUR, 0, HOUR])
def test_an_owner_elsewhere_lives_while_its_heartbeat_changes_whatever_its_clock_says(
    error, date, tmp_path, monkeypatch
):
    leave_owner(tmp_path, host="elsewhere")
    without_locks(monkeypatch, error)
    start = (tmp_path / "owner.json").stat().st_mtime + date
    with monkeypatch.context() as patch:
        Clock(beats_of(tmp_path / "owner.json", [start])).install(patch)
        assert is_alive(tmp_path)
        with pytest.raises(SweepError, match=r"in use .*pid 1 on elsewhere"), own(tmp_path, print):
            raise AssertionError("two owners")
    os.utime(tmp_path / "owner.json", (start, start))  # from here on it is silent
    notes, clock = [], Clock().install(monkeypatch)
    assert not is_alive(tmp_path)
    assert clock.time == pytest.approx(100 + owner.SHORT_LOOK_SECONDS, abs=1)
    with own(tmp_path, notes.append) as attempt:
        assert attempt == 8
    assert "taken over from pid 1 on elsewhere" in notes[-1]
    assert clock.time > 100 + ownership.FRESH_SECONDS
    assert any("without locks" in note for note in notes) == (error is not None)


def without_locks(monkeypatch, error):
    """Be on a file system that knows no locks, or whose server of locks is away."""

    def flock(file, operation):
        raise OSError(error, os.strerror(error))

    if error is not None:
        monkeypatch.setattr("fcntl.flock", flock)


@pytest.mark.fault("file system without locks")
@pytest.mark.parametrize("error", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP])
def test_without_locks_one_process_owns_a_folder_and_leaves_it(error, tmp_path, monkeypatch):
    without_locks(monkeypatch, error)
    notes = []
    clock = Clock().install(monkeypatch)
    with own(tmp_path, notes.append) as attempt:
        assert attempt == 1
        assert is_alive(tmp_path)
        with pytest.raises(SweepError, match=rf"in use .*pid {os.getpid()} on"), own(tmp_path, print):
            pass  # it is seen on this host
    assert not (tmp_path / "owner.json").exists()
    assert not is_alive(tmp_path)
    assert clock.time < 100 + 3 * ownership.SETTLE_SECONDS
    assert [note.partition(" lies on a ")[2] for note in notes] == [
        f"file system without locks ({os.strerror(error)}): heartbeats decide who owns it"
    ]


@pytest.mark.fault("file system without locks")
def test_of_two_that_begin_at_once_without_locks_the_last_one_stays(tmp_path, monkeypatch):
    without_locks(monkeypatch, errno.ENOLCK)
    Clock(lambda: leave_owner(tmp_path, attempt=1, host="elsewhere")).install(monkeypatch)
    with pytest.raises(SweepError, match="in use .*pid 1 on elsewhere"), own(tmp_path, print):
        raise AssertionError("two owners")
    assert read_owner(tmp_path).host == "elsewhere"


@pytest.mark.fault("lock that a dead host has left")
def test_a_lock_that_a_dead_host_has_left_is_replaced_and_nobody_is_let_in_by_the_old_one(tmp_path, monkeypatch):
    leave_owner(tmp_path, host="elsewhere")
    with (tmp_path / "lock").open("w") as left:
        fcntl.flock(left, fcntl.LOCK_EX)
        notes = []
        with monkeypatch.context() as patch:
            clock = Clock().install(patch)
            with own(tmp_path, notes.append) as attempt:
                assert attempt == 8
                assert is_held(tmp_path / "lock")
                assert clock.time > 100 + ownership.FRESH_SECONDS
                fcntl.flock(left, fcntl.LOCK_UN)
                assert is_held(tmp_path / "lock"), "the new lock is another file"
        assert not is_held(tmp_path / "lock")
    assert notes[-1].endswith("on elsewhere, since 2026-01-01 00:00:00, which has sent no heartbeat for 30 s")


def test_a_lock_whose_holder_beats_is_respected_though_it_is_not_seen(tmp_path, monkeypatch):
    leave_owner(tmp_path)  # in another container of this host, say
    with (tmp_path / "lock").open("w") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        Clock(beats_of(tmp_path / "owner.json", [1.0])).install(monkeypatch)
        with pytest.raises(SweepError, match="in use"), own(tmp_path, print):
            raise AssertionError("two owners")


@pytest.mark.fault("file server away for a moment")
@pytest.mark.parametrize(
    ("error", "is_over"), [(errno.ESTALE, False), (errno.EIO, False), (errno.ETIMEDOUT, False), (errno.ENOENT, True)]
)
def test_a_file_server_that_is_away_for_a_moment_takes_no_folder_away(error, is_over, tmp_path, monkeypatch):
    monkeypatch.setattr(ownership, "SECONDS_BETWEEN_BEATS", 0.01)
    told, notes, looks, stat = [], [], [], Path.stat

    def away(path, **options):
        if path != tmp_path or threading.current_thread() is threading.main_thread():
            return stat(path, **options)
        looks.append(1)
        if len(looks) <= 3:
            raise OSError(error, os.strerror(error), str(path))
        return stat(path, **options)

    with own(tmp_path, notes.append, lost=told.append):
        monkeypatch.setattr(Path, "stat", away)
        if is_over:
            wait_until(lambda: told, "the folder is gone")
        else:
            wait_until(lambda: len(looks) > 5, "it looks on")
    assert told == (["the results folder has been deleted or moved away"] if is_over else [])
    assert len(notes) == (not is_over)
    assert all(os.strerror(error) in note for note in notes)


def test_an_owner_without_locks_gives_way_to_another_of_the_same_number(tmp_path, monkeypatch):
    monkeypatch.setattr(ownership, "SECONDS_BETWEEN_BEATS", 0.02)
    told: queue.Queue[str] = queue.Queue()
    with own(tmp_path, print, lost=told.put):
        leave_owner(tmp_path, attempt=1, host="elsewhere")
        assert told.get(timeout=10) == "another process has taken over the folder"
    assert read_owner(tmp_path).host == "elsewhere"


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


@pytest.mark.fault("lock that a dead host has left")
def test_the_lock_of_a_trial_that_a_dead_host_has_left_is_replaced(tmp_path, monkeypatch):
    (tmp_path / "heartbeat.json").write_text('{"pid": 1234, "host": "node-a"}')
    with (tmp_path / ".lock").open("w") as left:
        fcntl.flock(left, fcntl.LOCK_EX)
        clock = Clock().install(monkeypatch)
        with sole_writer(tmp_path, Fence(tmp_path)):
            assert is_held(tmp_path / ".lock")
            assert clock.time > 100 + fence.WAIT_FOR_WRITER_SECONDS


@pytest.mark.parametrize("of", ["a process here", "a process that beats"])
def test_the_lock_of_a_trial_whose_writer_lives_is_not_taken(of, tmp_path, monkeypatch):
    beat = {"pid": os.getpid(), "host": os.uname().nodename, "process": identity_of(os.getpid())}
    beat = beat if of == "a process here" else {"pid": 1234, "host": "node-a"}
    (tmp_path / "heartbeat.json").write_text(json.dumps(beat))
    meanwhile = beats_of(tmp_path / "heartbeat.json", [1.0]) if of == "a process that beats" else lambda: None
    for error in (None, errno.ENOLCK):
        with (tmp_path / ".lock").open("w") as other, monkeypatch.context() as patch:
            fcntl.flock(other, fcntl.LOCK_EX)
            without_locks(patch, error)
            Clock(meanwhile).install(patch)
            if of == "a process here" and error is not None:
                continue  # it has left the trial, or is this one
            with pytest.raises(TrialError, match="still does after 60 s"), sole_writer(tmp_path, Fence(tmp_path)):
                raise AssertionError("two writers")


def test_without_locks_a_trial_is_taken_where_nobody_beats(tmp_path, monkeypatch):
    without_locks(monkeypatch, errno.EOPNOTSUPP)
    clock = Clock().install(monkeypatch)
    for beat, seconds in ((None, 0), ({"ended": True}, 0), ({"pid": 1234, "host": "node-a"}, 5)):
        began = clock.time
        if beat is not None:
            (tmp_path / "heartbeat.json").write_text(json.dumps(beat))
        with sole_writer(tmp_path, Fence(tmp_path)):
            assert clock.time - began == pytest.approx(seconds, abs=0.5)


def test_who_started_under_an_earlier_owner_must_not_write(tmp_path):
    (tmp_path / "attempt").write_text("3")
    Fence(tmp_path, 3).check()
    Fence(tmp_path, None).check()
    with pytest.raises(Superseded, match="owner 2 was replaced"):
        Fence(tmp_path, 2).check()
    with pytest.raises(Superseded), sole_writer(tmp_path / "t", Fence(tmp_path, 2)):
        raise AssertionError("an earlier owner's process writes")
