"""Looking again and again, by a clock that the test turns."""

import errno
import os
import threading

import pytest

from raybert.polling import Guard, Throttle, repeating, wait_until


class Clock:
    """A clock that only sleeping moves."""

    def __init__(self):
        self.time = 100.0

    def now(self):
        return self.time

    def sleep(self, seconds):
        self.time += seconds


def test_waiting_ends_as_soon_as_it_holds():
    clock = Clock()
    assert wait_until(lambda: clock.time >= 103.0, 1.0, now=clock.now, sleep=clock.sleep)
    assert clock.time == 103.0


def test_waiting_ends_at_the_limit():
    clock = Clock()
    assert not wait_until(lambda: False, 2.0, 5.0, now=clock.now, sleep=clock.sleep)
    assert clock.time == 106.0


def test_what_holds_already_is_not_waited_for_and_an_error_gives_up():
    clock = Clock()
    assert wait_until(lambda: True, 1.0, 0.0, now=clock.now, sleep=clock.sleep)
    with pytest.raises(RuntimeError, match="gone"):
        wait_until(lambda: (_ for _ in ()).throw(RuntimeError("gone")), 1.0, now=clock.now, sleep=clock.sleep)
    assert clock.time == 100.0


def test_a_throttle_is_due_at_once_and_then_after_its_seconds():
    clock = Clock()
    throttle = Throttle(2.0, clock.now)
    due = []
    for _ in range(6):
        due.append(throttle.is_due())
        clock.sleep(1.0)
    assert due == [True, False, True, False, True, False]


def test_a_forced_time_counts_too():
    clock = Clock()
    throttle = Throttle(2.0, clock.now)
    assert throttle.is_due()
    clock.sleep(1.5)
    assert throttle.is_due(force=True)
    clock.sleep(1.5)
    assert not throttle.is_due()


def test_a_function_is_repeated_until_the_block_is_left():
    called = threading.Event()
    with repeating(lambda: called.set() or False, 0.001, "test", print):
        assert called.wait(30)
    assert "test" not in {thread.name for thread in threading.enumerate()}


def test_a_function_that_is_done_is_not_called_again():
    calls, ended = [], threading.Event()

    def call():
        calls.append(1)
        if len(calls) == 3:
            ended.set()
        return len(calls) == 3

    with repeating(call, 0.0005, "test", print):
        assert ended.wait(30)
        threading.Event().wait(0.02)
    assert len(calls) == 3


def fails(number):
    """What fails as a system call does."""

    def look():
        raise OSError(number, os.strerror(number), "/runs/x")

    return look


def test_an_error_of_a_watch_is_noted_once_and_each_new_one_again():
    notes = []
    guard = Guard("the heartbeat", notes.append)
    assert [guard(fails(number), "last") for number in (errno.ESTALE, errno.ESTALE, errno.EIO, errno.ESTALE)] == [
        "last"
    ] * 4
    assert guard(lambda: "found", "last") == "found"
    assert notes == [
        "note: the heartbeat: [Errno 116] Stale file handle: '/runs/x'; it is tried again",
        "note: the heartbeat: [Errno 5] Input/output error: '/runs/x'; it is tried again",
    ]


def test_a_guard_lets_through_what_it_need_not_outlive():
    with pytest.raises(ValueError, match="ours"):
        Guard("x", print, OSError)(lambda: (_ for _ in ()).throw(ValueError("ours")), None)


def test_nobody_who_hears_notes_is_no_error():
    def deaf(note):
        raise OSError(errno.EPIPE, "Broken pipe")

    assert Guard("x", deaf)(fails(errno.EIO), 3) == 3


@pytest.mark.fault("ESTALE, EIO, ETIMEDOUT in a watching thread")
@pytest.mark.parametrize("number", [errno.ESTALE, errno.EIO, errno.ETIMEDOUT, errno.ENOSPC])
def test_what_is_repeated_outlives_its_errors_and_ends_with_the_block(number):
    calls, notes, went_on = [], [], threading.Event()

    def call():
        calls.append(1)
        if len(calls) < 4:
            fails(number)()
        went_on.set()
        return False

    with repeating(call, 0.001, "a watch", notes.append):
        assert went_on.wait(30)
    assert len(notes) == 1
    assert "a watch" not in {thread.name for thread in threading.enumerate()}
