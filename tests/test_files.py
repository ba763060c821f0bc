"""Files and folders that are whole or not there."""

import json

import pytest

from raybert.files import (
    append_json_line,
    atomic_folder,
    content_key,
    json_digest,
    previous_folder,
    read_json,
    read_json_lines,
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


def test_a_kill_between_the_two_renames_leaves_the_old_folder_where_it_is_looked_for(tmp_path, monkeypatch):
    target = tmp_path / "last"
    with atomic_folder(target) as fresh:
        (fresh / "old").touch()
    rename = type(target).rename

    def killed(path, to):
        if to == target:
            raise KeyboardInterrupt
        return rename(path, to)

    monkeypatch.setattr(type(target), "rename", killed)
    with pytest.raises(KeyboardInterrupt), atomic_folder(target) as fresh:
        (fresh / "new").touch()
    assert names(previous_folder(target)) == ["old"]


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
