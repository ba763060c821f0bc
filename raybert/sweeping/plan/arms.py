"""Arms: what is searched on its own. One strategy at one point of the grid, or with `shared` all strategies there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from raybert.config import RaybertConfig, StrategyConfig, TuneConfig, validate_config, with_value
from raybert.config.tune import Mode
from raybert.errors import ConfigError
from raybert.selection.catalogue import build_strategy
from raybert.selection.strategy import Strategy
from raybert.sweeping.plan.design import build_entries
from raybert.sweeping.plan.grid import Variant, expand_grid, facts_of
from raybert.sweeping.plan.search_space import STRATEGY, Params, SearchSpace, parameter_of, strategy_of
from raybert.sweeping.plan.signal_runs import check_signal_runs, plan_signal_runs
from raybert.sweeping.plan.specs import PART, READER, TUNE, PoolFacts, RunSpec, SignalRuns
from raybert.sweeping.plan.trials import plan_trial

SHARED = "all strategies"
"""Name of the arm of a shared search."""


@dataclass(frozen=True)
class Candidate:
    """A strategy at a point of the grid, before tuning.

    Attributes:
        label: its name in tables.
        entry: as the sweep file writes it.
        variant: the point of the grid, with the part of the pool that is tuned on.
        facts: of that pool.
        readers: for every tuning seed a trial that stands for all runs of that seed: it has their signals.
        runs: trained once for these signals, before the search.
    """

    label: str
    entry: StrategyConfig
    variant: Variant
    facts: PoolFacts
    readers: tuple[RunSpec, ...]
    runs: tuple[RunSpec, ...] = field(repr=False)


@dataclass(frozen=True)
class Arm:
    """What has a study, and an early stopping, of its own.

    Attributes:
        name: of the study: the label, and what the grid says.
        order: place among the arms.
        candidates: its strategy; several only in a shared search.
        grid: values by dotted key.
        grid_points: the points of the whole grid that it stands for.
        space: what is searched.
        num_suggestions: how many suggestions it gets.
        metric: of validation.
        mode: which end of it is better.
        points: suggestions to begin with.
    """

    name: str
    order: int
    candidates: tuple[Candidate, ...]
    grid: dict[str, Any]
    grid_points: tuple[dict[str, Any], ...]
    space: SearchSpace
    num_suggestions: int
    metric: str
    mode: Mode
    points: tuple[Params, ...] = ()

    @property
    def strategy(self) -> str | None:
        """Label of its strategy; None: a shared search."""
        return self.candidates[0].label if len(self.candidates) == 1 else None

    @property
    def readers(self) -> tuple[RunSpec, ...]:
        """What stands for its runs where signals are computed."""
        return tuple(reader for candidate in self.candidates for reader in candidate.readers)

    @property
    def seeds(self) -> tuple[int, ...]:
        """Tuning seeds, one for each run of a suggestion."""
        return tuple(reader.seed for reader in self.candidates[0].readers)

    @property
    def sign(self) -> float:
        """Factor that makes a higher value the better one."""
        return 1.0 if self.mode == "max" else -1.0

    def candidate(self, params: Mapping[str, Any]) -> Candidate:
        """Return the strategy of a suggestion."""
        label = params.get(STRATEGY)
        return next(found for found in self.candidates if label in (None, found.label))

    def runs(self, params: Mapping[str, Any]) -> tuple[RunSpec, ...]:
        """Return the training runs of a suggestion, one for each tuning seed."""
        candidate = self.candidate(params)
        strategy, variant = with_values(candidate.label, candidate.entry, candidate.variant, self.space.decode(params))
        # The best evaluation is that of the metric that is searched by.
        train = variant.config.train.model_copy(update={"best_metric": self.metric})
        variant = replace(variant, config=variant.config.model_copy(update={"train": train}))
        return tuple(
            plan_trial(variant, candidate.facts, candidate.label, strategy, reader.seed, reader.signal_runs, role=TUNE)
            for reader in candidate.readers
        )

    def summary(self) -> dict[str, Any]:
        """Return its line of `plan.json`."""
        return {"arm": self.name, "strategy": self.strategy, "grid": self.grid, "suggestions": self.num_suggestions}


def with_values(
    label: str, entry: StrategyConfig, variant: Variant, values: Mapping[str, Any]
) -> tuple[Strategy, Variant]:
    """Return a strategy and a configuration with values filled in.

    Args:
        label: the strategy's.
        entry: the strategy as the sweep file writes it.
        variant: the configuration.
        values: dotted key -> value; parameters of other strategies are left out.

    Raises:
        ConfigError: a value is not allowed.
    """
    document = variant.config.model_dump(mode="json")
    parameters: dict[str, Any] = dict(entry.parameters)
    for key, value in values.items():
        if not key.startswith("strategies."):
            document = with_value(document, key, value)
        elif strategy_of(key, (label,)) == label:
            parameters = with_value(parameters, parameter_of(key, label), value)
    strategy = build_strategy(StrategyConfig(name=entry.name, label=entry.label, **parameters), f"strategies.{label}")
    return strategy, replace(variant, config=validate_config(document))


def tuning_variants(config: RaybertConfig, pools: Mapping[str, PoolFacts]) -> list[Variant]:
    """Return the grid points as they are tuned: fold 0, and of the pool the part that `sweep.tune.pool_fraction` says.

    Args:
        config: the sweep file.
        pools: facts of the whole pools.
    """
    assert config.sweep.tune is not None
    fraction = config.sweep.tune.pool_fraction
    variants = [variant for variant in expand_grid(config) if variant.fold == 0]
    if fraction is None:
        return variants
    return [_of_fraction(variant, pools[variant.data_key], fraction) for variant in variants]


def _of_fraction(variant: Variant, facts: PoolFacts, fraction: float) -> Variant:
    config = variant.config
    count = max(facts.num_classes, round(fraction * facts.num_examples))
    data = config.data.model_copy(update={"train_examples": count})
    budget = config.selection.budget
    if isinstance(budget, int):
        budget = max(1, round(fraction * budget))
    selection = config.selection.model_copy(update={"budget": budget})
    return replace(variant, config=config.model_copy(update={"data": data, "selection": selection}))


def build_arms(
    config: RaybertConfig, spaces: Mapping[str, SearchSpace], pools: Mapping[str, PoolFacts]
) -> tuple[Arm, ...]:
    """Return what is searched, in the order of the sweep file: strategies at the first point of the grid, then others.

    Args:
        config: with `sweep.tune`.
        spaces: by strategy label, see `search_spaces`; with `shared` one, by `SHARED`.
        pools: facts of every variant's prepared data, also of `tuning_variants`, by `Variant.data_key`.

    Raises:
        ConfigError: a point to evaluate lies outside the space, or a strategy or budget is not possible.
    """
    tune = config.sweep.tune
    assert tune is not None
    groups: dict[str, list[tuple[dict[str, Any], tuple[Candidate, ...]]]] = {}
    for point in _candidates(config, tune, pools):
        identity = "+".join(candidate.readers[0].trial_id for candidate in point[1])
        groups.setdefault(identity, []).append(point)
    return tuple(_make_arm(config, tune, spaces, order, group) for order, group in enumerate(groups.values()))


def _make_arm(
    config: RaybertConfig,
    tune: TuneConfig,
    spaces: Mapping[str, SearchSpace],
    order: int,
    group: Sequence[tuple[dict[str, Any], tuple[Candidate, ...]]],
) -> Arm:
    """Return an arm; the points of the grid between which it makes no difference are one."""
    grids = tuple(grid for grid, _ in group)
    candidates = group[0][1]
    used = grids[0] if tune.shared else candidates[0].readers[0].grid
    grid = {key: value for key, value in used.items() if all(other[key] == value for other in grids)}
    label = SHARED if tune.shared else candidates[0].label
    points = (
        spaces[label].check_point(point, f"sweep.tune.points_to_evaluate[{i}]")
        for i, point in enumerate(tune.points_to_evaluate)
    )
    for candidate in candidates:
        _check_budgets(spaces[label], candidate)
    return Arm(
        name=label + "".join(f" {key}={value}" for key, value in grid.items()),
        order=order,
        candidates=candidates,
        grid=grid,
        grid_points=grids,
        space=spaces[label],
        num_suggestions=tune.suggestions_per_strategy * len(candidates),
        metric=tune.metric_name(config.train.best_metric),
        mode=tune.direction(config.train.best_metric),
        points=tuple(point for point in points if point),
    )


def _check_budgets(space: SearchSpace, candidate: Candidate) -> None:
    """Refuse budgets that a pool does not have, before one of them is suggested.

    Raises:
        ConfigError: the pool is smaller.
    """
    selection = candidate.variant.config.selection
    for domain in space.domains:
        if domain.key == "selection.budget" and candidate.readers[0].strategy.spends() != "none":
            for budget in domain.edges():
                try:
                    selection.model_copy(update={"budget": budget}).resolve(candidate.facts.base)
                except ConfigError as error:
                    raise ConfigError(f"{domain.path}: {str(error).removeprefix('selection.budget: ')}") from None


def _candidates(
    config: RaybertConfig, tune: TuneConfig, pools: Mapping[str, PoolFacts]
) -> Iterator[tuple[dict[str, Any], tuple[Candidate, ...]]]:
    """Yield every point of the grid with its strategies: one by one, or with `shared` together."""
    variants = tuning_variants(config, pools)
    neighbours = variants if tune.pool_fraction is not None else expand_grid(config)
    for variant in variants:
        facts = facts_of(variant, neighbours, pools)
        found = [
            (entry, make_candidate(label, entry, strategy, variant, facts, tune.seeds))
            for label, entry, strategy in build_entries(config)
        ]
        if tune.shared:
            yield variant.grid, tuple(candidate for _, candidate in found)
            continue
        for _, candidate in found:
            yield variant.grid, (candidate,)


def make_candidate(
    label: str, entry: StrategyConfig, strategy: Strategy, variant: Variant, facts: PoolFacts, seeds: Sequence[int]
) -> Candidate:
    """Return a strategy at a point of the grid, with what it reads on the tuning seeds."""
    readers, runs = [], list[RunSpec]()
    for seed in seeds:
        signal_runs: list[SignalRuns] = []
        for source, found in plan_signal_runs(variant, facts, strategy, seed):
            signal_runs.append(source)
            runs += [replace(run, role=PART) for run in found]
        check_signal_runs(label, strategy, variant.config, signal_runs)
        readers.append(plan_trial(variant, facts, label, strategy, seed, tuple(signal_runs), role=READER))
    return Candidate(label, entry, variant, facts, tuple(readers), tuple(runs))
