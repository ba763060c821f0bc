"""A whole sweep in one process, without Ray: what every way of running it in parallel must give."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import numpy as np


def sweep_in_this_process(file: Path, output: Path) -> None:
    """Train what scores nothing, score, train the rest trial by trial in the order of the plan, and publish."""
    import ray
    import torch

    from raybert.analysis import publish_results
    from raybert.config import load_config
    from raybert.selection.scorers.scorer import ScoringData
    from raybert.selection.store import ScoreStore
    from raybert.sweeping.driver.progress import Progress
    from raybert.sweeping.folder.outcome import read_outcome
    from raybert.sweeping.phases.head import pool_texts, write_head
    from raybert.sweeping.phases.opening import open_sweep
    from raybert.sweeping.phases.scoring_jobs import JobPlanner
    from raybert.sweeping.plan.design import read_design
    from raybert.sweeping.trial.run import run_trial
    from tests.conftest import without_pixels

    torch.set_num_threads(1)
    store = ScoreStore(output.parent / "scores")
    with open_sweep(read_design(load_config(file)), output, Progress()) as opened:
        write_head(opened, file.read_text(), cluster=None)
        trials, prepared, folder = opened.plan.trials, opened.prepared, opened.folder
        planner = JobPlanner(prepared, folder)
        scored = [spec for spec in trials if planner.jobs(spec)]
        for specs in ([spec for spec in trials if spec not in scored], scored):  # proxies first
            for job in planner.unique_jobs(specs):
                ready = prepared[job.data_key]
                _score(job, ScoringData(ready.data, ready.texts), store)
            signals = planner.refs(specs, store)
            for spec in specs:
                ready = prepared[spec.data_key]
                arguments = {"signals": signals[spec.trial_id], "texts": ready.texts, "report": lambda row: None}
                assert run_trial(spec, ready.data, ready.encoder, sweep=folder, **arguments) == "complete"
        outcome = replace(read_outcome(folder, trials), texts=pool_texts(opened))
    with without_pixels():
        publish_results(output, outcome)
    assert not ray.is_initialized()


def _score(job, data, store) -> None:
    """Compute a signal block by block, as the processes of Ray Data do, and write it."""
    from raybert.selection.pipeline import block_order, block_positions

    store.begin(job.key, job.identity)
    compute = job.scorer.load(data.with_arithmetic(job.arithmetic))
    order = block_order(np.asarray(data.data.train.lengths))
    for block in range(job.num_blocks):
        started, positions = time.monotonic(), block_positions(order, block, job.block_rows).copy()
        store.write_block(job.key, block, positions, compute(positions), time.monotonic() - started)
    store.finish(job.key, job.num_blocks, job.num_rows)
