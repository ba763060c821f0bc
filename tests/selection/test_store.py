import numpy as np
import pytest

from raybert.errors import DataError
from raybert.selection.store import DamagedBlock, ScoreStore, content_key

PROBS = np.random.default_rng(0).random((7, 2, 3)).astype(np.float32)
LOSS = np.random.default_rng(1).random(7).astype(np.float32)


@pytest.fixture
def store(tmp_path) -> ScoreStore:
    store = ScoreStore(tmp_path)
    store.begin("k", {"scorer": "test"})
    for block, rows in enumerate((np.array([6, 0, 3]), np.array([5, 1, 2, 4]))):
        store.write_block("k", block, rows, {"probs": PROBS[rows], "loss": LOSS[rows]})
    return store


def test_blocks_come_back_in_pool_order_and_with_their_shape(store):
    assert store.check_blocks("k", 2) == ([], [])
    store.finish("k", 2, 7, seconds=1.5)
    arrays = store.load("k")
    np.testing.assert_array_equal(arrays["probs"], PROBS)
    np.testing.assert_array_equal(arrays["loss"], LOSS)
    assert store.completion("k") == {"num_blocks": 2, "num_rows": 7, "seconds": 1.5}


@pytest.mark.parametrize("damage", ["flip", "truncate", "empty"])
def test_a_damaged_block_is_found_removed_and_computed_again(store, damage):
    store.finish("k", 2, 7, seconds=1.0)
    path = store.block_path("k", 1)
    data = bytearray(path.read_bytes())
    if damage == "flip":
        data[data.index(PROBS[5].tobytes()[:8])] ^= 1  # one bit of a value
    path.write_bytes(b"" if damage == "empty" else data[: len(data) // 2] if damage == "truncate" else data)
    with pytest.raises(DamagedBlock, match=r"block-00001\.parquet: must be a whole score block"):
        store.load("k")
    missing, damaged = store.check_blocks("k", 2)
    assert missing == [1]
    assert len(damaged) == 1
    assert not path.exists()
    assert store.completion("k") is None
    with pytest.raises(DataError, match="signal is not complete"):
        store.load("k")


def test_entries_list_what_is_there_and_remove_frees_it(store):
    (entry,) = store.entries()
    assert (entry.key, entry.identity, entry.completion) == ("k", {"scorer": "test"}, None)
    assert entry.size_bytes > 0
    store.remove("k")
    assert list(store.entries()) == []
    with pytest.raises(DataError, match="k: no such signal"):
        store.remove("k")


def test_keys_depend_on_content_and_not_on_the_order_of_words():
    assert content_key({"a": 1, "b": [2]}) == content_key({"b": [2], "a": 1})
    assert content_key({"a": 1}) != content_key({"a": 2})
