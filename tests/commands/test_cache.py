"""What the cache holds, and how it is freed."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

import raybert
from raybert.durable import hold
from raybert.errors import ConfigError
from raybert.selection.store import ScoreStore
from tests.e2e.commands import run

KEYS = ["a" * 20, "b" * 20]


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two tables of tokens, a signal, a mark of an encoder, and what is not raybert's."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("RAYBERT_CACHE", str(folder))
    for number, key in enumerate(KEYS, 1):
        (folder / "tokens" / key).mkdir(parents=True)
        (folder / "tokens" / key / "ids.npy").write_bytes(b"x" * 1000 * number)
        (folder / "tokens" / key / "COMPLETE").touch()
        os.utime(folder / "tokens" / key / "COMPLETE", (4e9 + number, 4e9 + number))
    ScoreStore(folder / "scores").begin("c" * 20, {"scorer": "probs"})
    (folder / "scores" / "mine").mkdir()
    (folder / "checked_encoders").mkdir()
    (folder / "checked_encoders" / "d").touch()
    (folder / "matplotlib").mkdir()
    return folder


def test_every_part_is_listed_with_its_size(cache: Path) -> None:
    found = raybert.list_cache()
    parts = {part.name: part for part in found.parts}
    assert (parts["tokens"].num_entries, parts["tokens"].size_bytes, parts["tokens"].used) == (2, 3000, 4e9 + 2)
    assert (parts["scores"].num_entries, parts["checked_encoders"].num_entries) == (1, 1)
    assert (parts["encoders"].num_entries, parts["encoders"].size_bytes, parts["encoders"].used) == (0, 0, None)
    assert found.size_bytes == sum(part.size_bytes for part in found.parts)
    lines = run("cache", "ls").out.splitlines()
    assert [line.split()[0] for line in lines[:-1]] == ["part", "tokens", "scores", "checked_encoders"]
    assert lines[1].split() == ["tokens", "2", "0.0", "MiB", "2096-10-02", "word", "pieces", "of", "texts"]
    assert lines[-1].endswith(f"MiB in {cache}")
    document = json.loads(run("cache", "ls", "--json").out)
    assert document["parts"][0]["size_bytes"] == 3000


def test_what_is_cleared_is_gone_and_what_is_in_use_or_not_ours_stays(cache: Path) -> None:
    in_use = hold(cache / "tokens" / KEYS[0])  # as a command does that has mapped it
    done = run("cache", "clear", "tokens")
    assert done.out == "tokens: 1 removed, 0.0 MiB freed; 1 in use stay\n"
    assert [path.name for path in (cache / "tokens").iterdir()] == KEYS[:1]
    assert list(ScoreStore(cache / "scores").entries())
    os.close(in_use)
    cleared = {part.name: part for part in raybert.clear_cache(everything=True)}
    assert (cleared["tokens"].num_removed, cleared["tokens"].freed_bytes) == (1, 1000)
    assert (cleared["scores"].num_removed, cleared["checked_encoders"].num_removed) == (1, 1)
    assert {path.name for path in cache.iterdir()} == {"tokens", "scores", "checked_encoders", "matplotlib"}
    assert [path.name for path in (cache / "scores").iterdir()] == ["mine"]
    assert raybert.list_cache().size_bytes == 0


def test_a_part_that_does_not_exist_deletes_nothing(cache: Path) -> None:
    with pytest.raises(ConfigError, match=r"parts: must be some of tokens, scores, .* got 'token'; did you mean 'tok"):
        raybert.clear_cache(["scores", "token"])
    with pytest.raises(ConfigError, match="parts: must be given"):
        raybert.clear_cache()
    assert run("cache", "clear").code == run("cache", "clear", "tokens", "--all").code == 2
    assert len(list((cache / "tokens").iterdir())) == 2


def test_a_cache_that_is_not_there_is_empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAYBERT_CACHE", str(tmp_path / "none"))
    assert raybert.list_cache().size_bytes == 0
    assert all(part.num_removed == 0 for part in raybert.clear_cache(everything=True))
    assert not (tmp_path / "none").exists()


@pytest.mark.slow
def test_an_encoder_that_a_process_uses_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from raybert.models.tiny import build_random_encoder

    monkeypatch.setenv("RAYBERT_CACHE", str(tmp_path))
    folder = build_random_encoder(["a text of this test alone"], tmp_path)
    (part,) = raybert.clear_cache(["encoders"])
    assert (part.num_removed, part.num_in_use) == (0, 1)
    assert (folder / "tokenizer.json").exists()
