"""The strategies of a sweep file: entries, labels, and that no two of them are one."""

from __future__ import annotations

from raybert.config import RaybertConfig, StrategyConfig
from raybert.errors import ConfigError
from raybert.selection.catalogue import build_strategy
from raybert.selection.identity import strategy_identity, strategy_label
from raybert.selection.signals import check_signals
from raybert.selection.strategy import Strategy
from raybert.sweeping.plan.specs import PROXY


def build_strategies(config: RaybertConfig) -> list[tuple[str, Strategy]]:
    """Return the labelled strategies of a sweep file.

    Raises:
        ConfigError: a name or parameter is unknown, or two different strategies have one label.
    """
    return [(label, strategy) for label, _, strategy in build_entries(config)]


def build_entries(config: RaybertConfig) -> list[tuple[str, StrategyConfig, Strategy]]:
    """Return label, entry and strategy of everything that a sweep file compares; raises as `build_strategies`."""
    labelled: dict[str, Strategy] = {}
    entries: dict[str, StrategyConfig] = {}
    needed: list[tuple[str, str, frozenset[str]]] = []
    for i, entry in enumerate(config.sweep.strategies):
        path = f"sweep.strategies[{i}]"
        strategy = build_strategy(entry, path)
        needed.append((path, entry.name, strategy.all_signals()))
        label = entry.label or strategy_label(strategy)
        if label.split("_")[0] == PROXY:
            raise ConfigError(f"{path}.label: must not begin with '{PROXY}', which names the proxy runs, got '{label}'")
        if label in labelled and labelled[label] != strategy:
            raise ConfigError(f"{path}.label: must be unique, got '{label}' for two different strategies")
        same = next((name for name, other in labelled.items() if name != label and _are_same(strategy, other)), None)
        if same is not None:
            raise ConfigError(f"{path}: '{label}' is the same strategy as '{same}'; leave one of them out")
        labelled[label] = strategy
        entries[label] = entry
    for path, name, needs in needed:  # now all modules are imported that register signals
        check_signals(needs, config.selection, path, name)
    return [(label, entries[label], strategy) for label, strategy in labelled.items()]


def _are_same(one: Strategy, other: Strategy) -> bool:
    return strategy_identity(one) == strategy_identity(other)
