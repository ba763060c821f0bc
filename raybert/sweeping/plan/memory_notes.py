"""What a pool is too large for: memory of signals in each trial, and comparisons of pairs; said before it starts."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping

from raybert.selection.compose import compose
from raybert.selection.declared_signals import Signal
from raybert.selection.signals import needed_signals
from raybert.selection.strategy import Strategy
from raybert.sweeping.plan.specs import PoolFacts, RunSpec

_SHARE = 0.5
"""Of a machine's memory; several trials may run at once, and the arithmetic of a strategy takes as much again."""
_BYTES_OF_TEXT = 300
"""Of a Python string of an average text."""
_PRODUCTS_A_SECOND = 1e10
"""Of two numbers, on one quick core: of a time that is said, the order of magnitude is meant."""
_LONG = 600.0
"""Seconds from which on a choice is said to be long."""


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


def comparison_notes(trials: Iterable[RunSpec], pools: Mapping[str, PoolFacts], widths: Mapping[str, int]) -> list[str]:
    """Return a note for every strategy that compares so many pairs of embeddings that its choice takes long.

    Args:
        trials: of the comparison.
        pools: facts of their data, by `data_key`.
        widths: by `data_key`, numbers of an embedding.
    """
    found: dict[str, str] = {}
    for spec in trials:
        facts, width = pools[spec.data_key], max(1, widths.get(spec.data_key, 1))
        size, rules = facts.num_examples, list(_rules(spec.strategy))
        pairs = sum(rule.comparisons(size, spec.num_chosen, facts.num_classes) for rule in rules)
        seconds = pairs * width / _PRODUCTS_A_SECOND
        if seconds > _LONG and spec.label not in found:
            held = 4.0 * width * size * max(rule.copies_of_embeddings for rule in rules)
            memory = f" and holds {held / 1e9:,.1f} GB beside its signals" if held else ""
            found[spec.label] = (
                f"'{spec.label}' compares up to {pairs:.1e} pairs of embeddings to choose from {size:,} examples, in "
                f"every trial: {_time(seconds)} or less on one quick core{memory}; `k_center`, `facility_location` "
                "and `d2` choose from large pools in parts, and data.train_examples makes the pool smaller"
            )
    return list(found.values())


def _rules(strategy: Strategy) -> Iterator[Strategy]:
    """Yield a strategy's own rule and those of what is composed with it."""
    composed = compose(strategy)
    yield composed.inner
    for part in (*composed.parts(), *composed.inner.parts()):
        if part is not composed.inner:
            yield from _rules(part)


def _time(seconds: float) -> str:
    return f"{seconds / 3600:,.1f} hours" if seconds >= 5400 else f"{seconds / 60:,.0f} minutes"


def _num_bytes(signal: Signal, sizes: Mapping[str, int]) -> int:
    width = {"int64": 8, "object": _BYTES_OF_TEXT}.get(signal.dtype, 4)
    return width * math.prod(_size(letter, sizes) for letter in signal.shape.split())


def _size(letter: str, sizes: Mapping[str, int]) -> int:
    return int(letter) if letter.isdecimal() else sizes[letter]
