"""From a sweep file to the set of trials that it asks for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from itertools import product

from raybert.config import RaybertConfig, StrategyConfig, suggest, validate_config, with_value
from raybert.errors import ConfigError
from raybert.selection.registry import build_strategy, strategy_identity, strategy_label
from raybert.selection.strategy import Strategy
from raybert.sweep.sources import check_sources, plan_sources
from raybert.sweep.specs import KNOWN_SIGNALS, PROXY, TRIAL, Plan, PoolFacts, Source, TrialSpec, Variant, identified

_NO_GRID = ("sweep", "resources", "limits", "monitor", "name", "selection.store", "model.kind")
"""Keys that no trial differs in, or on which the defaults of others depend."""
_NOTHING = object()


def expand_grid(config: RaybertConfig) -> list[Variant]:
    """Return every combination of the grid as a validated configuration, fold by fold.

    Raises:
        ConfigError: a key of the grid is unknown or a value is not allowed.
    """
    document = config.model_dump(mode="json")
    variants = []
    for key in config.sweep.grid:
        if any(key == part or key.startswith(f"{part}.") for part in _NO_GRID):
            raise ConfigError(
                f"sweep.grid.{key}: must be a key of data, model, train or selection that trials may differ in"
            )
    for values in product(*config.sweep.grid.values()):
        grid = dict(zip(config.sweep.grid, values, strict=True))
        filled = document
        for key, value in grid.items():
            filled = with_value(filled, key, value)
        try:
            variant = validate_config({**filled, "sweep": {}})
        except ConfigError as error:
            raise ConfigError(f"sweep.grid: {error}") from None
        variants.append(Variant(grid, variant))
    num_folds = [variant.config.data.folds or 1 for variant in variants]
    return [
        replace(variant, fold=fold)
        for fold in range(max(num_folds))
        for variant, count in zip(variants, num_folds, strict=True)
        if fold < count
    ]


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
    for i, entry in enumerate(config.sweep.strategies):
        path = f"sweep.strategies[{i}]"
        strategy = build_strategy(entry, path)
        unknown = sorted(strategy.all_signals() - KNOWN_SIGNALS)
        if unknown:
            raise ConfigError(
                f"{path}: '{entry.name}' needs the signal '{unknown[0]}', which a sweep does not compute"
                f"{suggest(unknown[0], KNOWN_SIGNALS)}"
            )
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
    return [(label, entries[label], strategy) for label, strategy in labelled.items()]


def _are_same(one: Strategy, other: Strategy) -> bool:
    return strategy_identity(one) == strategy_identity(other)


Tuned = Callable[[str, Strategy, Variant], tuple[Strategy, Variant] | None]
"""What was found for a strategy (by label) at a point of the grid; None: it is not compared."""


def make_plan(config: RaybertConfig, pools: Mapping[str, PoolFacts], tuned: Tuned | None = None) -> Plan:
    """Return all trials that a sweep file asks for, each once.

    Args:
        config: the sweep file.
        pools: facts of every variant's prepared data, by `Variant.data_key`.
        tuned: the best of a search; what a trial reads of other runs stays as the file has it.

    Raises:
        ConfigError: a strategy, a grid value or a budget is not possible.
    """
    strategies = build_strategies(config)
    variants = expand_grid(config)
    trials: dict[str, TrialSpec] = {}

    def add(spec: TrialSpec) -> None:
        known = trials.setdefault(spec.trial_id, spec)
        # What a strategy does not read makes no difference to it: one trial stands at several points of the grid.
        grid = {key: value for key, value in known.grid.items() if spec.grid.get(key, _NOTHING) == value}
        trials[spec.trial_id] = replace(known, grid=grid)

    for seed in config.sweep.seeds:
        for variant in variants:
            facts = facts_of(variant, variants, pools)
            for label, strategy in strategies:
                found = (strategy, variant) if tuned is None else tuned(label, strategy, variant)
                if found is None:
                    continue
                sources = []
                for source, runs in plan_sources(variant, facts, strategy, seed):
                    sources.append(source)
                    for run in runs:
                        add(run)
                check_sources(label, strategy, variant.config, sources)
                add(plan_trial(found[1], facts, label, found[0], seed, tuple(sources)))
    ordered = sorted(trials.values(), key=lambda spec: spec.role == TRIAL)
    return Plan(tuple(ordered))


def facts_of(variant: Variant, variants: Iterable[Variant], pools: Mapping[str, PoolFacts]) -> PoolFacts:
    """Return what a plan needs of a variant's data; over folds, budgets are counted from the smallest pool."""
    facts = pools[variant.data_key]
    if variant.config.data.folds is None:
        return facts
    folds = [pools[other.data_key].num_examples for other in variants if other.grid == variant.grid]
    return replace(facts, smallest_pool=min(folds))


def plan_trial(
    variant: Variant,
    facts: PoolFacts,
    label: str,
    strategy: Strategy,
    seed: int,
    sources: tuple[Source, ...],
    role: str = TRIAL,
) -> TrialSpec:
    """Return one training run of a strategy, with its id."""
    config, n = variant.config, facts.num_examples
    limited = strategy.spends() != "none"
    budget = config.selection.resolve(facts.base) if limited else n
    grid = {key: value for key, value in variant.grid.items() if limited or key != "selection.budget"}
    spec = TrialSpec(
        trial_id="",
        role=role,
        label=label,
        strategy=strategy,
        seed=seed,
        model_seed=seed,
        fold=variant.fold,
        budget=budget,
        pool=n,
        total_steps=config.train.length.resolve(min(budget, facts.base), facts.base, config.train.batch_size),
        grid=grid,
        config=config,
        data_key=variant.data_key,
        sources=sources,
    )
    return identified(spec, facts)
