import numpy as np
import pytest

from raybert.errors import DataError
from raybert.selection.scorers.scorer import Arithmetic
from raybert.selection.store import DamagedBlock, ScoreStore, SignalGone
from tests.e2e.commands import run

PROBS = np.random.default_rng(0).random((7, 2, 3)).astype(np.float32)
LOSS = np.random.default_rng(1).random(7).astype(np.float32)


@pytest.fixture
def store(tmp_path) -> ScoreStore:
    store = ScoreStore(tmp_path)
    store.begin("k", {"scorer": "test"})
    for block, rows in enumerate((np.array([6, 0, 3]), np.array([5, 1, 2, 4]))):
        store.write_block("k", block, rows, {"probs": PROBS[rows], "loss": LOSS[rows]}, 0.75)
    return store


def test_blocks_come_back_in_pool_order_and_with_their_shape(store):
    assert store.check_blocks("k", 2) == ([], [])
    store.finish("k", 2, 7)
    arrays = store.load("k")
    np.testing.assert_array_equal(arrays["probs"], PROBS)
    np.testing.assert_array_equal(arrays["loss"], LOSS)
    assert store.completion("k") == {"num_blocks": 2, "num_rows": 7, "seconds": 1.5}


@pytest.mark.parametrize("damage", ["flip", "truncate", "empty"])
def test_a_damaged_block_is_found_removed_and_computed_again(store, damage):
    store.finish("k", 2, 7)
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


def test_writers_at_once_leave_a_whole_store(tmp_path):
    from concurrent.futures import ThreadPoolExecutor

    store = ScoreStore(tmp_path)
    blocks = [np.arange(i, 100, 5) for i in range(5)]

    def sweep(_: int) -> None:
        store.begin("k", {"scorer": "test"})
        for block, rows in enumerate(blocks):
            store.write_block("k", block, rows, {"loss": rows.astype(np.float32)})
            assert store.check_blocks("k", block + 1)[0] == []
        store.finish("k", 5, 100)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(sweep, range(12)))
    np.testing.assert_array_equal(store.load("k")["loss"], np.arange(100))
    assert not [path for path in tmp_path.rglob("*") if path.name.endswith(".tmp")]


def test_runs_behind_a_signal_are_kept_without_their_models(store, tmp_path):
    run = tmp_path / "run"
    (run / "checkpoint" / "best").mkdir(parents=True)
    (run / "checkpoint" / "best" / "model.safetensors").write_text("large")
    (run / "result.json").write_text("{}")
    store.keep_run("k", "abc", run)
    store.keep_run("k", "abc", run)
    assert store.kept_run("k", "abc") is None  # the signal is not complete
    store.finish("k", 2, 7)
    kept = store.kept_run("k", "abc")
    assert [path.name for path in kept.rglob("*")] == ["result.json"]
    assert store.kept_run("k", "other") is None


@pytest.mark.parametrize("change", ["text", "label", "max_length", "tokenizer", "encoder", "pooling", "precision"])
def test_whatever_values_depend_on_gives_another_key(change, prepared, tiny_bert):
    from dataclasses import replace

    import pyarrow as pa

    from raybert.data import tokenize_splits
    from raybert.models import load_tokenizer
    from raybert.selection.scorers.models import EmbeddingScorer

    pipeline = pytest.importorskip("raybert.selection.pipeline")

    def key(splits, encoder, max_length=32, pooling="mean", precision="fp32", tokenizer=None):
        data = tokenize_splits(splits, load_tokenizer(tokenizer or encoder), max_length)
        scorer = EmbeddingScorer(encoder, pooling)
        return pipeline.ScoringJob(scorer, "data", data.fingerprint, len(data.train), Arithmetic(precision, 4096)).key

    splits, encoder = prepared.splits, prepared.encoder
    base = key(splits, encoder)
    assert key(splits, encoder) == base
    if change in ("text", "label"):
        table = splits.train
        values = table[change].to_pylist()
        values[0] = values[0] + ("!" if change == "text" else 1)
        table = table.set_column(table.column_names.index(change), change, pa.array(values))
        changed = replace(splits, train=table)
        assert key(replace(changed, fingerprint=fingerprint_of(changed)), encoder) != base
    elif change == "encoder":
        assert key(splits, replace(encoder, fingerprint="other")) != base
    elif change == "tokenizer":
        assert key(splits, encoder, tokenizer=tiny_bert) != base
    else:
        value = {"max_length": 31, "pooling": "cls", "precision": "bf16"}[change]
        assert key(splits, encoder, **{change: value}) != base


def fingerprint_of(splits) -> str:
    from raybert.data.identity import content_fingerprint

    tables = {"train": splits.train, "validation": splits.validation, "test": splits.test}
    return content_fingerprint(tables, splits.label_names)


@pytest.mark.parametrize(
    "content", ["", "[1]", "{}", '{"num_blocks": "two"}', '{"num_blocks": 2, "num_rows": [], "seconds": 1}']
)
def test_a_signal_whose_record_is_damaged_is_not_complete(store, content):
    store.finish("k", 2, 7)
    (store.folder / "k" / "complete.json").write_text(content)
    assert store.completion("k") is None
    with pytest.raises(SignalGone, match="the same command computes it again"):
        store.load("k")


def test_a_signal_that_lacks_a_block_is_not_complete_however_it_went(store):
    store.finish("k", 2, 7)
    store.block_path("k", 0).unlink()
    assert store.completion("k") is None
    with pytest.raises(SignalGone, match="changed while it was computed"):
        store.finish("k", 2, 7)


def test_a_signal_whose_identity_was_deleted_meanwhile_is_not_finished(store):
    (store.folder / "k" / "identity.json").unlink()
    with pytest.raises(SignalGone, match=r"identity\.json is gone"):
        store.finish("k", 2, 7)
    store.begin("k", {"scorer": "test"})
    store.finish("k", 2, 7)
    np.testing.assert_array_equal(store.load("k")["loss"], LOSS)


def test_a_kept_run_that_is_not_whole_is_replaced(store, tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    (run / "result.json").write_text("{}")
    torn = store.folder / "k" / "runs" / "abc"
    torn.mkdir(parents=True)
    (torn / "evaluations.jsonl").write_text("torn")
    store.keep_run("k", "abc", run)
    assert [path.name for path in torn.iterdir()] == ["result.json"]


@pytest.mark.fault("damaged entries of a score store")
def test_damaged_entries_are_listed_and_removed_and_nothing_else_is(tmp_path, fault):
    key = "0123456789abcdef012"
    for number, (name, content) in enumerate(
        [
            ("identity.json", "[1, 2]"),
            ("identity.json", ""),
            ("identity.json", "\x00" * 40),
            ("complete.json", '{"num_blocks": 1}'),
            ("block-00000.parquet", "torn"),
            ("identity.json/", ""),
        ]
    ):
        folder = tmp_path / f"{key}{number}"
        folder.mkdir()
        (folder / name).mkdir() if name.endswith("/") else (folder / name).write_text(content)
    (tmp_path / f"{key}9").write_text("a file")
    for other in ("notes", ".watch-abc"):
        (tmp_path / other).mkdir()
        (tmp_path / other / "identity.json").write_text('{"who": "somebody else"}')
    with fault.once():
        done = run("scores", "ls", "--store", tmp_path)
        assert done.code == 0, done.said
        assert done.out.count("unfinished") == 6
        assert "6 signals" in done.out
        done = run("scores", "rm", "--all", "--store", tmp_path)
        assert done.code == 0, done.said
        left = sorted(path.name for path in tmp_path.iterdir())
        assert left == [".watch-abc", f"{key}9", "notes"]
    done = run("scores", "ls", "--store", tmp_path / f"{key}9")
    assert done.code == 2
    assert "store: must be a folder" in done.err
