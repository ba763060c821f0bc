"""Which examples to train on: signals, strategies, schedules."""

from raybert.lazy import old_names
from raybert.selection.catalogue import build_strategy, describe_strategies, find_strategy, strategy_names
from raybert.selection.passes import PassRequest
from raybert.selection.pool import Pool, Selection
from raybert.selection.registry import register, register_signal
from raybert.selection.select import select
from raybert.selection.strategies.ranked import RankedStrategy
from raybert.selection.strategy import Strategy
from raybert.selection.text_signal import TextSignal
from raybert.training.interface import PassPlan, PoolView

__all__ = [
    "PassPlan",
    "PassRequest",
    "Pool",
    "PoolView",
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

__getattr__ = old_names(__name__, {"EpochRequest": "raybert.selection:PassRequest"})
