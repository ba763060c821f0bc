"""Arms: what is searched on its own. One strategy at one point of the grid, or with `shared` all strategies there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from raybert.config import TuneConfig
from raybert.config.tune import Mode, TuneLengthConfig
from raybert.errors import ConfigError
from raybert.sweeping.plan.design import Design
from raybert.sweeping.plan.entries import Entry
from raybert.sweeping.plan.grid import Variant, facts_of
from raybert.sweeping.plan.roles import PART, READER, TUNE
from raybert.sweeping.plan.run_maker import RunMaker
from raybert.sweeping.plan.search_space import STRATEGY, Params, SearchSpace
from raybert.sweeping.plan.signal_runs import check_signal_runs, plan_signal_runs
from raybert.sweeping.plan.specs import PoolFacts, RunSpec, identified

SHARED = "all strategies"
"""Name of the arm of a shared search."""


@dataclass(frozen=True)
class Candidate:
    """A strategy at a point of the grid, before tuning.

    Attributes:
        entry: the strategy.
        variant: the point of the grid, with the part of the pool that is tuned on.
        facts: of that pool.
        readers: for every tuning seed a trial that stands for all runs of that seed: it has their signals.
        runs: trained once for these signals, before the search.
        scored_fraction: share of validation that scores its suggestions alone; None: there is no such part.
    """

    entry: Entry
    variant: Variant
    facts: PoolFacts
    readers: tuple[RunSpec, ...]
    runs: tuple[RunSpec, ...] = field(repr=False)
    scored_fraction: float | None = None

    @property
    def label(self) -> str:
        """Its name in tables."""
        return self.entry.label

    def runs_with(self, values: Mapping[str, Any], metric: str) -> tuple[RunSpec, ...]:
        """Return the training runs of a suggestion, one for each tuning seed.

        Args:
            values: dotted key -> value.
            metric: that is searched by: the best evaluation is that of it.
        """
        strategy, variant = self.entry.with_values(self.variant, values)
        train = variant.config.train.model_copy(update={"best_metric": metric})
        variant = replace(variant, config=variant.config.model_copy(update={"train": train}))
        runs = (
            RunMaker(variant, self.facts, reader.seed).trial(self.label, strategy, reader.signal_runs, TUNE)
            for reader in self.readers
        )
        if self.scored_fraction is None:
            return tuple(runs)
        return tuple(identified(replace(run, scored_fraction=self.scored_fraction), self.facts) for run in runs)


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
        return self.candidate(params).runs_with(self.space.decode(params), self.metric)

    def summary(self) -> dict[str, Any]:
        """Return its line of `plan.json`."""
        return {"arm": self.name, "strategy": self.strategy, "grid": self.grid, "suggestions": self.num_suggestions}


def tuning_variants(design: Design, pools: Mapping[str, PoolFacts]) -> tuple[Variant, ...]:
    """Return the grid points as they are tuned: fold 0, of the pool the part, and as long, as `sweep.tune` says.

    Args:
        design: of a sweep with a search, or without one, which has none.
        pools: facts of the whole pools.
    """
    tune = design.config.sweep.tune
    if tune is None:
        return ()
    variants = tuple(variant for variant in design.variants if variant.fold == 0)
    if tune.length is not None:
        variants = tuple(_of_length(variant, tune.length) for variant in variants)
    if tune.pool_fraction is None:
        return variants
    return tuple(_of_fraction(variant, pools[variant.data_key], tune.pool_fraction) for variant in variants)


def _of_length(variant: Variant, length: TuneLengthConfig) -> Variant:
    config = variant.config
    train = config.train.model_copy(update={"length": length.of(config.train.length)})
    return replace(variant, config=config.model_copy(update={"train": train}))


def _of_fraction(variant: Variant, facts: PoolFacts, fraction: float) -> Variant:
    config = variant.config
    count = max(facts.num_classes, round(fraction * facts.num_examples))
    data = config.data.model_copy(update={"train_examples": count})
    budget = config.selection.budget
    if isinstance(budget, int):
        budget = max(1, round(fraction * budget))
    selection = config.selection.model_copy(update={"budget": budget})
    return replace(variant, config=config.model_copy(update={"data": data, "selection": selection}))


def build_arms(design: Design, pools: Mapping[str, PoolFacts]) -> tuple[Arm, ...]:
    """Return what is searched, in the order of the sweep file: strategies at the first point of the grid, then others.

    Args:
        design: of the sweep; without a search it has no arms.
        pools: facts of every variant's prepared data, also of `tuning_variants`, by `Variant.data_key`.

    Raises:
        ConfigError: a point to evaluate lies outside the space, a strategy or budget is not possible, or several
            studies would have one name.
    """
    tune = design.config.sweep.tune
    if tune is None:
        return ()
    groups: dict[str, list[tuple[dict[str, Any], tuple[Candidate, ...]]]] = {}
    for point in _candidates(design, tune, pools):
        identity = "+".join(candidate.readers[0].trial_id for candidate in point[1])
        groups.setdefault(identity, []).append(point)
    arms = tuple(_make_arm(design, tune, order, group) for order, group in enumerate(groups.values()))
    if tune.study_name is not None and "{arm}" not in tune.study_name and len(arms) > 1:
        raise ConfigError(
            "sweep.tune.study_name: must have {arm} in it (the strategy, and its point of the grid), because the "
            f"search has {len(arms)} studies, got '{tune.study_name}'"
        )
    return arms


def _make_arm(
    design: Design, tune: TuneConfig, order: int, group: Sequence[tuple[dict[str, Any], tuple[Candidate, ...]]]
) -> Arm:
    """Return an arm; the points of the grid between which it makes no difference are one."""
    grids = tuple(grid for grid, _ in group)
    candidates = group[0][1]
    used = grids[0] if tune.shared else candidates[0].readers[0].grid
    grid = {key: value for key, value in used.items() if all(other[key] == value for other in grids)}
    space, metric = design.spaces[candidates[0].label], design.config.train.best_metric
    points = (
        space.check_point(point, f"sweep.tune.points_to_evaluate[{i}]")
        for i, point in enumerate(tune.points_to_evaluate)
    )
    for candidate in candidates:
        _check_budgets(space, candidate)
    return Arm(
        name=(SHARED if tune.shared else candidates[0].label)
        + "".join(f" {key}={value}" for key, value in grid.items()),
        order=order,
        candidates=candidates,
        grid=grid,
        grid_points=grids,
        space=space,
        num_suggestions=tune.suggestions_per_strategy * len(candidates),
        metric=tune.metric_name(metric),
        mode=tune.direction(metric),
        points=tuple(point for point in points if point),
    )


def _check_budgets(space: SearchSpace, candidate: Candidate) -> None:
    """Refuse budgets that a pool does not have, before one of them is suggested.

    Raises:
        ConfigError: the pool is smaller.
    """
    selection = candidate.variant.config.selection
    for domain in space.domains:
        if domain.key == "selection.budget" and candidate.readers[0].budget is not None:
            for budget in domain.edges():
                try:
                    selection.model_copy(update={"budget": budget}).resolve(candidate.facts.base)
                except ConfigError as error:
                    raise ConfigError(f"{domain.path}: {str(error).removeprefix('selection.budget: ')}") from None


def _candidates(
    design: Design, tune: TuneConfig, pools: Mapping[str, PoolFacts]
) -> Iterator[tuple[dict[str, Any], tuple[Candidate, ...]]]:
    """Yield every point of the grid with its strategies: one by one, or with `shared` together."""
    variants = tuning_variants(design, pools)
    neighbours = design.variants if tune.pool_fraction is None else variants
    for variant in variants:
        facts = facts_of(variant, neighbours, pools)
        found = tuple(make_candidate(entry, variant, facts, tune) for entry in design.entries)
        yield from [(variant.grid, found)] if tune.shared else [(variant.grid, (candidate,)) for candidate in found]


def make_candidate(entry: Entry, variant: Variant, facts: PoolFacts, tune: TuneConfig) -> Candidate:
    """Return a strategy at a point of the grid, with what it reads on the tuning seeds."""
    readers, runs = [], list[RunSpec]()
    for seed in tune.seeds:
        maker = RunMaker(variant, facts, seed)
        reads = plan_signal_runs(maker, entry.strategy)
        check_signal_runs(entry.label, entry.strategy, variant.config, reads.signal_runs)
        readers.append(maker.trial(entry.label, entry.strategy, reads.signal_runs, READER))
        runs += [replace(run, role=PART) for run in reads.runs]
    return Candidate(entry, variant, facts, tuple(readers), tuple(runs), tune.validation)
