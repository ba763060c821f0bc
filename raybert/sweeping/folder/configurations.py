"""The configurations of a sweep, named by what varies: a strategy at a budget and a point of the grid, over its seeds.

Which runs make one configuration is said once, by `configuration_key`: `best/`, `keep_best`, the lines of a sweep that
runs, tables, plots and sentences all go by it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from raybert.sweeping.folder.best import configuration_key
from raybert.sweeping.plan.planned_run import PlannedRun

BUDGET_KEY = "selection.budget"


@dataclass(frozen=True)
class Configuration:
    """What the runs of one configuration share.

    Attributes:
        name: unique in its sweep: strategy, and of budget and grid what varies.
        strategy: its name in tables.
        budget: how many examples it may choose; None: it has no budget.
        grid: the varied hyperparameters that make a difference to it.
        cells: of every key that has several values in the sweep, `selection.budget` apart, the value in words; empty:
            the key makes no difference to it.
        point: these words in one, such as `learning_rate 0.001`; empty: nothing varies but the budget.
    """

    name: str
    strategy: str
    budget: int | None
    grid: Mapping[str, Any]
    cells: Mapping[str, str]
    point: str

    @property
    def label(self) -> str:
        """Its name without the budget."""
        return f"{self.strategy}, {self.point}" if self.point else self.strategy


@dataclass(frozen=True)
class Configurations:
    """All configurations of a sweep.

    Attributes:
        of_runs: the name of every run's configuration, in the order of the plan.
        by_name: in the order of the plan.
        headers: a short name for every key that varies, `selection.budget` apart.
        budgets_vary: whether some configurations differ in nothing but the budget.
    """

    of_runs: tuple[str, ...]
    by_name: Mapping[str, Configuration]
    headers: Mapping[str, str]
    budgets_vary: bool

    def __getitem__(self, name: str) -> Configuration:
        """Return the configuration of a name."""
        return self.by_name[name]

    @classmethod
    def of(cls, specs: Sequence[Mapping[str, Any]]) -> Configurations:
        """Return the configurations of the runs of a plan.

        Args:
            specs: lines of plan.json.
        """
        words = _varied_words(specs)
        headers = dict(zip(words, short_parameter_names(list(words)), strict=True))
        keys = [_key(spec) for spec in specs]
        first: dict[str, Mapping[str, Any]] = {}
        for key, spec in zip(keys, specs, strict=True):
            first.setdefault(key, spec)
        budgets_vary = len({str((spec.get("grid") or {}).get(BUDGET_KEY)) for spec in specs} - {"None"}) > 1
        names: dict[str, str] = {}
        found: dict[str, Configuration] = {}
        for key, spec in first.items():
            made = _configuration(spec, words, headers, budgets_vary)
            if made.name in found and not budgets_vary:
                made = _configuration(spec, words, headers, True)
            name = made.name
            if name in found:  # what only serves scores may be called like what is compared
                name = f"{name} ({spec.get('role', 'trial')} {len(found) + 1})"
            names[key] = name
            found[name] = Configuration(name, made.strategy, made.budget, made.grid, made.cells, made.point)
        budgets = [f"{one.strategy} {one.point}" for one in found.values() if one.budget is not None]
        return cls(tuple(names[key] for key in keys), found, headers, len(set(budgets)) < len(budgets))


def labels_of(specs: Iterable[PlannedRun]) -> dict[str, str]:
    """Return what every run is called in a line: its strategy, and of the grid what varies, by trial id."""
    runs = list(specs)
    found = Configurations.of([run.summary() for run in runs])
    points = (found[name].point for name in found.of_runs)
    return {
        run.trial_id: f"{run.label}, {point}" if point else run.label for run, point in zip(runs, points, strict=True)
    }


def table_name(spec: Mapping[str, Any]) -> str:
    """Return what tables call the strategy of a run: all proxies have one name."""
    return "proxy" if spec.get("role") == "proxy" else str(spec["strategy"])


def short_parameter_names(names: Sequence[str]) -> list[str]:
    """Return the last part of each dotted key, the whole key where that is ambiguous.

    `strategies.x.y` is `y (x)`, and `pretrain.x.y` is `pretrain y`.
    """
    short = [_short_key(name) for name in names]
    return [name if short.count(label) > 1 else label for name, label in zip(names, short, strict=True)]


def _key(spec: Mapping[str, Any]) -> str:
    """Return what all runs of one configuration share; proxies and parts are none of the comparison's."""
    line = {**spec, "strategy": table_name(spec), "grid": spec.get("grid") or {}}
    return f"{spec.get('role', 'trial')} {configuration_key(line)}"


def _configuration(
    spec: Mapping[str, Any], words: Mapping[str, Mapping[str, str]], headers: Mapping[str, str], with_budget: bool
) -> Configuration:
    grid = spec.get("grid") or {}
    cells = {key: known[_identity(grid[key])] if key in grid else "" for key, known in words.items()}
    point = ", ".join(f"{headers[key]} {word}" for key, word in cells.items() if word)
    budget = None if spec["budget_kind"] == "none" else int(spec["budget"])
    amount = f"budget {budget:,}" if with_budget and budget is not None else ""
    strategy = table_name(spec)
    name = ", ".join(part for part in (strategy, amount, point) if part)
    return Configuration(name, strategy, budget, grid, cells, point)


def _varied_words(specs: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, str]]:
    """Return of every key with several values, `selection.budget` apart, each value's identity and its words."""
    found: dict[str, dict[str, Any]] = {}
    for spec in specs:
        for key, value in (spec.get("grid") or {}).items():
            found.setdefault(key, {})[_identity(value)] = value
    return {key: _words_of(values) for key, values in found.items() if len(values) > 1 and key != BUDGET_KEY}


def _identity(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


def _words_of(values: Mapping[str, Any]) -> dict[str, str]:
    """Return short words for the values of a key, all different."""
    for shorten in (_short, _plain):
        words = {identity: shorten(value) for identity, value in values.items()}
        if len(set(words.values())) == len(words):
            return words
    return {identity: identity for identity in values}


def _short(value: Any) -> str:
    """Return a value in short: of a path or a hub id the last part."""
    return PurePath(value).name or value if isinstance(value, str) else _plain(value)


def _plain(value: Any) -> str:
    """Return a value as a person writes it: `0.0001`, `focal(gamma=2)`, `class_weights=inverse`."""
    if isinstance(value, float):
        short = f"{value:g}"
        return short if float(short) == value else repr(value)
    if isinstance(value, Mapping):
        head = str(value.get("name", ""))
        rest = ", ".join(f"{key}={_plain(item)}" for key, item in value.items() if key != "name")
        return (f"{head}({rest})" if head else rest) if rest else head or "default"
    if isinstance(value, list):
        return " ".join(map(_plain, value)) or "none"
    return value if isinstance(value, str) else json.dumps(value)


def _short_key(name: str) -> str:
    section, _, rest = name.partition(".")
    label, _, last = rest.rpartition(".")
    if section == "pretrain" and rest:  # `steps` alone would be those of a trial
        return f"pretrain {last}"
    return f"{last} ({label})" if section == "strategies" and label else name.rpartition(".")[2]
