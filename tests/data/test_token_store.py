"""Tokens kept between commands: the same as made anew, by what they depend on, and never a part of them."""

from __future__ import annotations

import contextlib
import os
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from raybert.config import DataConfig
from raybert.data import Splits, tokenize_splits
from raybert.data import token_store as module
from raybert.data.chunked import chunk_splits
from raybert.data.chunks import ChunkSettings
from raybert.data.token_store import TokenStore, text_digest
from raybert.data.tokens import TextEncoder, TokenTable, tokenize_examples
from raybert.durable import hold
from raybert.errors import CacheWarning, ConfigError
from raybert.models.tokenizer_options import with_options
from tests.data.tokenizers import WORDS, tokenizer_of

TEXTS = ["", "a", *(WORDS[start : start + 90] for start in range(0, 300, 20)), WORDS * 6, "no space " * 200]


@pytest.fixture(params=["in memory", "part by part"])
def store(tmp_path: Path, request: pytest.FixtureRequest) -> TokenStore:
    return TokenStore(
        tmp_path / "tokens", smallest=0, largest_in_memory=-1 if request.param == "part by part" else 1 << 40
    )


def examples(texts: list[str] = TEXTS, *, pairs: bool = False, chunk: int | None = None) -> pa.Table:
    columns: dict[str, Any] = {"text": pa.array(texts, pa.string())}
    if pairs:
        columns["text_pair"] = pa.array(texts[::-1], pa.string())
    table = pa.table({**columns, "label": pa.array(np.arange(len(texts)) % 2)})
    return table if chunk is None else pa.concat_tables([table.slice(0, chunk), table.slice(chunk)])


def keys(store: TokenStore) -> set[str]:
    return {entry.key for entry in store.entries()}


def equal(one: TokenTable, other: TokenTable) -> bool:
    return all(
        np.array_equal(getattr(one, name), getattr(other, name))
        and getattr(one, name).dtype == getattr(other, name).dtype
        for name in ("ids", "offsets", "second_starts", "labels")
    )


def counted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return a list that grows with every table that is tokenized."""
    calls: list[int] = []
    original = TextEncoder._parts

    def parts(self: TextEncoder, table: pa.Table, done: Mapping[str, int]) -> Any:
        calls.append(table.num_rows - done.get("kept", 0))
        return original(self, table, done)

    monkeypatch.setattr(TextEncoder, "_parts", parts)
    return calls


@pytest.mark.parametrize("kind", ["bert", "byte-level-prefix", "wordless-unigram"])
@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize("rule", [None, "longest_first", "only_first"])
def test_what_is_kept_is_what_transformers_makes_of_the_texts(
    kind: str, side: str, rule: Any, store: TokenStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokenizer, pairs = tokenizer_of(kind, side), rule is not None
    texts = TEXTS[:8] if rule == "only_first" else TEXTS  # the others must leave room
    table = examples(texts, pairs=pairs)
    length = 400 if rule == "only_first" else 17
    calls = counted(monkeypatch)
    found = [tokenize_examples(table, tokenizer, length, rule or "longest_first", store) for _ in range(2)]
    assert calls == [len(texts)]
    expected = tokenizer(
        texts, texts[::-1] if pairs else None, truncation=rule or True, max_length=length, return_token_type_ids=False
    )
    for tokens in found:
        rows = [tokens.ids[a:b].tolist() for a, b in zip(tokens.offsets, tokens.offsets[1:], strict=False)]
        assert rows == expected["input_ids"]
        assert tokens.labels.tolist() == table["label"].to_pylist()
        assert not tokens.ids.flags.writeable
    assert equal(*found)
    assert equal(found[0], tokenize_examples(table, tokenizer, length, rule or "longest_first"))


def splits_of(texts: list[str], *, pairs: bool = False) -> Splits:
    table = examples(texts, pairs=pairs).add_column(0, "example_id", pa.array([f"e{i}" for i in range(len(texts))]))
    return Splits(table, table.slice(1, 3), table.slice(4), ("no", "yes"), "f" * 64)


@pytest.mark.parametrize("pairs", [False, True])
def test_fingerprint_and_notes_are_those_without_a_cache(pairs: bool, store: TokenStore) -> None:
    splits, tokenizer = splits_of(TEXTS, pairs=pairs), tokenizer_of("bert")
    direct, *kept = (tokenize_splits(splits, tokenizer, 17, store=one) for one in (None, store, store))
    assert direct.notes
    for data in kept:
        assert (data.fingerprint, data.notes, data.pad_id) == (direct.fingerprint, direct.notes, direct.pad_id)
        assert all(equal(getattr(data, split), getattr(direct, split)) for split in ("train", "validation", "test"))


@pytest.mark.parametrize("pairs", [False, True])
def test_chunks_of_long_documents_are_kept_too(pairs: bool, store: TokenStore, monkeypatch: pytest.MonkeyPatch) -> None:
    splits, tokenizer = splits_of(TEXTS, pairs=pairs), tokenizer_of("bert")
    settings = ChunkSettings(chunk_tokens=12, stride=8, max_chunks=9)
    direct = chunk_splits(splits, tokenizer, settings, 17)
    chunk_splits(splits, tokenizer, settings, 17, store)
    monkeypatch.setattr("raybert.data.chunks.chunk_texts", None)  # is not called again
    found = chunk_splits(splits, tokenizer, settings, 17, store)
    assert found.fingerprint == direct.fingerprint
    assert equal(found.pieces.train, direct.pieces.train)
    for split, chunks in direct.chunks.items():
        assert equal(found.chunks[split].table, chunks.table)
        assert np.array_equal(found.chunks[split].document_offsets, chunks.document_offsets)
        assert np.array_equal(found.chunks[split].spans, chunks.spans)
        assert found.chunks[split].num_subsampled == chunks.num_subsampled
    assert direct.chunks["train"].num_subsampled == 2  # the two long ones


def test_the_key_follows_all_that_changes_word_pieces_and_nothing_else(
    store: TokenStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokenizer = tokenizer_of("bert")
    changed = [*TEXTS[:-1], TEXTS[-1] + "."]
    moved = ["a", "b" + TEXTS[2], *TEXTS[3:]], ["ab", TEXTS[2], *TEXTS[3:]]  # the same characters, cut elsewhere

    def cased() -> Any:
        return with_options(tokenizer_of("bert"), DataConfig(lowercase=False))

    def newer() -> Any:
        monkeypatch.setattr(module.tokenizers, "__version__", "999")
        return tokenizer_of("bert")

    cases: dict[str, Callable[[], Any]] = {
        "first": lambda: tokenize_examples(examples(), tokenizer, 17, store=store),
        "a text": lambda: tokenize_examples(examples(changed), tokenizer, 17, store=store),
        "one side of a boundary": lambda: tokenize_examples(examples(moved[0]), tokenizer, 17, store=store),
        "the other side": lambda: tokenize_examples(examples(moved[1]), tokenizer, 17, store=store),
        "order": lambda: tokenize_examples(examples(TEXTS[::-1]), tokenizer, 17, store=store),
        "pairs": lambda: tokenize_examples(examples(pairs=True), tokenizer, 17, store=store),
        "length": lambda: tokenize_examples(examples(), tokenizer, 18, store=store),
        "side": lambda: tokenize_examples(examples(), tokenizer_of("bert", "left"), 17, store=store),
        "case": lambda: tokenize_examples(examples(), cased(), 17, store=store),
        "vocabulary": lambda: tokenize_examples(examples(), tokenizer_of("byte-level"), 17, store=store),
        "rule": lambda: tokenize_examples(examples(TEXTS[:4], pairs=True), tokenizer, 99, "only_first", store),
        "another rule": lambda: tokenize_examples(examples(TEXTS[:4], pairs=True), tokenizer, 99, "only_second", store),
        "library": lambda: tokenize_examples(examples(), newer(), 17, store=store),
    }
    for number, (name, make) in enumerate(cases.items(), 1):
        make()
        assert len(store.entries()) == number, name
    monkeypatch.undo()
    for chunk in (1, 7):
        tokenize_examples(examples(chunk=chunk), tokenizer, 17, store=store)
    relabelled = examples().set_column(1, "label", pa.array(np.ones(len(TEXTS), np.int64)))
    assert tokenize_examples(relabelled, tokenizer, 17, store=store).labels.tolist() == [1] * len(TEXTS)
    assert len(store.entries()) == len(cases)


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.string_view()])
def test_a_digest_is_of_the_texts_however_they_are_stored(kind: pa.DataType) -> None:
    column = pa.chunked_array(
        [pa.array(["x", "", "yz"], kind), pa.array([], kind), pa.array(["w", "é"], kind).slice(1)]
    )
    assert text_digest(column) == text_digest(pa.chunked_array([pa.array(["x", "", "yz", "é"])]))
    assert text_digest(column) != text_digest(pa.chunked_array([pa.array(["x", "y", "z", "é"])]))


@pytest.mark.parametrize("damage", ["cut", "changed", "lost", "no digests"])
def test_what_is_damaged_is_made_again_with_a_line(damage: str, store: TokenStore) -> None:
    tokenize_examples(examples(), tokenizer_of("bert"), 17, store=store)
    direct = tokenize_examples(examples(), tokenizer_of("bert"), 17)
    (key,) = keys(store)
    path = store.folder / key / ("digests.json" if damage == "no digests" else "ids.npy")
    content = path.read_bytes()
    match damage:
        case "cut":
            path.write_bytes(content[:-1])
        case "changed":
            path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        case _:
            path.unlink()
    with pytest.warns(CacheWarning, match=rf"tokens .*{key}: damaged, and made again"):
        assert equal(tokenize_examples(examples(), tokenizer_of("bert"), 17, store=store), direct)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert equal(tokenize_examples(examples(), tokenizer_of("bert"), 17, store=store), direct)
    assert keys(store) == {key}


def test_what_a_killed_writer_leaves_is_not_read_and_goes_with_the_next_write(store: TokenStore) -> None:
    tokenize_examples(examples(), tokenizer_of("bert"), 17, store=store)
    direct = tokenize_examples(examples(), tokenizer_of("bert"), 17)
    (key,) = keys(store)
    (store.folder / key).rename(store.folder / f".{key}.00000000.tmp")  # of a process that lives no more
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert equal(tokenize_examples(examples(), tokenizer_of("bert"), 17, store=store), direct)
    (store.folder / key / "COMPLETE").unlink()  # torn at the last step
    (store.folder / key / "ids.npy").write_bytes(b"")
    assert equal(tokenize_examples(examples(), tokenizer_of("bert"), 17, store=store), direct)
    assert (store.folder / key / "COMPLETE").exists()


class Killed(BaseException):
    """What ends a process in the middle."""


@contextlib.contextmanager
def killed_after(num_parts: int) -> Iterator[None]:
    """Let tokenizing end after so many parts, as a kill would, all of them on disk."""
    original = TextEncoder._parts

    def parts(self: TextEncoder, table: pa.Table, done: Mapping[str, int]) -> Any:
        for number, part in enumerate(original(self, table, done)):
            if number == num_parts:
                raise Killed
            yield part

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TextEncoder, "_parts", parts)
        try:
            yield
        except Killed:
            return
    pytest.fail("was not killed")


@pytest.mark.parametrize("tail", [b"", b"what was not yet said to be on disk"])
def test_a_killed_run_goes_on_where_it_was(tail: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("raybert.data.cut_texts.CHARACTERS_AT_ONCE", 600)
    monkeypatch.setattr("raybert.data.partial_table._SECONDS_BETWEEN_SYNCS", -1.0)
    store = TokenStore(tmp_path / "tokens", smallest=0, largest_in_memory=-1)
    tokenizer, table = tokenizer_of("bert"), examples(pairs=True)
    direct = tokenize_examples(table, tokenizer, 17)
    for _ in range(2):
        with killed_after(3):
            tokenize_examples(table, tokenizer, 17, store=store)
    (part,) = store.folder.glob("*.part")
    assert not store.entries()
    for path in part.glob("*.npy"):
        with path.open("ab") as file:
            file.write(tail)
    calls = counted(monkeypatch)
    assert equal(tokenize_examples(table, tokenizer, 17, store=store), direct)
    assert 0 < calls[0] < len(TEXTS) - 3
    assert equal(tokenize_examples(table, tokenizer, 17, store=store), direct)
    assert len(calls) == 1
    assert [path.name for path in store.folder.iterdir()] == [*keys(store)]


@pytest.mark.parametrize("damage", ["progress.json", "ids.npy", "kept.npy"])
def test_what_is_left_of_a_kill_and_torn_is_made_anew(
    damage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("raybert.data.cut_texts.CHARACTERS_AT_ONCE", 600)
    monkeypatch.setattr("raybert.data.partial_table._SECONDS_BETWEEN_SYNCS", -1.0)
    store = TokenStore(tmp_path / "tokens", smallest=0, largest_in_memory=-1)
    with killed_after(3):
        tokenize_examples(examples(), tokenizer_of("bert"), 17, store=store)
    (part,) = store.folder.glob("*.part")
    (part / damage).write_bytes(b"{}")
    calls = counted(monkeypatch)
    found = tokenize_examples(examples(), tokenizer_of("bert"), 17, store=store)
    assert equal(found, tokenize_examples(examples(), tokenizer_of("bert"), 17))
    assert calls[0] == len(TEXTS)


def test_what_nobody_went_on_with_for_a_week_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = TokenStore(tmp_path / "tokens", smallest=0, largest_in_memory=-1)
    for name, age in (("old", 8), ("young", 6)):
        (store.folder / f"{name}.part").mkdir(parents=True)
        when = time.time() - age * 86_400
        os.utime(store.folder / f"{name}.part", (when, when))
    tokenize_examples(examples(), tokenizer_of("bert"), 17, store=store)
    assert {path.name for path in store.folder.iterdir()} == {"young.part", *keys(store)}


def test_two_writers_of_one_table_both_succeed(store: TokenStore, monkeypatch: pytest.MonkeyPatch) -> None:
    both, found = threading.Barrier(2, timeout=30), []
    original = TextEncoder._parts

    def parts(self: TextEncoder, table: pa.Table, done: Mapping[str, int]) -> Any:
        both.wait()  # neither has written when the other begins
        return original(self, table, done)

    monkeypatch.setattr(TextEncoder, "_parts", parts)
    threads = [
        threading.Thread(
            target=lambda: found.append(tokenize_examples(examples(), tokenizer_of("bert"), 17, store=store))
        )
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 2
    assert equal(*found)
    assert len(store.entries()) == 1
    assert [path.name for path in store.folder.iterdir()] == [*keys(store)]


def test_what_was_not_used_for_the_longest_time_goes_first_and_what_is_in_use_stays(store: TokenStore) -> None:
    for length in (10, 11, 12):
        tokenize_examples(examples(), tokenizer_of("bert"), length, store=store)
        for number, entry in enumerate(store.entries()):
            os.utime(store.folder / entry.key / "COMPLETE", (number, number))
    first, second, third = (entry.key for entry in store.entries())
    in_use = hold(store.folder / first)  # as whoever has mapped it does
    limited = replace(store, most_bytes=sum(entry.size_bytes for entry in store.entries()) + 1000)  # not for a fourth
    tokenize_examples(examples(), tokenizer_of("bert"), 13, store=limited)
    assert {first, third} < keys(store)
    assert second not in keys(store)
    os.close(in_use)
    tokenize_examples(examples(), tokenizer_of("bert"), 14, store=limited)
    assert first not in keys(store)
    assert third in keys(store)


def test_a_table_is_in_use_as_long_as_a_part_of_it_is(store: TokenStore) -> None:
    table = tokenize_examples(examples(), tokenizer_of("bert"), 17, store=store)
    (key,) = keys(store)
    part = table.ids[3:9]
    del table
    assert not store.remove(key)
    del part
    assert store.remove(key)
    assert not store.entries()


def test_small_texts_and_a_limit_of_nothing_leave_no_file(store: TokenStore) -> None:
    tokenize_examples(examples(), tokenizer_of("bert"), 17, store=replace(store, smallest=1_000_000))
    tokenize_examples(examples(), tokenizer_of("bert"), 17, store=replace(store, most_bytes=0))
    assert not store.folder.exists()


def test_a_table_beyond_the_limit_is_not_kept_and_said(store: TokenStore) -> None:
    with pytest.warns(CacheWarning, match=r"tokens of 0\.0 GB are not kept: RAYBERT_TOKENS_GB is 1e-09"):
        tokenize_examples(examples(), tokenizer_of("bert"), 17, store=replace(store, most_bytes=1))
    assert not store.entries()


def test_where_nothing_can_be_written_one_line_says_so_and_the_tokens_are_there(store: TokenStore) -> None:
    store.folder.write_text("a file in its place")
    with pytest.warns(CacheWarning, match="tokens cannot be kept in .*, and is made again next time"):
        found = tokenize_examples(examples(), tokenizer_of("bert"), 17, store=store)
    assert equal(found, tokenize_examples(examples(), tokenizer_of("bert"), 17))


def test_a_link_in_the_place_of_a_table_is_not_followed(store: TokenStore, tmp_path: Path) -> None:
    direct = tokenize_examples(examples(), tokenizer_of("bert"), 17, store=store)
    (key,) = keys(store)
    (store.folder / key).rename(tmp_path / "elsewhere")
    (store.folder / key).symlink_to(tmp_path / "elsewhere")
    assert not store.entries()
    assert equal(tokenize_examples(examples(), tokenizer_of("bert"), 17, store=store), direct)
    assert not (store.folder / key).is_symlink()
    assert (tmp_path / "elsewhere" / "ids.npy").exists()


@pytest.mark.parametrize("given", ["-1", "much", "nan"])
def test_a_limit_that_is_none_is_one_line(given: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAYBERT_TOKENS_GB", given)
    with pytest.raises(ConfigError, match=rf"RAYBERT_TOKENS_GB: must be a number of gigabytes, .* got '{given}'"):
        TokenStore.in_cache()


def test_where_no_cache_can_be_named_there_is_no_store(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RAYBERT_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", "relative")
    assert TokenStore.in_cache() is None


def test_the_limit_is_twenty_gigabytes_or_what_the_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAYBERT_TOKENS_GB", raising=False)
    monkeypatch.setenv("RAYBERT_CACHE", "/x")
    assert TokenStore.in_cache() == TokenStore(Path("/x/tokens"), 20e9)
    monkeypatch.setenv("RAYBERT_TOKENS_GB", "0.5")
    assert TokenStore.in_cache() == TokenStore(Path("/x/tokens"), 5e8)
