"""Scoring over Ray Data: tasks for texts, actors for models, and what needs the whole pool."""

import contextlib
from dataclasses import replace

import numpy as np
import pytest

from raybert.errors import ScoringError, SelectionError
from raybert.selection.geometry.k_center import covering_radius, k_center
from raybert.selection.geometry.two_level import partition_k_center
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

    def run(store, **arguments):
        data = {"data": ray.put(ScoringData(prepared.data, prepared.splits.train, Arithmetic("fp32", 4096)))}
        return pipeline.run_scoring(jobs, data, store, cpus=1.0, **arguments)

    return jobs, run


@pytest.mark.usefixtures("ray_cluster")
def test_text_tasks_models_and_the_whole_pool_in_one_run(scoring, prepared, tmp_path):
    jobs, run = scoring
    store = ScoreStore(tmp_path)
    assert run(store)
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
        assert not pipeline.run_scoring([job], data, ScoreStore(tmp_path), cpus=1.0, should_stop=lambda: stopped)
    wait_until(lambda: ray.available_resources().get("CPU") == ray.cluster_resources()["CPU"], "all CPUs free", 30)


@pytest.mark.usefixtures("ray_cluster")
def test_k_center_over_tasks_holds_no_whole_pool_and_tells_its_radius(scoring, prepared, tmp_path):
    from raybert.selection.pipeline import block_positions, k_center_by_parts

    jobs, _ = scoring
    store = ScoreStore(tmp_path)
    keys = np.arange(300, dtype=np.uint64)
    with pytest.raises(SelectionError, match="must be complete in the score store"):
        k_center_by_parts(store, jobs[2].key, 10, 2, keys)
    points = np.random.default_rng(0).normal(size=(300, 16)).astype(np.float32)
    for block in range(3):
        rows = block_positions(prepared.data.train.lengths, block, 128)
        store.write_block(jobs[2].key, block, rows, {"embeddings": points[rows]})
    store.finish(jobs[2].key, 3, 300)
    found = k_center_by_parts(store, jobs[2].key, 20, 3, keys)
    assert len(set(found.positions.tolist())) == 20
    assert found.radius == pytest.approx(covering_radius(points, found.positions), abs=1e-5)
    exact, _ = k_center(points, 20, tie_keys=keys)
    assert covering_radius(points, exact) <= 2 * found.radius  # greedy is within twice the optimum
    assert found.radius <= 4 * covering_radius(points, exact)
    one_part = k_center_by_parts(store, jobs[2].key, 20, 1, keys)
    np.testing.assert_array_equal(
        np.sort(one_part.positions), np.sort(partition_k_center(points, 20, 1, tie_keys=keys)[0])
    )
    with pytest.raises(SelectionError, match=r"budget: must be in 1\.\.300"):
        k_center_by_parts(store, jobs[2].key, 301, 2, keys)
