"""Scoring that hangs: found, named, ended, tried again, given up; with real processes."""

import pytest

from raybert.config import LimitsConfig
from raybert.errors import ScoringError
from raybert.selection.room import Room
from raybert.selection.scorers.lexical import lexical_statistics
from raybert.selection.scorers.scorer import Arithmetic, ScoringData
from raybert.selection.store import ScoreStore
from raybert.sweeping.cluster.hung_scoring import hung_blocks_ended
from tests.sweeping.hostile import HangingScorer

pytestmark = [pytest.mark.slow, pytest.mark.ray, pytest.mark.usefixtures("ray_cluster")]


@pytest.fixture
def score(prepared, tmp_path):
    """Score 300 docstrings in two blocks by a scorer that hangs so many times, watched; return store, key and notes."""
    import ray

    from raybert.selection import pipeline

    def run(times, retries, uses_model):
        hung = tmp_path / f"hung-{times}-{uses_model}"
        hung.mkdir()
        store, notes = ScoreStore(tmp_path / f"store-{times}-{uses_model}"), []
        arithmetic = Arithmetic("fp32", 4096)
        scorer = HangingScorer(hung, times, uses_model)
        job = pipeline.ScoringJob(scorer, "data", prepared.data.fingerprint, 300, arithmetic, block_rows=200)
        data = {"data": ray.put(ScoringData(prepared.data, prepared.splits.train, arithmetic))}
        with hung_blocks_ended(store, LimitsConfig(stall_seconds=1, retries=retries), notes.append) as guard:
            assert pipeline.run_scoring([job], data, store, room=Room(1.0), guard=guard)
        assert not list(store.folder.glob(".watch-*"))
        # Whether a process begins within the second that is a stall here depends on the machine.
        return store.load(job.key), [note for note in notes if note.startswith("scoring block ")]

    return run


def test_a_block_that_hangs_is_named_and_computed_by_another_process(score, prepared):
    arrays, notes = score(1, 1, False)
    (note,) = notes
    assert "no heartbeat for" in note
    assert "in hang_on_purpose (" in note
    assert note.endswith("its process is ended")
    assert arrays["lexical"].tolist() == lexical_statistics(prepared.splits.train["text"].to_pylist()).tolist()


@pytest.mark.long
def test_a_block_that_hangs_again_and_again_is_given_up(score):
    with pytest.raises(ScoringError, match=r"scoring lexical failed: .*in hang_on_purpose \(.*; 1 attempt$"):
        score(9, 0, True)
