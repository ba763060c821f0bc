"""How many examples fit into the device's memory: tried with real forward and backward passes."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch

from raybert.files import cache_folder, json_digest, kept_if_possible, read_json, write_json
from raybert.training.optimization.gradients import GradientMaker
from raybert.training.state import generator_states, set_generator_states

OPTIMIZER_STATES = 2
"""Numbers that AdamW keeps per parameter."""


def find_micro_batch_size(gradients: GradientMaker, parameters: Sequence[torch.nn.Parameter]) -> int:
    """Return the largest micro-batch of the longest examples that fits, at most this rank's share of a batch.

    Sizes are tried by forward and backward passes of copies of the pool's longest example, with as much memory set
    aside as the optimizer will need. Generators and gradients are afterwards as they were. What was found for a model,
    length, precision and device is remembered in the cache folder.

    Args:
        gradients: computes them.
        parameters: the trainable ones.

    Raises:
        torch.cuda.OutOfMemoryError: one example alone does not fit.
    """
    share = max(1, -(-gradients.config.batch_size // gradients.world_size))
    path = cache_folder() / "micro_batches" / f"{_key(gradients, share)}.json"
    known = read_json(path)
    if known is not None and isinstance(known.get("micro_batch_size"), int):
        return int(known["micro_batch_size"])
    longest = int(np.argmax(gradients.data.train.lengths))
    generators = generator_states(gradients.device)
    try:
        size = largest_fitting(lambda size: _fits(gradients, parameters, longest, size), share)
    finally:
        set_generator_states(generators, gradients.device)
    with kept_if_possible("the size of micro-batches that fits", path.parent):
        write_json(path, {"micro_batch_size": size})
    return size


def largest_fitting(fits: Callable[[int], bool], limit: int) -> int:
    """Return the largest size in 1..limit that fits, by doubling and then bisecting.

    Args:
        fits: whether a size fits; if one does, so do all smaller ones.
        limit: >= 1.

    Raises:
        torch.cuda.OutOfMemoryError: not even 1.
    """
    good, size = 0, 1
    while size <= limit and fits(size):
        good, size = size, size * 2
    if good == limit:
        return limit
    bad = min(size, limit + 1)
    if bad > limit and good < limit:
        if fits(limit):
            return limit
        bad = limit
    while bad - good > 1:
        middle = (good + bad) // 2
        good, bad = (middle, bad) if fits(middle) else (good, middle)
    if good == 0:
        raise torch.cuda.OutOfMemoryError(
            "train.micro_batch_size: one example must fit into the device's memory, but does not"
        )
    return good


def _fits(gradients: GradientMaker, parameters: Sequence[torch.nn.Parameter], longest: int, size: int) -> bool:
    # One rank alone must not wait for others: the probe bypasses the exchange of gradients.
    alone = GradientMaker(
        gradients.model,
        gradients.data,
        gradients.objective,
        gradients.config,
        gradients.precision,
        gradients.scaler,
        0,
        1,
    )
    reserved: list[torch.Tensor] = []
    try:
        if gradients.device.type == "cuda":
            reserved = [torch.empty_like(p) for p in parameters for _ in range(OPTIMIZER_STATES)]
        alone.accumulate(np.full(size, longest), None, None)
    except torch.cuda.OutOfMemoryError:
        return False
    finally:
        gradients.model.zero_grad(set_to_none=True)
        reserved.clear()
        if gradients.device.type == "cuda":
            torch.cuda.empty_cache()
    return True


def _key(gradients: GradientMaker, share: int) -> str:
    """Identify what the size depends on."""
    device = gradients.device
    model = gradients.model
    shape = {name: list(parameter.shape) for name, parameter in model.named_parameters() if parameter.requires_grad}
    facts = {
        "model": [type(model).__name__, shape],
        "length": int(np.max(gradients.data.train.lengths)),
        "share": share,
        "precision": gradients.precision.name,
        "settings": [gradients.config.gradient_checkpointing, gradients.config.compile],
        "device": _describe(device),
        **({"objective": dict(gradients.objective.identity)} if gradients.objective.identity else {}),
    }
    return json_digest(facts)[:24]


def _describe(device: torch.device) -> list[str | int]:
    if device.type != "cuda":
        return [device.type]
    properties = torch.cuda.get_device_properties(device)
    return [properties.name, int(properties.total_memory * torch.cuda.get_per_process_memory_fraction())]
