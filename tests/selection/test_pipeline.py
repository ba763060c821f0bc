"""Scoring over Ray Data: tasks for texts, actors for models, and what needs the whole pool."""

import contextlib
from dataclasses import replace

import numpy as np
import pytest

from raybert.errors import ScoringError
from raybert.selection.room import Room
from raybert.selection.scorers.aflite import aflite_signal
from raybert.selection.scorers.derived import AfliteScorer
from raybert.selection.scorers.lexical import Lexical, lexical_statistics
from raybert.selection.scorers.models import EmbeddingScorer
from raybert.selection.scorers.readability import Readability, readability_statistics
from raybert.selection.scorers.scorer import Arithmetic, ScoringData
from raybert.selection.scorers.text import TextScorer
from raybert.selection.store import ScoreStore
from tests.processes import wait_until

pytestmark = pytest.mark.ray
ONE = Room(1.0)


@pytest.fixture
def scoring(prepared):
    """Jobs of three kinds over 300 docstrings in blocks of 128, and how to run them."""
    ray = pytest.importorskip("ray")
    from raybert.selection import pipeline

    def job(scorer, **more):
        return pipeline.ScoringJob(
            scorer, "data", prepared.data.fingerprint, 300, Arithmetic("fp32", 4096), block_rows=128, **more
        )

    embedding = job(EmbeddingScorer(prepared.encoder, "mean"))
    jobs = [
        job(TextScorer.of(Lexical())),
        job(TextScorer.of(Readability())),
        embedding,
        job(AfliteScorer(), depends=(embedding.key,)),
    ]

    def run(store, room=ONE, **arguments):
        data = {"data": ray.put(ScoringData(prepared.data, prepared.splits.train, Arithmetic("fp32", 4096)))}
        return pipeline.run_scoring(jobs, data, store, room=room, **arguments)

    return jobs, run


@pytest.mark.usefixtures("ray_cluster")
def test_text_tasks_models_and_the_whole_pool_in_one_run(scoring, prepared, tmp_path, monkeypatch):
    from raybert.selection import pipeline

    jobs, run = scoring
    store = ScoreStore(tmp_path)
    sort, sorted_pools = pipeline.block_order, []
    monkeypatch.setattr(pipeline, "block_order", lambda lengths: sorted_pools.append(len(lengths)) or sort(lengths))
    assert run(store)
    assert sorted_pools == [300]  # once for all blocks and jobs
    texts = prepared.splits.train["text"].to_pylist()
    lexical, readability, embeddings, aflite = (store.load(job.key) for job in jobs)
    np.testing.assert_array_equal(lexical["lexical"], lexical_statistics(texts))
    np.testing.assert_array_equal(readability["readability"], readability_statistics(texts))
    expected = aflite_signal(embeddings["embeddings"], np.asarray(prepared.data.train.labels), 0)
    np.testing.assert_array_equal(aflite["aflite"], expected)


@pytest.mark.usefixtures("ray_cluster")
def test_what_was_stopped_goes_on_from_its_blocks(scoring, tmp_path):
    jobs, run = scoring
    store = ScoreStore(tmp_path)
    done = []
    assert not run(store, should_stop=lambda: True, progress=lambda p: done.append(p.rows_done))
    written = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("block-*.parquet")}
    assert written
    assert run(store)
    assert all(path.stat().st_mtime_ns == modified for path, modified in written.items())
    assert all(store.completion(job.key) for job in jobs)


@pytest.mark.usefixtures("ray_cluster")
@pytest.mark.parametrize("stopped", [False, True])
def test_what_ends_early_gives_its_cpus_back(scoring, prepared, tmp_path, stopped):
    import ray

    from raybert.selection import pipeline

    jobs, _ = scoring
    missing = replace(prepared.encoder, path=tmp_path / "missing")
    job = replace(jobs[2], scorer=EmbeddingScorer(prepared.encoder if stopped else missing, "mean"))
    data = {"data": ray.put(ScoringData(prepared.data, prepared.splits.train, Arithmetic("fp32", 4096)))}
    expected = contextlib.nullcontext() if stopped else pytest.raises(ScoringError, match="missing")
    with expected:
        assert not pipeline.run_scoring([job], data, ScoreStore(tmp_path), room=Room(1.0), should_stop=lambda: stopped)
    wait_until(lambda: ray.available_resources().get("CPU") == ray.cluster_resources()["CPU"], "all CPUs free", 30)


@pytest.mark.long
@pytest.mark.usefixtures("ray_cluster")
def test_actors_that_follow_a_cluster_compute_what_a_fixed_number_does(scoring, tmp_path):
    jobs, run = scoring
    stores = [ScoreStore(tmp_path / name) for name in ("fixed", "follows", "from_nothing")]
    for store, room in zip(stores, (Room(1.0), Room(1.0, most_cpus=2.0), Room(0.0, most_cpus=2.0)), strict=True):
        assert run(store, room)
    for job in jobs:
        fixed, *others = (store.load(job.key) for store in stores)
        for other in others:
            for name, values in fixed.items():
                np.testing.assert_array_equal(other[name], values)
