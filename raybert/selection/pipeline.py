"""The scoring pipeline: blocks of the pool stream through Ray Data into the score store.

A block is up to 1,024 pool rows of similar length. A Ray Data row is one *piece of work*, (job, block number);
the token table itself lies in the object store and is mapped, not copied, by every scoring process, and a
finished block goes straight to disk. So memory does not grow with the pool, and what was killed goes on from
the blocks that are there. Scorers that run a model live in actors, statistics of the text are tasks, and what needs
the whole pool at once (AFLite) follows as one task each.
"""

from __future__ import annotations

import contextlib
import dataclasses
import gc
import logging
import time
import traceback
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import ray
import ray.data
import torch

from raybert.errors import ScoringError
from raybert.files import content_key
from raybert.machine import tokenize_in_one_thread
from raybert.selection.room import Room
from raybert.selection.scorers.sampled import SampledScorer
from raybert.selection.scorers.scorer import Arithmetic, PoolScorer, ScoreFunction, Scorer, ScoringData
from raybert.selection.store import ScoreStore, SignalGone
from raybert.training.memory.allocator import keep_memory

BLOCK_ROWS = 1024
_MOST_ROUNDS = 3
"""Somebody may empty a store while it is filled (`raybert scores rm`), but not each time by chance."""


Guard = Callable[[str, int], contextlib.AbstractContextManager[None]]


def unguarded(key: str, block: int) -> contextlib.AbstractContextManager[None]:
    """Compute a block without anybody watching."""
    return contextlib.nullcontext()


@dataclass(frozen=True)
class ScoringJob:
    """One scorer over one pool.

    Attributes:
        scorer: what to compute.
        data_key: which of the prepared data sets.
        data_fingerprint: its content.
        num_rows: pool size n.
        arithmetic: on what the last bits of a model's outputs depend.
        depends: keys of the signals that it reads, for scorers of the whole pool.
        block_rows: rows of a block.
        code: digest of code of a user's own by which the runs behind it were trained; None: there is none.
    """

    scorer: Scorer | PoolScorer
    data_key: str
    data_fingerprint: str
    num_rows: int
    arithmetic: Arithmetic
    depends: tuple[str, ...] = ()
    block_rows: int = BLOCK_ROWS
    code: str | None = None

    @property
    def identity(self) -> dict[str, Any]:
        """All that the values depend on."""
        identity: dict[str, Any] = {
            "data": self.data_fingerprint,
            "block_rows": self.block_rows,
            **self.scorer.identity(),
        }
        if self.uses_model:
            identity["arithmetic"] = list(dataclasses.astuple(self.arithmetic))
        if self.depends:
            identity["reads"] = list(self.depends)
        if self.code is not None:
            identity["code"] = self.code
        return identity

    @property
    def runs(self) -> tuple[str, ...]:
        """Trial ids of the training runs whose models it loads."""
        return self.scorer.runs

    @property
    def uses_model(self) -> bool:
        """Whether it wants a GPU where there is one."""
        return bool(getattr(self.scorer, "uses_model", False))

    @property
    def passes(self) -> int:
        """Forward passes per example."""
        return int(getattr(self.scorer, "passes", 0))

    @property
    def num_computed(self) -> int:
        """How many examples it computes something of: all, or a sample."""
        return self.scorer.num_computed(self.num_rows) if isinstance(self.scorer, SampledScorer) else self.num_rows

    @property
    def key(self) -> str:
        """Where the score store keeps it."""
        return content_key(self.identity)

    @property
    def num_blocks(self) -> int:
        """Blocks of the pool."""
        return -(-self.num_rows // self.block_rows)


@dataclass(frozen=True)
class ScoringProgress:
    """How far scoring is: rows over all jobs, and the seconds since it began."""

    rows_done: int
    rows_total: int
    elapsed_seconds: float

    @property
    def rows_per_second(self) -> float:
        """Throughput so far."""
        return self.rows_done / self.elapsed_seconds if self.elapsed_seconds > 0 else 0.0


@dataclass
class _Piece:
    """Blocks of one job that are still to be computed."""

    job: ScoringJob
    blocks: list[int]


def run_scoring(
    jobs: Sequence[ScoringJob],
    data: dict[str, Any],
    store: ScoreStore,
    *,
    room: Room,
    progress: Callable[[ScoringProgress], None] = lambda _: None,
    note: Callable[[str], None] = lambda _: None,
    should_stop: Callable[[], bool] = lambda: False,
    guard: Guard = unguarded,
) -> bool:
    """Compute what the store lacks of the jobs; return whether all of it is there.

    Args:
        jobs: scorers over pools.
        data: data key -> object reference of a `ScoringData`.
        store: where blocks go; must be on a file system that all nodes see.
        room: what may be used of the cluster.
        progress: told after every block.
        note: told in one line about damaged blocks.
        should_stop: asked after every block; stopping leaves finished blocks in the store.
        guard: entered by the process that computes a block of a job (-1: its whole pool).

    Raises:
        ScoringError: a job failed, or the store loses again and again what is written there.
    """
    for _ in range(_MOST_ROUNDS):
        try:
            return _run_jobs(jobs, data, store, room, progress, note, should_stop, guard)
        except SignalGone as error:
            failure = str(error)
        except ray.exceptions.RayError as error:
            failure = str(error)
            if not isinstance(getattr(error, "cause", None), SignalGone):
                break
        note(f"note: the score store {store.folder} lost what scoring reads or has written; it is computed again")
    gc.collect()  # the error and Ray Data's executor hold each other, and so the CPUs of its actors
    raise _error_of(jobs, failure)


def _error_of(jobs: Sequence[ScoringJob], failure: str) -> ScoringError:
    """Return the error of jobs one of which has failed, from a traceback."""
    names = ", ".join(dict.fromkeys(str(job.scorer.identity()["scorer"]) for job in jobs))
    lines = [line for line in failure.splitlines() if line.strip()]
    return ScoringError(f"scoring {names} failed: {lines[-1]}", failure)


def _run_jobs(
    jobs: Sequence[ScoringJob],
    data: dict[str, Any],
    store: ScoreStore,
    room: Room,
    progress: Callable[[ScoringProgress], None],
    note: Callable[[str], None],
    should_stop: Callable[[], bool],
    guard: Guard,
) -> bool:
    pieces = [piece for job in jobs if (piece := _open_piece(job, store, note))]
    # Sorted once, not for each of thousands of blocks, and mapped where they are computed.
    keys = dict.fromkeys(piece.job.data_key for piece in pieces)
    orders = {key: ray.put(block_order(ray.get(data[key]).data.train.lengths)) for key in keys}
    by_row = [piece for piece in pieces if isinstance(piece.job.scorer, Scorer)]
    for uses_model in (False, True):
        group = [piece for piece in by_row if piece.job.uses_model == uses_model]
        if group and not _score(group, data, orders, store, uses_model, room, progress, should_stop, guard):
            return False
    for piece in by_row:
        store.finish(piece.job.key, piece.job.num_blocks, piece.job.num_rows)
    for piece in pieces:
        if isinstance(piece.job.scorer, PoolScorer):
            if should_stop():
                return False
            ray.get(ray.remote(_score_pool).remote(piece.job, data[piece.job.data_key], store, guard))
            store.finish(piece.job.key, piece.job.num_blocks, piece.job.num_rows)
    return True


def _score_pool(job: ScoringJob, scoring_data: ScoringData, store: ScoreStore, guard: Guard) -> None:
    """Compute a signal of the whole pool from others, and write its blocks."""
    torch.set_num_threads(1)
    with guard(job.key, -1):
        _compute_pool(job, scoring_data, store)


def _compute_pool(job: ScoringJob, scoring_data: ScoringData, store: ScoreStore) -> None:
    started = time.monotonic()
    signals: dict[str, np.ndarray] = {}
    for key in job.depends:
        signals.update(store.load(key))
    assert isinstance(job.scorer, PoolScorer)
    arrays = job.scorer.compute(scoring_data, signals)
    order = block_order(scoring_data.data.train.lengths)
    for block in range(job.num_blocks):
        positions = block_positions(order, block, job.block_rows)
        share = (time.monotonic() - started) if block == 0 else 0.0
        rows = {name: values[positions] for name, values in arrays.items()}
        store.write_block(job.key, block, positions, rows, share)


def block_order(lengths: np.ndarray) -> np.ndarray:
    """Return (n,) int64 the pool rows in the order of the blocks: the longest texts first, ties in pool order.

    Args:
        lengths: (n,) word pieces per example.
    """
    return np.argsort(-lengths, kind="stable")


def block_positions(order: np.ndarray, block: int, block_rows: int = BLOCK_ROWS) -> np.ndarray:
    """Return the pool rows of one block.

    Args:
        order: of `block_order`.
        block: block number.
        block_rows: rows of a block.
    """
    return order[block * block_rows : (block + 1) * block_rows]


def _open_piece(job: ScoringJob, store: ScoreStore, note: Callable[[str], None]) -> _Piece | None:
    """Return what is missing of a job, or None."""
    was_complete = store.completion(job.key)
    missing, damaged = store.check_blocks(job.key, job.num_blocks)
    for error in damaged:
        note(f"{error}; it is computed again")
    if not missing and was_complete:
        return None
    store.begin(job.key, job.identity)
    return _Piece(job, missing)


def _score(
    pieces: list[_Piece],
    data: dict[str, Any],
    orders: dict[str, Any],
    store: ScoreStore,
    uses_model: bool,
    room: Room,
    progress: Callable[[ScoringProgress], None],
    should_stop: Callable[[], bool],
    guard: Guard,
) -> bool:
    work = [{"piece": i, "block": block} for i, piece in enumerate(pieces) for block in piece.blocks]
    if not work:
        return True
    total = sum(_rows(pieces[item["piece"]].job, item["block"]) for item in work)
    jobs = [piece.job for piece in pieces]
    started, done = time.monotonic(), 0
    progress(ScoringProgress(0, total, 0.0))
    with contextlib.closing(_stream(work, (jobs, data, orders, store, guard), uses_model, room)) as rows:
        for row in rows:
            piece = pieces[row["piece"]]
            if row["failure"]:
                raise _error_of([piece.job], row["failure"])
            done += _rows(piece.job, row["block"])
            progress(ScoringProgress(done, total, time.monotonic() - started))
            if should_stop():
                return done == total
    return True


def _rows(job: ScoringJob, block: int) -> int:
    return min(job.block_rows, job.num_rows - block * job.block_rows)


def _stream(
    work: list[dict[str, int]],
    shared: tuple[list[ScoringJob], dict[str, Any], dict[str, Any], ScoreStore, Guard],
    uses_model: bool,
    room: Room,
) -> Generator[dict[str, Any], None, None]:
    """Yield a row per finished block, in the order in which they finish."""
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.execution_options.preserve_order = False
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    now, most = room.actors(len(work))
    share = room.cpu_share(len(work))
    grows = room.most_cpus is not None  # then a pool of a fixed size would wait for nodes that have left
    blocks = ray.data.from_items(work, override_num_blocks=len(work))
    if uses_model:
        scored = blocks.map_batches(
            _BlockScorer,
            fn_constructor_args=shared,
            batch_size=1,
            num_cpus=share,
            num_gpus=room.gpus_per_actor,
            compute=ray.data.ActorPoolStrategy(min_size=1, initial_size=now, max_size=most)
            if grows
            else ray.data.ActorPoolStrategy(size=now),
        )
    else:
        scored = blocks.map_batches(_score_text_block, fn_args=shared, batch_size=1, num_cpus=share)
    yield from scored.iter_rows()


def _score_text_block(
    batch: dict[str, np.ndarray],
    jobs: list[ScoringJob],
    data: dict[str, Any],
    orders: dict[str, Any],
    store: ScoreStore,
    guard: Guard,
) -> dict[str, np.ndarray]:
    """Compute one block in a Ray Data task: nothing is worth keeping between blocks."""
    return _BlockScorer(jobs, data, orders, store, guard)(batch)


class _BlockScorer:
    """A Ray Data worker: computes one block at a time and writes it to the store.

    A failure is a value, its traceback: raised here, it would keep the actors and their CPUs for as long as anybody
    keeps the error, be it a log.
    """

    def __init__(
        self,
        jobs: list[ScoringJob],
        data: dict[str, Any],
        orders: dict[str, Any],
        store: ScoreStore,
        guard: Guard,
    ) -> None:
        keep_memory()
        torch.set_num_threads(1)
        tokenize_in_one_thread()
        self._jobs, self._data, self._orders, self._store, self._guard = jobs, data, orders, store, guard
        self._loaded: tuple[str, ScoreFunction] | None = None

    def __call__(self, batch: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        failure = ""
        try:
            job, block = self._jobs[int(batch["piece"][0])], int(batch["block"][0])
            with self._guard(job.key, block):
                self._compute(job, block)
        except Exception:
            failure = traceback.format_exc()
        return {**batch, "failure": np.array([failure])}

    def _compute(self, job: ScoringJob, block: int) -> None:
        started = time.monotonic()
        scoring_data: ScoringData = ray.get(self._data[job.data_key])
        order = ray.get(self._orders[job.data_key])
        positions = block_positions(order, block, job.block_rows).copy()  # of shared memory, which may not be written
        arrays = self._function(job, scoring_data)(positions)
        self._store.write_block(job.key, block, positions, arrays, time.monotonic() - started)

    def _function(self, job: ScoringJob, scoring_data: ScoringData) -> ScoreFunction:
        """Return the job's score function; only the last one is kept, so memory holds one model."""
        if self._loaded is None or self._loaded[0] != job.key:
            assert isinstance(job.scorer, Scorer)
            self._loaded = (job.key, job.scorer.load(scoring_data.with_arithmetic(job.arithmetic)))
        return self._loaded[1]
