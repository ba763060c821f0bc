"""From a sweep file to the set of runs that it asks for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from raybert.config import RaybertConfig
from raybert.selection.strategy import Strategy
from raybert.sweeping.plan.arms import Arm
from raybert.sweeping.plan.design import build_strategies
from raybert.sweeping.plan.grid import Variant, expand_grid, facts_of
from raybert.sweeping.plan.signal_runs import check_signal_runs, plan_signal_runs
from raybert.sweeping.plan.specs import PART, PROXY, TRIAL, PoolFacts, RunSpec
from raybert.sweeping.plan.trials import plan_trial

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
    trials: dict[str, RunSpec] = {}

    def add(spec: RunSpec) -> None:
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
                signal_runs = []
                for source, runs in plan_signal_runs(variant, facts, strategy, seed):
                    signal_runs.append(source)
                    for run in runs:
                        add(run)
                check_signal_runs(label, strategy, variant.config, signal_runs)
                add(plan_trial(found[1], facts, label, found[0], seed, tuple(signal_runs)))
    ordered = sorted(trials.values(), key=lambda spec: spec.role == TRIAL)
    return Plan(tuple(ordered))
