"""Training runs at one point of the grid, in one fold, with one seed: what all of them share, and their ids."""

from __future__ import annotations

from dataclasses import dataclass

from raybert.selection.scorers.request import SignalRuns
from raybert.selection.strategy import Strategy
from raybert.sweeping.plan.budget import Budget
from raybert.sweeping.plan.equal import plan_length
from raybert.sweeping.plan.grid import Variant
from raybert.sweeping.plan.roles import TRIAL
from raybert.sweeping.plan.specs import PoolFacts, RunSpec, identified


@dataclass(frozen=True)
class RunMaker:
    """Plans training runs that share a configuration, a pool and a seed.

    Attributes:
        variant: the point of the grid, in its fold.
        facts: of its pool.
        seed: of the sweep.
    """

    variant: Variant
    facts: PoolFacts
    seed: int

    def budget_of(self, strategy: Strategy) -> Budget | None:
        """Return what a strategy may choose here; None: it has no budget.

        Raises:
            ConfigError: the pool is smaller.
        """
        if strategy.spends() == "none":
            return None
        return Budget.of(self.variant.config.selection.resolve(self.facts.base), self.facts.num_examples)

    def trial(self, label: str, strategy: Strategy, signal_runs: tuple[SignalRuns, ...], role: str = TRIAL) -> RunSpec:
        """Return the run of a strategy.

        Args:
            label: of the strategy.
            strategy: with its parameters.
            signal_runs: the runs whose outputs it reads.
            role: what the run is for.

        Raises:
            ConfigError: the pool is smaller than the budget.
        """
        config, base, budget = self.variant.config, self.facts.base, self.budget_of(strategy)
        num_chosen = base if budget is None else budget.count
        grid = self.variant.grid
        if budget is None:
            grid = {key: value for key, value in grid.items() if key != "selection.budget"}
        pass_size = self.facts.num_examples if budget is None else budget.count
        length = plan_length(strategy, config, num_chosen, base, pass_size)
        spec = RunSpec(
            trial_id="",
            role=role,
            label=label,
            strategy=strategy,
            seed=self.seed,
            model_seed=self.seed,
            fold=self.variant.fold,
            budget=budget,
            pool_size=self.facts.num_examples,
            total_steps=length.total_steps,
            grid=grid,
            config=config,
            data_key=self.variant.data_key,
            signal_runs=signal_runs,
            passes=length.passes,
            examples=length.examples,
        )
        return identified(spec, self.facts)
