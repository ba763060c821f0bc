"""The training runs whose outputs are signals: proxies, cross-fits, twins, and the run behind the dynamics."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from raybert.config import LengthConfig, RaybertConfig
from raybert.data.nulls import NULLS_PER_EXAMPLE
from raybert.errors import ConfigError
from raybert.selection.compose import compose
from raybert.selection.signals import needed_signals
from raybert.selection.strategies import All, RandomEpoch
from raybert.selection.strategies.baselines import AllButFold
from raybert.selection.strategy import NullInputs, Strategy
from raybert.sweeping.plan.grid import Variant
from raybert.sweeping.plan.specs import PART, PROXY, PoolFacts, RunSpec, SignalRuns, identified

_TWINS = 2


def plan_signal_runs(
    variant: Variant, facts: PoolFacts, strategy: Strategy, seed: int
) -> Iterator[tuple[SignalRuns, list[RunSpec]]]:
    """Yield what a strategy reads of other runs, with these runs."""
    selection = variant.config.selection
    proxy, kinds = selection.proxy, {signal.runs for signal in needed_signals(strategy.all_signals(), selection)}
    maker = _RunMaker(variant, facts, seed if proxy.per_seed else 0)
    if "proxy" in kinds:
        null = strategy.null_inputs()
        runs = maker.cross_fit(proxy.folds, proxy.num_seeds, proxy.epochs, null)
        yield SignalRuns("proxy", _ids(runs), proxy.folds, null), runs
    if "heldout" in kinds:
        heldout = selection.scorers.heldout
        runs = maker.cross_fit(heldout.folds, 1, heldout.epochs)
        yield SignalRuns("heldout", _ids(runs), heldout.folds), runs
    if "irreducible" in kinds:
        runs = maker.cross_fit(_TWINS, 1, selection.scorers.irreducible.epochs)
        yield SignalRuns("irreducible", _ids(runs), _TWINS), runs
    if "dynamics" in kinds:
        run = maker.dynamics()
        yield SignalRuns("dynamics", (run.trial_id,)), [run]


def check_signal_runs(label: str, strategy: Strategy, config: RaybertConfig, signal_runs: Sequence[SignalRuns]) -> None:
    """Refuse cross-fitted proxies where the strategy needs such that have seen the whole pool.

    Raises:
        ConfigError: says what to leave out.
    """
    if config.model.kind == "iris" and strategy.null_inputs():
        raise ConfigError(
            f"sweep.strategies: '{label}' must have `null_input: prior` with `model.kind: iris`: it sees no word pieces"
        )
    folds = config.selection.proxy.folds
    if folds is None:
        return
    remedy = f"leave out selection.proxy.folds, got {folds}"
    if any(source.kind == "proxy" and source.null for source in signal_runs):
        raise ConfigError(
            f"sweep.strategies: '{label}' compares with a null that proxies of the whole pool have seen; {remedy}"
        )
    reads = {signal.name for signal in needed_signals(strategy.all_signals(), config.selection)}
    if "embeddings" in reads and config.selection.embedding.of == "proxy":
        raise ConfigError(
            f"selection.embedding.of: proxy needs one proxy of the whole pool for '{label}': the embeddings of "
            f"different folds cannot be compared; {remedy}"
        )
    runs = [set(source.runs) for source in signal_runs if source.kind in ("proxy", "irreducible")]
    if len(runs) == 2 and runs[0] & runs[1]:
        raise ConfigError(f"sweep.strategies: '{label}' would subtract its twins' loss from itself; {remedy}")


def _ids(runs: Iterable[RunSpec]) -> tuple[str, ...]:
    return tuple(run.trial_id for run in runs)


@dataclass(frozen=True)
class _RunMaker:
    """Plans the training runs that score the pool of one variant and seed."""

    variant: Variant
    facts: PoolFacts
    seed: int

    def cross_fit(
        self, num_folds: int | None, repetitions: int, epochs: float, null: NullInputs | None = None
    ) -> list[RunSpec]:
        """Return whole-pool proxies, or for m folds m proxies a repetition, each without one of them."""
        # Further proxies of a seed must not repeat another seed's first one.
        model_seeds = [self.seed + 1_000_003 * member for member in range(repetitions)]
        folds = range(num_folds) if num_folds else (None,)
        return [self._proxy(seed, num_folds, fold, epochs, null) for seed in model_seeds for fold in folds]

    def dynamics(self) -> RunSpec:
        """Return a run over the whole pool that stops at checkpoints: its passes are parts of a permutation."""
        settings, n = self.variant.config.selection.scorers.dynamics, self.facts.base
        part = math.ceil(settings.epochs * n / settings.checkpoints)
        steps = settings.checkpoints * math.ceil(part / self.variant.config.train.batch_size)
        spec = self._run(f"{PROXY}_dynamics", PART, RandomEpoch(), part, steps, self.seed)
        return identified(replace(spec, checkpoints=settings.checkpoints), self.facts)

    def _proxy(
        self, model_seed: int, num_folds: int | None, fold: int | None, epochs: float, null: NullInputs | None
    ) -> RunSpec:
        config, n, base = self.variant.config, self.facts.num_examples, self.facts.base
        if num_folds is None or fold is None:
            strategy: Strategy = All()
            budget, inputs, label, role = n, base, PROXY, PROXY
        else:
            strategy = AllButFold(num_folds=num_folds, fold=fold)
            budget, inputs, label, role = strategy.count(n), strategy.count(base), f"{PROXY}_fold", PART
        if null is not None:
            inputs, label, role = inputs + max(1, round(base * NULLS_PER_EXAMPLE)), f"{PROXY}_null", PART
        length = LengthConfig(epochs=epochs, min_steps=0)
        steps = length.resolve(inputs, inputs, config.train.batch_size)
        return identified(replace(self._run(label, role, strategy, budget, steps, model_seed), null=null), self.facts)

    def _run(
        self, label: str, role: str, strategy: Strategy, budget: int, total_steps: int, model_seed: int
    ) -> RunSpec:
        config = self.variant.config
        train = config.train.model_copy(
            update={
                "length": LengthConfig(steps=total_steps),
                "learning_rate": config.selection.proxy.learning_rate or config.train.learning_rate,
                "eval_every": total_steps,
            }
        )
        return RunSpec(
            trial_id="",
            role=role,
            label=label,
            strategy=compose(strategy),
            seed=self.seed,
            model_seed=model_seed,
            fold=self.variant.fold,
            budget=budget,
            pool_size=self.facts.num_examples,
            total_steps=total_steps,
            grid={key: value for key, value in self.variant.grid.items() if key != "selection.budget"},
            config=config.model_copy(update={"train": train}),
            data_key=self.variant.data_key,
        )
