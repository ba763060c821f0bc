"""From a design and its pools to the set of runs that a sweep asks for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from raybert.selection.strategy import Strategy
from raybert.sweeping.plan.arms import Arm, build_arms
from raybert.sweeping.plan.design import Design
from raybert.sweeping.plan.entries import Entry
from raybert.sweeping.plan.grid import Variant
from raybert.sweeping.plan.roles import PART, PROXY, TRIAL
from raybert.sweeping.plan.run_maker import RunMaker
from raybert.sweeping.plan.signal_runs import check_signal_runs, plan_signal_runs
from raybert.sweeping.plan.specs import PoolFacts, RunSpec

_NOTHING = object()


@dataclass(frozen=True)
class Plan:
    """The trials of a sweep, runs that others read first, then seed by seed.

    Attributes:
        trials: the comparison, with the runs that it reads.
        arms: what is searched before it; the comparison is then planned as if nothing had been found.
    """

    trials: tuple[RunSpec, ...]
    arms: tuple[Arm, ...] = ()

    @property
    def proxies(self) -> tuple[RunSpec, ...]:
        """The runs whose outputs are signals."""
        return tuple(spec for spec in self.trials if spec.role in (PROXY, PART))


Tuned = Callable[[Entry, Variant], tuple[Strategy, Variant] | None]
"""What was found for a strategy at a point of the grid; None: it is not compared."""


def plan_sweep(design: Design, pools: Mapping[str, PoolFacts]) -> Plan:
    """Return what a sweep runs: the comparison, and what is searched before it.

    Args:
        design: of the sweep.
        pools: facts of every variant's prepared data, also of `tuning_variants`, by `Variant.data_key`.

    Raises:
        ConfigError: a strategy, a grid value or a budget is not possible.
    """
    return Plan(plan_comparison(design, pools), build_arms(design, pools))


def plan_comparison(
    design: Design, pools: Mapping[str, PoolFacts], tuned: Tuned = lambda entry, variant: (entry.strategy, variant)
) -> tuple[RunSpec, ...]:
    """Return all trials that a sweep compares, each once, and before them the runs that they read.

    Args:
        design: of the sweep.
        pools: facts of every variant's prepared data, by `Variant.data_key`.
        tuned: the best of a search; what a trial reads of other runs stays as the file has it.

    Raises:
        ConfigError: a strategy, a grid value or a budget is not possible.
    """
    trials: dict[str, RunSpec] = {}

    def add(spec: RunSpec) -> None:
        known = trials.setdefault(spec.trial_id, spec)
        # What a strategy does not read makes no difference to it: one trial stands at several points of the grid.
        grid = {key: value for key, value in known.grid.items() if spec.grid.get(key, _NOTHING) == value}
        trials[spec.trial_id] = replace(known, grid=grid)

    points = [(variant, design.facts_of(variant, pools)) for variant in design.variants]
    for seed in design.config.sweep.seeds:
        for variant, facts in points:
            for entry in design.entries:
                found = tuned(entry, variant)
                if found is None:
                    continue
                strategy, filled = found
                reads = plan_signal_runs(RunMaker(variant, facts, seed), entry.strategy)
                for run in reads.runs:
                    add(run)
                check_signal_runs(entry.label, entry.strategy, variant.config, reads.signal_runs)
                add(RunMaker(filled, facts, seed).trial(entry.label, strategy, reads.signal_runs))
    return tuple(sorted(trials.values(), key=lambda spec: spec.role == TRIAL))
