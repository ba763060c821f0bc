"""One training run of a strategy at one point of the grid, with its id."""

from __future__ import annotations

from raybert.selection.strategy import Strategy
from raybert.sweeping.plan.grid import Variant
from raybert.sweeping.plan.specs import TRIAL, PoolFacts, RunSpec, SignalRuns, identified


def plan_trial(
    variant: Variant,
    facts: PoolFacts,
    label: str,
    strategy: Strategy,
    seed: int,
    signal_runs: tuple[SignalRuns, ...],
    role: str = TRIAL,
) -> RunSpec:
    """Return one training run of a strategy, with its id."""
    config, n = variant.config, facts.num_examples
    limited = strategy.spends() != "none"
    budget = config.selection.resolve(facts.base) if limited else n
    grid = {key: value for key, value in variant.grid.items() if limited or key != "selection.budget"}
    spec = RunSpec(
        trial_id="",
        role=role,
        label=label,
        strategy=strategy,
        seed=seed,
        model_seed=seed,
        fold=variant.fold,
        budget=budget,
        pool_size=n,
        total_steps=config.train.length.resolve(min(budget, facts.base), facts.base, config.train.batch_size),
        grid=grid,
        config=config,
        data_key=variant.data_key,
        signal_runs=signal_runs,
    )
    return identified(spec, facts)
