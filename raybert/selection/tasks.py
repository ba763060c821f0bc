"""Which strategies are defined for what a sweep predicts; the others are refused before anything runs."""

from __future__ import annotations

from collections.abc import Collection

from raybert.config import SelectionConfig
from raybert.config.tasks import CLASSIFICATION, EVERY_TASK, Task
from raybert.errors import ConfigError
from raybert.selection import registry
from raybert.selection.compose import compose
from raybert.selection.signals import needed_signals
from raybert.selection.stand_in import StandIn
from raybert.selection.strategy import Strategy


def tasks_of(strategy: Strategy, selection: SelectionConfig | None = None) -> frozenset[Task]:
    """Return what a strategy, all of its parts and all that they read are defined for.

    Args:
        strategy: with what is around it.
        selection: of the sweep file.
    """
    needs = needed_signals(strategy.all_signals(), selection or SelectionConfig())
    return frozenset.intersection(EVERY_TASK, strategy.all_tasks(), *(signal.tasks for signal in needs))


def strategies_of(task: Task) -> list[str]:
    """Return the names of the registered strategies that are defined for a task as they are by default."""
    names = []
    for name, kind in sorted(registry.strategies.items()):
        if not any(field.is_required() for field in kind.model_fields.values()):
            names += [name] if task in tasks_of(compose(kind())) else []
    return names


def check_tasks(strategy: Strategy, task: Task, selection: SelectionConfig, path: str, name: str) -> None:
    """Refuse a strategy that is not defined for what is predicted.

    Args:
        strategy: with what is around it.
        task: of the sweep file.
        selection: likewise.
        path: dotted path of the strategy in the sweep file.
        name: of the strategy there.

    Raises:
        ConfigError: says what it is about the strategy, and names those that work.
    """
    if task == CLASSIFICATION or _is_unknown(strategy) or task in tasks_of(strategy, selection):
        return
    raise ConfigError(
        f"{path}: must be a strategy that is defined with `data.task: {task}`, '{name}' is not"
        f"{_because(strategy, task, selection)}; take one of {', '.join(strategies_of(task))}"
    )


def _because(strategy: Strategy, task: Task, selection: SelectionConfig) -> str:
    if task not in strategy.all_tasks():
        parts = [part.title for part in _undefined(strategy, task) if part.title != strategy.title]
        return f" ({', '.join(parts)} is not)" if parts else ""
    signals = needed_signals(strategy.all_signals(), selection)
    return f" (it reads {', '.join(signal.name for signal in signals if task not in signal.tasks)})"


def _undefined(strategy: Strategy, task: Task) -> Collection[Strategy]:
    own = [part for part in strategy.parts() for part in _undefined(part, task)]
    return own if own or task in strategy.tasks else [strategy]


def _is_unknown(strategy: Strategy) -> bool:
    """Tell whether a part of it is a user's own that was not imported here, so that nobody knows."""
    return isinstance(strategy, StandIn) or any(_is_unknown(part) for part in strategy.parts())
