"""Files and folders that are whole or not there."""

import errno
import json
import os
from pathlib import Path

import numpy as np
import pytest

from raybert.errors import CacheWarning, ConfigError, SweepError
from raybert.files import (
    append_json_line,
    cache_folder,
    check_frame_path,
    content_key,
    is_whole_array,
    json_digest,
    kept_if_possible,
    read_json,
    read_json_lines,
    reading_back,
    writable_cache,
    write_json_lines,
)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_keys_depend_on_content_and_not_on_the_order_of_words():
    assert content_key({"a": 1, "b": [2]}) == content_key({"b": [2], "a": 1})
    assert content_key({"a": 1}) != content_key({"a": 2})


def test_keys_of_today_are_those_of_every_store_and_folder_there_is():
    assert content_key({"b": [2, "ä"], "a": 1.5}) == "73b7e1512e364272e8cc"
    assert json_digest({"b": [2, "ä"], "a": 1.5})[:20] == "701c50c1c29b9421a14c"


def test_a_log_is_read_without_its_torn_line_and_goes_on_after_it(tmp_path):
    path = tmp_path / "log.jsonl"
    assert read_json_lines(path) == []
    append_json_line(path, {"row": 1})
    with path.open("ab") as file:
        file.write(b'{"row": 2, "to')
    append_json_line(path, {"row": 3})
    assert read_json_lines(path) == [{"row": 1}, {"row": 3}]
    write_json_lines(path, [{"row": 4}])
    assert read_json_lines(path) == [{"row": 4}]


@pytest.mark.parametrize("content", ["", "{", "[1]", None])
def test_what_is_no_whole_mapping_is_read_as_nothing(tmp_path, content):
    path = tmp_path / "state.json"
    if content is not None:
        path.write_text(content)
    assert read_json(path) is None
    path.write_text(json.dumps({"a": 1}))
    assert read_json(path) == {"a": 1}


@pytest.mark.parametrize(
    ("environment", "folder"),
    [
        ({"RAYBERT_CACHE": "/a/b"}, "/a/b"),
        ({"RAYBERT_CACHE": "~/b"}, "/home/someone/b"),
        ({"RAYBERT_CACHE": "", "XDG_CACHE_HOME": "/x"}, "/x/raybert"),
        ({"XDG_CACHE_HOME": ""}, "/home/someone/.cache/raybert"),
        ({"XDG_CACHE_HOME": "relative/x"}, "/home/someone/.cache/raybert"),
        ({"XDG_CACHE_HOME": "~/x"}, "/home/someone/.cache/raybert"),
        ({}, "/home/someone/.cache/raybert"),
    ],
    ids=str,
)
def test_the_cache_is_where_the_environment_says(environment, folder, monkeypatch):
    for name in ("RAYBERT_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {"HOME": "/home/someone", **environment}.items():
        monkeypatch.setenv(name, value)
    assert cache_folder() == Path(folder)


def test_a_relative_cache_is_that_of_the_folder_in_which_the_command_was_given(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RAYBERT_CACHE", "cache")
    assert cache_folder() == tmp_path / "cache"


@pytest.mark.parametrize("home", [None, "relative/home"])
def test_without_a_home_the_cache_must_be_named(home, monkeypatch):
    for name in ("RAYBERT_CACHE", "XDG_CACHE_HOME", "HOME"):
        monkeypatch.delenv(name, raising=False)
    if home is not None:
        monkeypatch.setenv("HOME", home)
    monkeypatch.setattr(os, "getuid", lambda: 54321)  # who is in no list of users
    with pytest.raises(
        ConfigError, match=r"RAYBERT_CACHE: must name a folder .* user 54321 has none\); set RAYBERT_CACHE="
    ):
        cache_folder()


def test_who_names_a_cache_needs_no_home(monkeypatch):
    for name in ("RAYBERT_CACHE", "HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", "/x")
    monkeypatch.setattr(os, "getuid", lambda: 54321)
    assert cache_folder() == Path("/x/raybert")


def make_unwritable(path: Path) -> Path:
    """A folder in the place of which there is a file: permissions mean nothing to root."""
    path.write_text("a file")
    return path


def test_a_cache_that_cannot_be_written_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setenv("RAYBERT_CACHE", str(make_unwritable(tmp_path / "file") / "cache"))
    with pytest.raises(
        ConfigError, match=r"RAYBERT_CACHE: must be a folder that can be written, got .*\(Not a directory\)"
    ):
        writable_cache()


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("file/subset.csv", "must be a place in a folder, got {}/file/subset.csv, where {}/file is a file"),
        (
            "file/deeper/subset.csv",
            "must be a place in a folder, got {}/file/deeper/subset.csv, where {}/file is a file",
        ),
        ("folder.csv", "must be a file, got {}/folder.csv, which is a folder"),
        (
            "locked/deeper/s.csv",
            "must be a place that can be written, got {}/locked/deeper/s.csv, where {}/locked cannot be",
        ),
        ("long" * 100 + "/subset.csv", "must be a place that can be written, got "),
    ],
)
def test_a_file_that_could_not_be_written_is_refused_before_the_work(path, words, tmp_path, monkeypatch):
    make_unwritable(tmp_path / "file")
    (tmp_path / "folder.csv").mkdir()
    (tmp_path / "locked").mkdir()
    access = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path).name != "locked" and access(path, mode))
    with pytest.raises(ConfigError) as refused:
        check_frame_path(tmp_path / path, "output")
    assert str(refused.value).startswith("output: " + words.replace("{}", str(tmp_path)))
    check_frame_path(tmp_path / "new" / "subset.csv", "output")
    assert not (tmp_path / "new").exists()


def test_what_may_not_be_read_is_not_called_damaged(tmp_path, monkeypatch):
    path = tmp_path / "scores.npy"
    for number in (errno.EACCES, errno.ENOENT):
        with pytest.raises(OSError, match=os.strerror(number)), reading_back(path, "make it anew"):
            raise OSError(number, os.strerror(number), str(path))
    said = pytest.raises(SweepError, match=r"scores\.npy: .* damaged \(cut off\); make it anew$")
    with said, reading_back(path, "make it anew"):
        raise ValueError("cut off")
    np.save(path, np.arange(4.0))
    assert is_whole_array(path)
    path.write_bytes(path.read_bytes()[:-1])
    assert not is_whole_array(path)

    def refuse(*arguments, **options):
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(np, "load", refuse)
    with pytest.raises(PermissionError):
        is_whole_array(path)  # or a trial would be set aside, and run again


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_cache_whose_disk_is_full_is_no_reason_to_refuse(tmp_path, monkeypatch, number):
    def full(folder):
        raise OSError(number, os.strerror(number))

    monkeypatch.setenv("RAYBERT_CACHE", str(tmp_path))
    monkeypatch.setattr("raybert.files.check_writable", full)
    assert writable_cache() == tmp_path


def test_what_cannot_be_kept_is_said(tmp_path):
    said = pytest.warns(CacheWarning, match=r"the corpus cannot be kept in .* \(No space left on device\), and is made")
    with said, kept_if_possible("the corpus", tmp_path):
        raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("content", ["[" * 100_000, "null", "1"])
def test_json_of_another_kind_or_depth_is_nothing(tmp_path, content):
    (tmp_path / "plan.json").write_text(content)
    (tmp_path / "folder.json").mkdir()
    for path in (tmp_path / "plan.json", tmp_path / "folder.json", tmp_path / "plan.json" / "below"):
        assert read_json(path) is None
        assert read_json_lines(path) == []
