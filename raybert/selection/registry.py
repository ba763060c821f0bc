"""Tables of what is registered by name, and the decorators that fill them. `catalogue` and `signals` look names up."""

from __future__ import annotations

from typing import TypeVar

from raybert.selection.strategy import Strategy
from raybert.selection.text_signal import TextSignal

ENTRY_POINTS = "raybert.strategies"
"""The group of entry points by which installed packages offer strategies."""
WHOLE_POOL = "pool"
"""In place of a strategy's name: no selection at all (`of` of curriculum)."""
TRAINING_LOSSES = "losses"
"""In place of a strategy's name: the losses that training records (`score` of curriculum)."""

strategies: dict[str, type[Strategy]] = {}
filters: dict[str, type[Strategy]] = {}
text_signals: dict[str, type[TextSignal]] = {}
StrategyType = TypeVar("StrategyType", bound=type[Strategy])
SignalType = TypeVar("SignalType", bound=type[TextSignal])


def register(strategy: StrategyType) -> StrategyType:
    """Make a strategy known by its `name`; use as a class decorator.

    Args:
        strategy: the class.

    Returns:
        The class itself.
    """
    strategies[strategy.name] = strategy
    return strategy


def register_filter(strategy: StrategyType) -> StrategyType:
    """Make a filter known for `pre`, without listing it as a strategy of its own."""
    filters[strategy.name] = strategy
    return strategy


def register_signal(signal: SignalType) -> SignalType:
    """Make a signal known by its `name`, so that strategies can need it; use as a class decorator.

    Args:
        signal: a class of `TextSignal`.
    """
    text_signals[signal.name] = signal
    return signal
