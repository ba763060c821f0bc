"""The strategies of a sweep file: entries, labels, and that no two of them are one."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

from raybert.config import RaybertConfig, StrategyConfig, suggest, validate_config, with_value
from raybert.errors import ConfigError
from raybert.selection.catalogue import build_strategy
from raybert.selection.compose import compose
from raybert.selection.filter import Filter
from raybert.selection.identity import strategy_identity, strategy_label
from raybert.selection.signals import check_signals
from raybert.selection.strategies.filters import RandomAs
from raybert.selection.strategy import Strategy
from raybert.selection.tasks import check_tasks
from raybert.sweeping.plan.beside import random_as
from raybert.sweeping.plan.grid import Variant
from raybert.sweeping.plan.roles import PROXY
from raybert.sweeping.plan.search_space import parameter_of, strategy_of


@dataclass(frozen=True)
class Entry:
    """One of the strategies that a sweep file compares.

    Attributes:
        label: its name in tables.
        config: as the sweep file writes it.
        strategy: built from that.
    """

    label: str
    config: StrategyConfig
    strategy: Strategy

    def with_values(self, variant: Variant, values: Mapping[str, Any]) -> tuple[Strategy, Variant]:
        """Return the strategy and a configuration with the values of a search filled in.

        Args:
            variant: the configuration.
            values: dotted key -> value; parameters of other strategies are left out.

        Raises:
            ConfigError: a value is not allowed.
        """
        document = variant.config.model_dump(mode="json")
        parameters: dict[str, Any] = dict(self.config.parameters)
        for key, value in values.items():
            if not key.startswith("strategies."):
                document = with_value(document, key, value)
            elif strategy_of(key, (self.label,)) == self.label:
                parameters = with_value(parameters, parameter_of(key, self.label), value)
        written = StrategyConfig(name=self.config.name, label=self.config.label, **parameters)
        strategy = build_strategy(written, f"strategies.{self.label}")
        before = variant.before_tuning or variant.config
        return strategy, replace(variant, config=validate_config(document), before_tuning=before)


def read_entries(config: RaybertConfig) -> tuple[Entry, ...]:
    """Return everything that a sweep file compares, each once.

    Raises:
        ConfigError: a name or parameter is unknown, a sweep does not compute what a strategy reads, two different
            strategies have one label, or one has two.
    """
    entries: dict[str, Entry] = {}
    needed: list[tuple[str, Entry]] = []
    for i, written in enumerate(config.sweep.strategies):
        path = f"sweep.strategies[{i}]"
        entry = _read_entry(written, path)
        known = entries.get(entry.label)
        if known is not None and known.strategy != entry.strategy:
            raise ConfigError(f"{path}.label: must be unique, got '{entry.label}' for two different strategies")
        same = next((other.label for other in entries.values() if _is_twice(entry, other)), None)
        if same is not None:
            raise ConfigError(f"{path}: '{entry.label}' is the same strategy as '{same}'; leave one of them out")
        entries[entry.label] = entry
        needed.append((path, entry))
    for entry in [*entries.values()]:
        beside = draw_beside(entry)
        if beside is not None and not any(_is_twice(beside, other) for other in entries.values()):
            entries[beside.label] = beside
    for path, entry in needed:  # now all modules are imported that register signals
        check_signals(entry.strategy.all_signals(), config.selection, path, entry.config.name)
        check_tasks(entry.strategy, config.data.predicts, config.selection, path, entry.config.name)
    _check_pairs(config, entries)
    return tuple(entries.values())


def _check_pairs(config: RaybertConfig, labels: Collection[str]) -> None:
    """Refuse a pair of `sweep.compare` of which one is not compared.

    Raises:
        ConfigError: names the nearest label.
    """
    for i, pair in enumerate(config.sweep.compare):
        for label in pair:
            if label not in labels:
                raise ConfigError(
                    f"sweep.compare[{i}]: must name strategies of the sweep by their labels, got '{label}'"
                    f"{suggest(label, labels)}"
                )


def label_of(written: StrategyConfig, strategy: Strategy) -> str:
    """Return the name of a strategy in tables."""
    return written.label or strategy_label(strategy)


def _read_entry(written: StrategyConfig, path: str) -> Entry:
    """Return one strategy of a sweep file.

    Raises:
        ConfigError: a name or parameter is unknown, or its label is taken.
    """
    strategy = build_strategy(written, path)
    label = label_of(written, strategy)
    if label.split("_")[0] == PROXY:
        raise ConfigError(f"{path}.label: must not begin with '{PROXY}', which names the proxy runs, got '{label}'")
    return Entry(label, written, strategy)


def draw_beside(entry: Entry) -> Entry | None:
    """Return the random draw beside a strategy whose own rule says how many it takes; None: it has a budget."""
    inner = compose(entry.strategy).inner
    if not isinstance(inner, Filter) or inner.budget != "auto":
        return None
    of = {"name": entry.config.name, **entry.config.parameters}
    config = StrategyConfig(name=RandomAs.name, label=random_as(entry.label), of=of)
    return Entry(random_as(entry.label), config, build_strategy(config))


def _is_twice(entry: Entry, other: Entry) -> bool:
    """Tell whether one strategy stands in the file under two labels."""
    return entry.label != other.label and strategy_identity(entry.strategy) == strategy_identity(other.strategy)
