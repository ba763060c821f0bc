"""A few real optimizer steps of a model shape, and the forward passes of evaluation and scoring, by the clock.

In this process where it computes on this machine's CPU: a fresh one would spend longer importing than measuring, and
what a probe changes in a process (generators, threads, allocator) is put back. On a GPU or another machine it runs in
a Ray task, where the trials will run.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from raybert.config import CheckpointsConfig, LengthConfig, StartConfig
from raybert.data.chunked import ChunkedData
from raybert.data.examples import ExampleData
from raybert.models import Encoder, build_classifier, load_backbone
from raybert.models.iris import IrisClassifier, iris_settings
from raybert.private_folders import private_folder
from raybert.sweeping.estimate.shapes import Shape
from raybert.sweeping.plan.specs import RunSpec
from raybert.sweeping.trial.process import prepare_process
from raybert.training import FitRequest, FixedPasses, Inference, checkpoint, fit
from raybert.training.memory.allocator import return_memory
from raybert.training.memory.gpu_share import GpuMemory, PeakWatch
from raybert.training.optimization.named import states_per_parameter
from raybert.training.ran_on import RanOn
from raybert.training.stopwatch import Stopwatch

WARM_UP_STEPS = 2
"""Not counted: the first step allocates, and on a GPU chooses kernels."""
FEWEST_STEPS, MOST_STEPS = 5, 60
PROBED_BATCHES = 100
"""Whole batches that the probe draws from; a pool is seldom smaller."""
CPU_TOKENS = 4096
FORWARD_SLICES = 3
"""Forward passes of evaluation that are timed, apart from the first."""


@dataclass(frozen=True)
class Probe:
    """What was measured of a shape.

    Attributes:
        step_seconds: of every step after warm-up, with the time to cut and move its batch.
        batch_units: mean sum of lengths (word pieces, for IRIS vectors) of a batch.
        forward_seconds: per word piece (for IRIS: per vector) in evaluation mode; a value for each timed slice.
        build_seconds: to make the model.
        save_seconds: to write its best weights.
        best_bytes: size of `checkpoint/best`.
        last_bytes: size of `checkpoint/last`.
        embed_seconds: per word piece, of the frozen encoder (IRIS); else None.
        seconds: that probing took.
        ran_on: device, precision, attention and micro-batch.
        gpu: memory of the GPU that model, steps and evaluation took; None: it ran on none.
    """

    step_seconds: tuple[float, ...]
    batch_units: float
    forward_seconds: tuple[float, ...]
    build_seconds: float
    save_seconds: float
    best_bytes: int
    last_bytes: int
    embed_seconds: float | None
    seconds: float
    ran_on: RanOn | None = None
    gpu: GpuMemory | None = None


def probe_shape(shape: Shape, data: ExampleData, encoder: Encoder, seconds: float) -> Probe:
    """Measure a shape; leaves no trace in this process or on disk.

    Args:
        shape: what.
        data: of its trial; the chunks of IRIS need not be embedded.
        encoder: its pretrained encoder.
        seconds: at most about as long, but at least a few steps.
    """
    began = time.perf_counter()
    spec = shape.spec
    embed = _time_embedding(data, encoder) if isinstance(data, ChunkedData) else None
    if isinstance(data, ChunkedData):
        data = _with_any_vectors(data, encoder)
    with undisturbed():
        prepare_process(spec.config.resources.cpus_per_worker, spec.model_seed)
        memory = PeakWatch(has_gpu=spec.config.resources.num_gpus > 0)
        started = time.perf_counter()
        model = _build(spec, data, encoder)
        build_seconds = time.perf_counter() - started
        watch = _time_steps(model, spec, data, seconds)
        forward = _time_forward(model, spec, data)
        save_seconds, best_bytes = _time_saving(model)
        trained = sum(p.numel() * 4 for p in model.parameters() if p.requires_grad)
        del model
    return Probe(
        step_seconds=tuple(float(seconds) for seconds in np.diff(watch.times)[WARM_UP_STEPS:]),
        batch_units=spec.config.train.batch_size * float(data.train.lengths.mean()),
        forward_seconds=tuple(forward),
        build_seconds=build_seconds,
        save_seconds=save_seconds,
        best_bytes=best_bytes,
        # Weights now and at their best, and what the optimizer keeps of each.
        last_bytes=2 * best_bytes + round(states_per_parameter(spec.config.train) * trained),
        embed_seconds=embed,
        seconds=time.perf_counter() - began,
        ran_on=watch.ran_on,
        gpu=memory.peak(),
    )


@contextmanager
def undisturbed() -> Iterator[None]:
    """Put back generators, threads and matrix precision of torch, and Python's generator, on leaving."""
    threads, precision = torch.get_num_threads(), torch.get_float32_matmul_precision()
    is_grad, words = torch.is_grad_enabled(), random.getstate()
    try:
        with torch.random.fork_rng():
            yield
    finally:
        torch.set_num_threads(threads)
        torch.set_float32_matmul_precision(precision)
        torch.set_grad_enabled(is_grad)
        random.setstate(words)
        return_memory()


def _time_steps(model: Any, spec: RunSpec, data: ExampleData, seconds: float) -> Stopwatch:
    """Run the training loop itself, on batches of real texts cut as in a trial; return the watch that was with it."""
    size = spec.config.train.batch_size // spec.config.resources.workers_per_trial or 1
    generator = np.random.default_rng(0)
    n = len(data.train)
    positions = np.sort(generator.choice(n, min(n, PROBED_BATCHES * size), replace=False))

    def is_enough(times: Sequence[float]) -> bool:
        timed = len(times) - WARM_UP_STEPS - 1
        return timed >= MOST_STEPS or (timed >= FEWEST_STEPS and times[-1] - times[0] >= seconds)

    watch = Stopwatch(is_enough=is_enough)
    endless = 10**6
    changes: dict[str, Any] = {
        "length": LengthConfig(steps=endless),
        "eval_every": endless,
        "batch_size": size,
        "checkpoint_seconds": 1e9,
        "checkpoints": CheckpointsConfig(),
        "start": StartConfig(),
        "learning_rate": 1e-7,  # whatever the file says, the loss stays finite
        "head_learning_rate": None,
    }
    fit(
        model,
        data,
        FixedPasses(positions),
        FitRequest(spec.config.train.model_copy(update=changes), endless, seed=0, evaluate_test=False),
        watch,
    )
    return watch


def _time_forward(model: Any, spec: RunSpec, data: ExampleData) -> list[float]:
    """Return seconds per unit of length of some slices of the pool, each about as large as a forward pass may be."""
    table = data.train
    # A CPU is as fast on smaller batches; a GPU is not.
    tokens = spec.config.selection.scoring_batch_tokens
    on_gpu = next(model.parameters()).device.type == "cuda"
    rows = _sample(table.lengths * table.unit_size, tokens if on_gpu else min(tokens, CPU_TOKENS))
    inference, times = Inference(model, data, spec.config.train.precision), []
    for part in (rows[0], *rows):
        started = time.perf_counter()
        inference.probs(table, part)
        times.append((time.perf_counter() - started) / int(table.lengths[part].sum()))
    return times[1:]


def _sample(sizes: np.ndarray, tokens: int) -> list[np.ndarray]:
    """Return a few random sets of rows whose sizes add up to about `tokens` each."""
    order = np.random.default_rng(0).permutation(len(sizes))
    ends = np.searchsorted(np.cumsum(sizes[order]), tokens * np.arange(1, FORWARD_SLICES + 1))
    parts = np.split(order, np.unique(np.clip(ends, 1, len(order))))
    return [part for part in parts[:FORWARD_SLICES] if len(part)]


def _time_saving(model: Any) -> tuple[float, int]:
    with private_folder() as folder:
        started = time.perf_counter()
        checkpoint.save_best(folder, model)
        seconds = time.perf_counter() - started
        return seconds, sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _time_embedding(data: ChunkedData, encoder: Encoder) -> float:
    """Return seconds per word piece of the frozen encoder over some chunks."""
    table = data.pieces.train
    inference = Inference(load_backbone(encoder), data.pieces)
    (rows, *_) = _sample(table.lengths, 4096)
    times = []
    for _ in range(2):
        started = time.perf_counter()
        inference.embeddings(table, rows)
        times.append(time.perf_counter() - started)
    return times[-1] / int(table.lengths[rows].sum())


def _with_any_vectors(data: ChunkedData, encoder: Encoder) -> ChunkedData:
    """Return documents with vectors of the right width: what they hold makes no difference to the clock."""
    if data.width:
        return data
    width = int(load_backbone(encoder).config.hidden_size)
    vector = np.full((1, width), width**-0.5, np.float32)
    return data.with_vectors(np.broadcast_to(vector, (len(data.pieces.train), width)))


def _build(spec: RunSpec, data: ExampleData, encoder: Encoder) -> Any:
    config = spec.config.model
    if isinstance(data, ChunkedData):
        settings = iris_settings(config, data.width, data.num_classes, is_pair=data.is_pair)
        model: Any = IrisClassifier(settings, 0)
    else:
        model = build_classifier(encoder, data.output_names, 0, config, data.task)
    return model.to(torch.device("cuda" if spec.config.resources.num_gpus > 0 else "cpu"))


Prober = Callable[[Shape, float], Probe]
"""Probes a shape for about so many seconds."""


def local_prober(data: Mapping[str, ExampleData], encoders: Mapping[str, Encoder]) -> Prober:
    """Return what probes in this process, given data and encoders by data key."""
    return lambda shape, seconds: probe_shape(shape, data[shape.spec.data_key], encoders[shape.spec.data_key], seconds)
