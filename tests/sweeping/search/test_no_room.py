"""A search whose database another program holds, or whose disk is full: one line, and it goes on as if nothing had been."""

import contextlib
import errno
import math
import os
import sqlite3
from types import SimpleNamespace

import pytest

from raybert.errors import SweepError
from raybert.sweeping.cluster import tune_run
from raybert.sweeping.cluster.deaths import read_death
from raybert.sweeping.folder.trial_folder import TrialFolder
from raybert.sweeping.search import log, storage
from tests.sweeping.search.driving import config_of, drive, events, opened, run_whole
from tests.sweeping.search.test_resume import CONFIG, planted, state_of

pytestmark = pytest.mark.slow


@contextlib.contextmanager
def held(path):
    """Another program that reads and writes without a break."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("PRAGMA locking_mode=EXCLUSIVE")
        other.execute("BEGIN EXCLUSIVE")
        yield


@pytest.mark.fault("study.db held for over 60 s")
def test_studies_that_another_program_holds_are_said_and_nothing_is_lost(tmp_path, monkeypatch):
    undisturbed = state_of(run_whole(CONFIG, tmp_path / "undisturbed", planted), tmp_path / "undisturbed")
    monkeypatch.setattr(storage, "_LOCK_SECONDS", 0.1)
    folder = tmp_path / "run"
    folder.mkdir()
    words = r"another program has held it for over 0\.1 s; end what uses it, and run the sweep again$"
    with opened(CONFIG, folder) as search:
        search.studies[next(iter(search.studies))]._storage.engine.dispose()
        with held(folder / "study.db"), pytest.raises(SweepError, match=rf"^study '.*': .*: {words}"):
            drive(search, planted)
    refused = pytest.raises(SweepError, match=rf"study\.db: cannot be opened, {words}")
    with held(folder / "study.db"), refused, opened(CONFIG, folder):
        pass
    assert state_of(run_whole(CONFIG, folder, planted), folder) == undisturbed


@pytest.mark.fault("disk full at the log of a search")
@pytest.mark.parametrize("at", [0, 5, 12])
def test_a_full_disk_at_the_log_of_decisions_is_said_and_nothing_is_lost(at, tmp_path, monkeypatch):
    config = config_of({"suggestions_per_strategy": 2})
    undisturbed = state_of(run_whole(config, tmp_path / "undisturbed", planted), tmp_path / "undisturbed")
    folder = tmp_path / "run"
    folder.mkdir()
    append, written = log.append_json_line, []

    def fill_up(path, row, **options):
        written.append(row)
        if len(written) > at:
            with path.open("ab") as file:
                file.write(b'{"event": "sugg')
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        append(path, row, **options)

    with monkeypatch.context() as patch, opened(config, folder) as search:
        patch.setattr(log, "append_json_line", fill_up)
        with pytest.raises(
            SweepError, match=r"decisions\.jsonl: No space left on device; make room, and run the sweep again"
        ):
            drive(search, planted)
    assert len(events(folder)) == at
    assert state_of(run_whole(config, folder, planted), folder) == undisturbed


@pytest.mark.fault("disk full in a run of a search")
@pytest.mark.parametrize("retry", [None, "disk"])
def test_a_run_that_fails_for_want_of_room_is_no_failed_suggestion(retry, tmp_path, monkeypatch):
    undisturbed = state_of(run_whole(CONFIG, tmp_path / "undisturbed", planted), tmp_path / "undisturbed")
    folder, full, begun = tmp_path / "run", [], []
    folder.mkdir()
    fail = TrialFolder.fail

    def planted_until_full(spec):
        begun.append(spec)
        if len(begun) != 4:
            return planted(spec)
        full.append(spec.trial_id)
        return [math.nan]

    def fail_for_want_of_room(trial, text, kind="error", node=None):
        if trial.path.name in full:
            text, kind = "OSError: [Errno 28] No space left on device", "disk"
        fail(trial, text, kind, node)

    with monkeypatch.context() as patch, opened(CONFIG, folder) as search:
        patch.setattr(TrialFolder, "fail", fail_for_want_of_room)
        with pytest.raises(SweepError, match=r"the disk is full \(.*No space left on device\); make room, and run the"):
            drive(search, planted_until_full)
    (run,) = full
    trial = TrialFolder(folder / "trials" / run)
    assert (trial.status(), [attempt["kind"] for attempt in trial.attempts()]) == ("pending", ["disk"])
    with opened(CONFIG, folder) as search:
        if retry is not None:
            assert search.retry_failed(retry) == 0  # it has not failed, and goes on by itself
        drive(search, planted)
        assert state_of(search, folder) == undisturbed


@pytest.mark.parametrize(
    ("why", "retry", "count"),
    [
        ("OSError: [Errno 28] No space left on device", "disk", 1),
        ("OSError: [Errno 28] No space left on device", "error", 0),
        ("ValueError: too steep", "disk", 0),
        ("ValueError: too steep", "error", 1),
    ],
)
def test_a_suggestion_whose_failure_could_not_be_recorded_is_tried_again_by_what_the_log_says(
    why, retry, count, tmp_path
):
    config = config_of({"suggestions_per_strategy": 1, "startup_suggestions": 1})
    with opened(config, tmp_path) as search:
        search.end(search.next(), "failed", why)
        assert search.retry_failed(retry) == count


def test_what_a_callback_of_ours_raises_comes_out_of_tunes_text():
    from ray.tune import TuneError

    def raised(first):
        try:
            try:
                raise first
            except Exception:
                raise TuneError("Traceback ...")  # noqa: B904 - as Tune does
        except TuneError as error:
            return error

    for ours in (SweepError("no room"), OSError(errno.EIO, "away")):
        assert tune_run._behind(raised(ours)) is ours
    assert tune_run._behind(raised(KeyError("not ours"))) is None


def test_an_error_that_a_full_disk_cut_off_is_of_the_kind_disk(tmp_path, monkeypatch):
    file = tmp_path / "error.txt"
    trial = SimpleNamespace(error_file=str(file))
    whole = "Failure # 1 (occurred at 2026-01-01_00-00-00)\nThe actor died unexpectedly before finishing this task.\n"
    for cut in (None, whole[: len(whole) // 2]):
        if cut is not None:
            file.write_text(cut)
        assert read_death(trial, TrialFolder(tmp_path / "t")).kind == "lost"
        with monkeypatch.context() as full:
            full.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=4096))
            death = read_death(trial, TrialFolder(tmp_path / "t"))
            assert (death.kind, death.reason) == ("disk", "TrialError: the disk is full")
            file.write_text(whole)  # one that is whole speaks for itself
            assert read_death(trial, TrialFolder(tmp_path / "t")).kind == "lost"
        file.unlink(missing_ok=True)
