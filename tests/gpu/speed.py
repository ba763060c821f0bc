"""How fast training is on a GPU: word pieces a second and MFU, ours beside the Trainer's, and where the time goes.

MFU is the operations of the model over those that the device could do in the time: 6 N + 12 L d s per word piece of a
text of s pieces (`raybert.training.monitor.throughput.StepFlops`; Chowdhery et al. 2022, appendix B), padding not counted,
by the peak that NVIDIA's data sheet says, or, where the table lacks the GPU, by the fastest matrix product measured here.
Of masked language modelling the decoder's products with the vocabulary, for 15 % of the pieces, are left out.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from torch.profiler import ProfilerActivity, profile

from raybert.config import TrainConfig
from raybert.data import collate, training_batches
from raybert.models.unpadded import with_lengths
from raybert.pretraining.objective import Pretraining
from raybert.pretraining.packed_data import PackedData
from raybert.training.monitor.throughput import StepFlops, peak_flops
from raybert.training.optimization.optimizer import build_optimizer
from raybert.training.optimization.precision import resolve_precision
from raybert.training.transfer import to_device
from tests.gpu.correctness import matmul_flops
from tests.gpu.material import Scale, classifier, masked_model, masking, packed, texts, train
from tests.gpu.sections import Item
from tests.gpu.trainer import Timed, train_by_trainer

KINDS = ("bert", "modernbert")
_STEPS = {128: 80, 512: 40}
_COSTS = 3


def throughput(scale: Scale) -> Sequence[Item]:
    """Classifiers at 512 and 128, beside the Trainer; then the profile of the faster of ours."""
    items: list[Item] = []
    for full in scale.fulls:
        for kind in KINDS:
            items += [(f"{kind} {full}", partial(_beside_trainer, scale, kind, full))]
    items += [
        (f"profile {kind} {full}", partial(_profile, scale, kind, full)) for kind in KINDS for full in scale.fulls
    ]
    return items


def pretraining(scale: Scale) -> Sequence[Item]:
    """Masked language modelling on packed sequences: with masks, unpadded, compiled, and the Trainer's."""
    items: list[Item] = []
    for kind in KINDS[::-1]:
        for name, attention, compiled in (("sdpa", "sdpa", False), ("unpadded", "unpadded", False)):
            items.append((f"{kind} {name}", partial(_pretrain, scale, kind, attention, compiled)))
        items.append((f"{kind} Trainer", partial(_pretrain_by_trainer, scale, kind)))
    for attention in ("sdpa", "unpadded") if scale.on_gpu else ():
        items.append((f"modernbert {attention} compiled", partial(_pretrain, scale, "modernbert", attention, True)))
    return items


def variants(scale: Scale) -> Sequence[Item]:
    """Bare steps, one choice at a time: what each of the known choices is worth."""
    items: list[Item] = []
    for full in scale.fulls:
        for name, options in _VARIANTS.items():
            if name not in _ON_GPU or scale.on_gpu:
                items.append((f"{name} {full}", partial(_bare, scale, full, **options)))
    return items


_VARIANTS: dict[str, dict[str, Any]] = {
    "as it is": {},
    "unpadded": {"attention": "unpadded"},
    "unpadded without dropout": {"attention": "unpadded", "dropout": False},
    "without dropout": {"dropout": False},
    "copies that wait": {"pinned": False},
    "optimizer by loops": {"fused": False},
    "compiled": {"mode": "default"},
    "unpadded compiled": {"attention": "unpadded", "mode": "default"},
    "widths of 64 and CUDA graphs": {"mode": "reduce-overhead", "multiple_of": 64},
    "tf32": {"format_name": "tf32"},
    "fp32": {"format_name": "fp32"},
}
_ON_GPU = ("copies that wait", "compiled", "unpadded compiled", "widths of 64 and CUDA graphs", "tf32", "fp32")


def _peak(scale: Scale, format_name: str) -> float:
    """Return FLOP/s of the device in a format: by the table, else the fastest product of matrices."""
    known = peak_flops(torch.cuda.get_device_name(scale.device), format_name) if scale.on_gpu else math.nan
    return matmul_flops(scale, format_name)["tflops"] * 1e12 if math.isnan(known) else known


def _rates(scale: Scale, model: Any, timed: Timed, format_name: str | None = None) -> dict[str, float]:
    flops = StepFlops.of(model)
    assert flops is not None
    tokens = float(timed.lengths.sum())
    return {
        "tokens_per_second": tokens / timed.seconds,
        "mfu": flops(timed.lengths) / timed.seconds / _peak(scale, format_name or scale.half),
        "padding": 1 - tokens / timed.cells,
        "seconds": timed.seconds,
    }


def _ours(scale: Scale, kind: str, full: int, attention: str) -> dict[str, float]:
    steps = scale.steps(_STEPS[full])
    model = classifier(scale, kind, attention=attention)
    train(scale, model, texts(scale, 8 * scale.batch_size, full, seed=1), scale.steps(8))
    data = texts(scale, steps * scale.batch_size, full)
    scale.sync()
    result = train(scale, model, data, steps)
    batches = training_batches(
        data.train.lengths, np.arange(len(data.train)), scale.batch_size, np.random.default_rng(0)
    )
    lengths = [data.train.lengths[rows] for rows in batches]
    cells = sum(int(each.max()) * len(each) for each in lengths)
    return _rates(scale, model, Timed(result.train_seconds, np.concatenate(lengths), cells))


def _beside_trainer(scale: Scale, kind: str, full: int) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for attention in ("sdpa", "unpadded"):
        try:
            found[f"ours_{attention}"] = _ours(scale, kind, full, attention)
        except Exception as error:  # the others are still worth measuring
            found[f"ours_{attention}"] = {"error": f"{type(error).__name__}: {error}"[:1000]}
    steps = scale.steps(_STEPS[full])
    for grouped in (False, True):
        model = classifier(scale, kind)
        table = texts(scale, (steps + 10) * scale.batch_size, full).train
        timed = train_by_trainer(scale, model, table, steps, grouped=grouped)
        found["trainer_grouped" if grouped else "trainer"] = _rates(scale, model, timed)
    speeds = {name: each["tokens_per_second"] for name, each in found.items() if "tokens_per_second" in each}
    best = max(speed for name, speed in speeds.items() if name.startswith("ours"))
    found["times_the_trainer"] = best / speeds["trainer"]
    found["times_the_trainer_grouped"] = best / speeds["trainer_grouped"]
    failed = [name for name, each in found.items() if isinstance(each, dict) and "error" in each]
    assert not failed, found
    return found


def _profile(scale: Scale, kind: str, full: int) -> dict[str, Any]:
    return costs(scale, lambda: _profiled_steps(scale, kind, full))


def _profiled_steps(scale: Scale, kind: str, full: int) -> Callable[[], None]:
    """Return what trains a few steps, of a model that has done some."""
    steps = scale.steps(10)
    model = classifier(scale, kind)
    data = texts(scale, steps * scale.batch_size, full)
    train(scale, model, data, steps)
    return lambda: train(scale, model, data, steps) and None


def costs(scale: Scale, prepare: Callable[[], Callable[[], None]]) -> dict[str, Any]:
    """Return the largest costs of something: operators by the device's time in them, and kernels.

    Args:
        scale: of the check.
        prepare: returns what is profiled.
    """
    run = prepare()
    scale.sync()
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if scale.on_gpu else [])]
    with profile(activities=activities, acc_events=True) as seen:
        began = time.monotonic()
        run()
        scale.sync()
        seconds = time.monotonic() - began
    events = seen.key_averages()
    on_gpu = torch.autograd.DeviceType.CUDA
    operators = {e.key: e.self_device_time_total if scale.on_gpu else e.self_cpu_time_total for e in events if e.device_type != on_gpu}  # fmt: skip
    kernels = {e.key: e.self_device_time_total for e in events if e.device_type == on_gpu}
    found: dict[str, Any] = {"seconds": seconds, "operators": _largest(operators)}
    if kernels:
        found |= {"kernels": _largest(kernels), "gpu_busy": sum(kernels.values()) / 1e6 / seconds}
    return found


def _largest(microseconds: dict[str, float]) -> list[dict[str, Any]]:
    total = sum(microseconds.values()) or 1.0
    first = sorted(microseconds.items(), key=lambda item: -item[1])[:_COSTS]
    return [{"name": name[:120], "share": value / total, "milliseconds": value / 1e3} for name, value in first]


def _pretrain(scale: Scale, kind: str, attention: str, compiled: bool) -> dict[str, Any]:
    steps, full = scale.steps(30), 512
    data = packed(scale, 64 if scale.is_tiny else (steps + 8) * scale.batch_size, full)
    model = masked_model(scale, kind, attention)
    objective = Pretraining(model, data, 0, scale.half, masking(scale))
    options = {"best_metric": "loss", "compile": compiled}
    train(scale, model, data, scale.steps(8), objective=objective, **options)
    scale.sync()
    before, cells = objective.tokens, objective.cells
    result = train(scale, model, data, steps, objective=objective, **options)
    tokens = objective.tokens - before
    flops = StepFlops.of(model)
    assert flops is not None
    seen = _documents(data)
    share = tokens / float(seen.sum())
    return {
        "tokens_per_second": tokens / result.train_seconds,
        "mfu": share * flops(seen) / result.train_seconds / _peak(scale, scale.half),
        "padding": 1 - tokens / (objective.cells - cells),
        "seconds": result.train_seconds,
        "loss": result.rows[-1]["train_loss"],
    }


def _documents(data: PackedData) -> np.ndarray:
    """Return how many pieces each text of the pool has: attention is within texts."""
    starts = np.flatnonzero(data.train.places == 0)
    return np.diff(np.r_[starts, len(data.train.places)])


def _pretrain_by_trainer(scale: Scale, kind: str) -> dict[str, float]:
    """A text a row, as `run_mlm.py --line_by_line`, with as many pieces a step as ours by longer batches."""
    steps = scale.steps(30)
    table = texts(scale, (steps + 10) * scale.batch_size, 128).train
    model = masked_model(scale, kind, "sdpa")
    timed = train_by_trainer(scale, model.mlm, table, steps, grouped=False, share=0.15)
    return _rates(scale, model, timed)


def _bare(
    scale: Scale,
    full: int,
    *,
    attention: str = "sdpa",
    dropout: bool = True,
    pinned: bool = True,
    fused: bool = True,
    mode: str | None = None,
    multiple_of: int = 1,
    format_name: str | None = None,
) -> dict[str, float]:
    """Return milliseconds a step of BERT, forward to update, with nothing around it."""
    steps, warm_up = scale.steps(30), scale.steps(12)
    chosen = resolve_precision(format_name or scale.half, scale.device)
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high" if chosen.name == "tf32" else "highest")
    model = classifier(scale, "bert", attention=attention, dropout=dropout)
    module: Any = model if mode is None else torch.compile(model, dynamic=multiple_of == 1, mode=mode)
    config = TrainConfig(precision=chosen.name, optimizer={"options": {} if fused else {"fused": False}})
    optimizer = build_optimizer(model, config)
    data = texts(scale, steps * scale.batch_size, full)
    generator = np.random.default_rng(0)
    batches = training_batches(data.train.lengths, np.arange(len(data.train)), scale.batch_size, generator)
    widths = sorted(range(len(batches)), key=lambda number: -int(data.train.lengths[batches[number]].max()))
    order = [*widths[:warm_up], *range(len(batches))]  # the widest first: all memory is there, all shapes are seen
    tokens = 0.0
    scaler = torch.amp.GradScaler(scale.device.type, enabled=chosen.scales_gradients)
    try:
        for number, batch in enumerate(order):
            if number == warm_up:
                scale.sync()
                began = time.monotonic()
            rows = batches[batch]
            inputs = collate(data.train, rows, data.pad_id, data.uses_token_types, multiple_of=multiple_of)
            inputs = with_lengths(inputs) if attention == "unpadded" else inputs
            inputs = to_device(inputs, scale.device) if pinned else {k: v.to(scale.device) for k, v in inputs.items()}
            labels = inputs.pop("labels")
            if mode == "reduce-overhead":
                torch.compiler.cudagraph_mark_step_begin()
            with chosen.autocast(scale.device):
                logits = module(**inputs).logits
            scaler.scale(torch.nn.functional.cross_entropy(logits, labels)).backward()
            scaler.unscale_(optimizer)
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            scaler.step(optimizer)
            scaler.update()
            optimizer.zero_grad(set_to_none=True)
            tokens += float(data.train.lengths[rows].sum()) if number >= warm_up else 0.0
        scale.sync()
        seconds = time.monotonic() - began
    finally:
        torch.set_float32_matmul_precision(before)
    lengths = data.train.lengths
    flops = StepFlops.of(model)
    assert flops is not None
    return {
        "milliseconds": 1e3 * seconds / len(batches),
        "tokens_per_second": tokens / seconds,
        "mfu": flops(lengths) / seconds / _peak(scale, chosen.name),
    }
