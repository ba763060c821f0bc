"""Which examples to train on: signals, strategies, schedules."""

from raybert.selection.catalogue import build_strategy, describe_strategies, find_strategy, strategy_names
from raybert.selection.registry import register
from raybert.selection.select import select
from raybert.selection.strategy import PassRequest, Pool, Selection, Strategy

__all__ = [
    "PassRequest",
    "Pool",
    "Selection",
    "Strategy",
    "build_strategy",
    "describe_strategies",
    "find_strategy",
    "register",
    "select",
    "strategy_names",
]
