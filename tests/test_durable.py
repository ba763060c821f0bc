"""What is on disk after a kill or a power cut: whole, in this order, and nothing left beside it."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from raybert import durable
from raybert.durable import (
    atomic_folder,
    atomic_path,
    current_folder,
    hold,
    make_folder,
    previous_folder,
    remove_folder,
    remove_leftovers,
    restore_folder,
    scratch_folder,
    sync_tree,
)

KILLED = """
import os, sys
from pathlib import Path
from raybert import durable
from raybert.durable import atomic_folder
target = Path(sys.argv[1])
if sys.argv[2] == "two renames":
    durable._exchange = lambda one, other: False
    rename = Path.rename
    Path.rename = lambda path, to: os._exit(9) if to == target else rename(path, to)
else:
    durable.shutil.rmtree = lambda *_, **__: os._exit(9)
with atomic_folder(target, mark="COMPLETE") as fresh:
    (fresh / "new").touch()
"""
"""Replaces a folder, and is killed between the two renames, or once old and new have changed their places."""


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def synced(monkeypatch):
    """What is synced from now on, in order, by name."""
    order, fsync = [], os.fsync

    def note(descriptor):
        order.append(Path(os.readlink(f"/proc/self/fd/{descriptor}")).name)
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", note)
    return order


def is_temporary(name):
    return name.startswith(".") and name.endswith(".tmp")


def test_a_folder_appears_whole_with_its_mark_and_leaves_nothing_beside_it(tmp_path):
    target = tmp_path / "checkpoint" / "last"
    with atomic_folder(target, mark="COMPLETE") as fresh:
        (fresh / "deep").mkdir()
        (fresh / "deep" / "weights").write_text("1")
        assert not target.exists()
    assert names(target) == ["COMPLETE", "deep"]
    assert names(target.parent) == ["last"]


def test_a_folder_replaces_the_one_before_it(tmp_path):
    for content in ("old", "new"):
        with atomic_folder(tmp_path / "best") as fresh:
            (fresh / content).touch()
    assert names(tmp_path / "best") == ["new"]
    assert names(tmp_path) == ["best"]


def test_an_error_leaves_the_folder_before_as_it_was(tmp_path):
    with atomic_folder(tmp_path / "best") as fresh:
        (fresh / "old").touch()
    with pytest.raises(OSError, match="disk"), atomic_folder(tmp_path / "best") as fresh:
        raise OSError("disk is full")
    assert names(tmp_path) == ["best"]
    assert names(tmp_path / "best") == ["old"]


@pytest.mark.parametrize("mark", ["COMPLETE", None])
def test_of_two_makers_of_one_folder_the_first_wins(tmp_path, mark):
    target = tmp_path / "encoder"
    with atomic_folder(target, mark=mark, keeps_existing=True) as slow:
        (slow / "slow").touch()
        with atomic_folder(target, mark=mark, keeps_existing=True) as fast:
            (fast / "fast").touch()
    assert names(target) == sorted(filter(None, [mark, "fast"]))
    assert names(tmp_path) == ["encoder"]


def test_a_folder_without_its_mark_makes_room_for_a_whole_one(tmp_path):
    target = tmp_path / "encoder"
    target.mkdir()
    (target / "torn").touch()
    with atomic_folder(target, mark="COMPLETE", keeps_existing=True) as fresh:
        (fresh / "weights").touch()
    assert names(target) == ["COMPLETE", "weights"]


def test_files_are_synced_before_their_folder_that_before_the_mark_and_all_before_the_name(tmp_path, synced):
    with atomic_folder(tmp_path / "runs" / "best", mark="COMPLETE") as fresh:
        (fresh / "deep").mkdir()
        (fresh / "deep" / "weights").write_text("1")
        assert synced == [tmp_path.name]  # the name of `runs`
        synced.clear()
    assert synced[:2] == ["weights", "deep"]
    assert is_temporary(synced[2])
    assert synced[3] == "COMPLETE"
    assert synced[4] == synced[2]
    assert synced[5:] == ["runs"]


def test_a_file_is_synced_before_it_has_its_name(tmp_path, synced):
    with atomic_path(tmp_path / "result.json") as temporary:
        temporary.write_text("{}")
        assert synced == []
    assert is_temporary(synced[0])
    assert synced[1:] == [tmp_path.name]
    assert names(tmp_path) == ["result.json"]


def test_new_folders_have_their_names_on_disk(tmp_path, synced):
    make_folder(tmp_path / "a" / "b" / "c")
    assert synced == [tmp_path.name, "a", "b"]
    make_folder(tmp_path / "a")
    assert len(synced) == 3


def test_a_tree_is_synced_without_what_its_links_lead_to(tmp_path, synced):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "large").touch()
    (tmp_path / "run" / "logs").mkdir(parents=True)
    (tmp_path / "run" / "logs" / "events").touch()
    (tmp_path / "run" / "heartbeat").touch()
    (tmp_path / "run" / "link").symlink_to(tmp_path / "elsewhere")
    sync_tree(tmp_path / "run", without=("heartbeat",))
    assert synced == ["events", "logs", "run"]


@pytest.mark.parametrize("number", [errno.EINVAL, errno.ENOTSUP])
def test_a_file_system_that_cannot_sync_folders_is_no_error(tmp_path, monkeypatch, number):
    fsync = os.fsync

    def refuse_folders(descriptor):
        if os.path.isdir(f"/proc/self/fd/{descriptor}"):
            raise OSError(number, "not here")
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", refuse_folders)
    with atomic_folder(tmp_path / "best", mark="COMPLETE") as fresh:
        (fresh / "weights").touch()
    assert names(tmp_path / "best") == ["COMPLETE", "weights"]


def test_a_disk_that_fails_to_sync_leaves_what_was_there(tmp_path, monkeypatch):
    (tmp_path / "result.json").write_text("old")

    def fail(descriptor):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="Input/output"), atomic_path(tmp_path / "result.json") as temporary:
        temporary.write_text("new")
    assert (tmp_path / "result.json").read_text() == "old"
    assert names(tmp_path) == ["result.json"]


@pytest.mark.fault("killed while a folder is replaced")
@pytest.mark.parametrize("where", ["two renames", "after the exchange"])
def test_a_kill_while_a_folder_is_replaced_leaves_a_whole_one_that_readers_find(tmp_path, where, fault):
    target = tmp_path / "best"
    with atomic_folder(target, mark="COMPLETE") as fresh:
        (fresh / "old").touch()
    with fault.once():
        done = subprocess.run([sys.executable, "-c", KILLED, str(target), where], check=False)
        assert done.returncode == 9
        left = "old" if where == "two renames" else "new"
        assert names(current_folder(target)) == ["COMPLETE", left]
        assert len(names(tmp_path)) == 2  # the other one
        remove_leftovers(tmp_path)
        assert names(tmp_path) == ["best"]
        assert names(target) == ["COMPLETE", left]


@pytest.mark.fault("killed while a folder is removed")
def test_a_kill_while_a_folder_is_removed_leaves_nothing_that_readers_take_for_whole(tmp_path, fault):
    target = tmp_path / "checkpoint" / "last"
    with atomic_folder(target, mark="COMPLETE") as fresh:
        (fresh / "weights").touch()
    killed = (
        "import os, sys; from pathlib import Path; from raybert import durable\n"
        "durable.shutil.rmtree = lambda path, **_: (os.unlink(path / 'weights'), os._exit(9))\n"
        "durable.remove_folder(Path(sys.argv[1]))"
    )
    with fault.once():
        assert subprocess.run([sys.executable, "-c", killed, str(target)], check=False).returncode == 9
        assert not target.exists()
        assert current_folder(target) == target
        assert len(names(target.parent)) == 1
        remove_leftovers(tmp_path)
        assert names(target.parent) == []


def test_a_folder_is_removed_and_of_a_link_only_the_link(tmp_path):
    (tmp_path / "kept" / "deep").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "kept")
    for name in ("link", "none"):
        remove_folder(tmp_path / name)
    assert names(tmp_path) == ["kept"]
    assert names(tmp_path / "kept") == ["deep"]
    remove_folder(tmp_path / "kept")
    assert names(tmp_path) == []


def test_without_an_exchange_a_folder_is_replaced_by_two_renames(tmp_path, monkeypatch):
    monkeypatch.setattr(durable, "_exchange", lambda one, other: False)
    for content in ("old", "new"):
        with atomic_folder(tmp_path / "best") as fresh:
            (fresh / content).touch()
    assert names(tmp_path / "best") == ["new"]
    assert names(tmp_path) == ["best"]


def test_what_was_put_aside_gets_its_name_back_only_where_that_is_free(tmp_path):
    target = tmp_path / "best"
    previous_folder(target).mkdir()
    (previous_folder(target) / "old").touch()
    assert current_folder(target) == previous_folder(target)
    restore_folder(target)
    assert names(target) == ["old"]
    previous_folder(target).mkdir()
    restore_folder(target)
    assert names(tmp_path) == ["best"]
    assert names(target) == ["old"]


@pytest.mark.fault("leftovers of killed processes")
def test_leftovers_of_the_dead_are_removed_and_what_the_living_write_is_not(tmp_path, fault):
    deep = tmp_path / "trials" / "a"
    dead = [
        tmp_path / ".best.0123abcd.tmp" / "model.safetensors",
        deep / ".result.json.0123abcd.tmp",
        deep / ".heartbeat.json.4711.tmp",
        tmp_path / ".watch-abc" / "heartbeat.json",
        deep / ".train-xyz" / "fit",
    ]
    others = [deep / ".hidden", deep / "notes.tmp", deep / ".vimrc.swp", deep / "result.json"]
    for path in (*dead, *others):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (tmp_path / ".link.0123abcd.tmp").symlink_to(tmp_path / "trials")
    with (
        fault.once(),
        atomic_path(deep / "plan.json") as file,
        atomic_folder(deep / "last") as folder,
        scratch_folder(tmp_path, ".watch-") as scratch,
    ):
        file.write_text("{}")
        remove_leftovers(tmp_path)
        assert not [path for path in dead if path.exists()]
        assert all(path.exists() for path in (file, folder, scratch, *others))
        assert (tmp_path / ".link.0123abcd.tmp").is_symlink()
    assert names(deep) == [".hidden", ".vimrc.swp", "last", "notes.tmp", "plan.json", "result.json"]


def test_in_a_shared_folder_what_another_host_may_be_writing_stays_for_a_while(tmp_path, monkeypatch):
    fresh, old = tmp_path / ".block.parquet.0123abcd.tmp", tmp_path / ".block.parquet.89abcdef.tmp"
    ours = tmp_path / f".block.parquet.{durable._of_this_host()}0000.tmp"
    for path in (fresh, old, ours):
        path.touch()
    os.utime(old, (1e9, 1e9))
    monkeypatch.setattr("time.time", lambda: 2e9)  # a clock of this host that nobody set right
    remove_leftovers(tmp_path, is_shared=True)
    assert names(tmp_path) == [fresh.name]


def test_a_folder_that_is_held_is_not_removed_until_it_is_let_go(tmp_path):
    place = tmp_path / "scratch"
    place.mkdir()
    lock = hold(place)
    assert not durable.remove_unless_held(place)
    os.close(lock)
    assert durable.remove_unless_held(place)
    assert not place.exists()
