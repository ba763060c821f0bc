"""What a pool is too large for: the memory that signals take in each trial, said before anything starts."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

from raybert.selection.declared_signals import Signal
from raybert.selection.signals import needed_signals
from raybert.sweeping.plan.specs import PoolFacts, RunSpec

_SHARE = 0.5
"""Of a machine's memory; several trials may run at once, and the arithmetic of a strategy takes as much again."""
_BYTES_OF_TEXT = 300
"""Of a Python string of an average text."""


def memory_notes(
    trials: Iterable[RunSpec], pools: Mapping[str, PoolFacts], widths: Mapping[str, int], memory: float
) -> list[str]:
    """Return a note for every strategy that reads more of a pool than fits well into memory.

    Args:
        trials: of the comparison.
        pools: facts of their data, by `data_key`.
        widths: by `data_key`, numbers of an embedding.
        memory: bytes of this machine.
    """
    found: dict[str, str] = {}
    for spec in trials:
        facts, selection = pools[spec.data_key], spec.config.selection
        sizes = {
            "n": facts.num_examples,
            "C": facts.num_classes,
            "d": widths.get(spec.data_key, 1),
            "m": selection.proxy.num_seeds,
            "t": selection.scorers.dynamics.checkpoints,
            "p": selection.scorers.dropout.passes,
        }
        read = needed_signals(spec.strategy.all_signals(), selection)
        total = sum(_num_bytes(signal, sizes) for signal in read)
        if total > _SHARE * memory and spec.label not in found:
            largest = max(read, key=lambda signal: _num_bytes(signal, sizes))
            shape = " x ".join(f"{_size(letter, sizes):,}" for letter in largest.shape.split())
            found[spec.label] = (
                f"'{spec.label}' reads signals of {total / 1e9:,.1f} GB in every trial (most of it `{largest.name}`, "
                f"{shape}), of {memory / 1e9:,.1f} GB of memory here; set data.train_examples, or run it where there "
                "is more"
            )
    return list(found.values())


def _num_bytes(signal: Signal, sizes: Mapping[str, int]) -> int:
    width = {"int64": 8, "object": _BYTES_OF_TEXT}.get(signal.dtype, 4)
    return width * math.prod(_size(letter, sizes) for letter in signal.shape.split())


def _size(letter: str, sizes: Mapping[str, int]) -> int:
    return int(letter) if letter.isdecimal() else sizes[letter]
