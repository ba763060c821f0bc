"""Which examples to train on: signals, strategies, schedules."""

from raybert.selection.catalogue import build_strategy, describe_strategies, find_strategy, strategy_names
from raybert.selection.registry import register, register_signal
from raybert.selection.select import select
from raybert.selection.strategies.ranked import RankedStrategy
from raybert.selection.strategy import PassRequest, Pool, Selection, Strategy
from raybert.selection.text_signal import TextSignal

__all__ = [
    "PassRequest",
    "Pool",
    "RankedStrategy",
    "Selection",
    "Strategy",
    "TextSignal",
    "build_strategy",
    "describe_strategies",
    "find_strategy",
    "register",
    "register_signal",
    "select",
    "strategy_names",
]
