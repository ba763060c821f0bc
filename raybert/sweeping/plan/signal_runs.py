"""The training runs whose outputs are signals: proxies, cross-fits, twins, and the run behind the dynamics."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from raybert.config import LengthConfig, RaybertConfig, StartConfig
from raybert.data.nulls import NULLS_PER_EXAMPLE
from raybert.errors import ConfigError
from raybert.selection.compose import compose
from raybert.selection.scorers.request import SignalRuns
from raybert.selection.signals import needed_signals
from raybert.selection.strategies import All, RandomEpoch
from raybert.selection.strategies.baselines import AllButFold, SampleOf
from raybert.selection.strategy import NullInputs, Strategy
from raybert.sweeping.plan.budget import Budget
from raybert.sweeping.plan.roles import PART, PROXY
from raybert.sweeping.plan.run_maker import RunMaker
from raybert.sweeping.plan.specs import RunSpec, identified

_TWINS = 2
_NEXT_PROXY = 1_000_003
"""Between the model seeds of a sweep seed's proxies. A large prime: no sweep has so many seeds that a further proxy of
one seed would repeat the first one of another."""
_LABELS = {AllButFold: f"{PROXY}_fold", SampleOf: f"{PROXY}_sample"}
"""Of proxies that train on a part of the pool, in tables."""


@dataclass(frozen=True)
class Reads:
    """What a trial reads of other runs.

    Attributes:
        signal_runs: the signals.
        runs: the training runs behind them.
    """

    signal_runs: tuple[SignalRuns, ...]
    runs: tuple[RunSpec, ...]


def plan_signal_runs(maker: RunMaker, strategy: Strategy) -> Reads:
    """Return what a strategy reads of other runs, where a maker's runs are."""
    found = list(_signals_and_runs(maker, strategy))
    return Reads(tuple(signal for signal, _ in found), tuple(run for _, runs in found for run in runs))


def _signals_and_runs(place: RunMaker, strategy: Strategy) -> Iterator[tuple[SignalRuns, list[RunSpec]]]:
    """Yield what a strategy reads of other runs, with these runs."""
    selection = place.variant.config.selection
    proxy, kinds = selection.proxy, {signal.runs for signal in needed_signals(strategy.all_signals(), selection)}
    maker = _ScoringRunMaker(place.variant, place.facts, place.seed if proxy.per_seed else 0)
    if "proxy" in kinds:
        null = strategy.null_inputs()
        runs = maker.cross_fit(proxy.folds, proxy.num_seeds, proxy.epochs, null, proxy.examples)
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
    least, given = strategy.least_proxies(), config.selection.proxy.num_seeds
    if given < least:
        raise ConfigError(
            f"sweep.strategies: '{label}' must have at least {least} proxies, got selection.proxy.num_seeds: {given}; "
            "raise it (every one is trained, and counted), or leave the strategy out"
        )
    reads = {signal.name for signal in needed_signals(strategy.all_signals(), config.selection)}
    sample = config.selection.proxy.examples
    if sample is not None and any(source.kind == "proxy" for source in signal_runs):
        whole = {
            "compares with a null": any(source.null for source in signal_runs if source.kind == "proxy"),
            "reads the losses of training": "loss" in reads and config.selection.scorers.loss.of == "proxy",
        }
        for what in (what for what, is_so in whole.items() if is_so):
            raise ConfigError(
                f"sweep.strategies: '{label}' {what}, which proxies of the whole pool have seen; leave out "
                f"selection.proxy.examples, got {sample:,}"
            )
    folds = config.selection.proxy.folds
    if folds is None:
        return
    remedy = f"leave out selection.proxy.folds, got {folds}"
    if any(source.kind == "proxy" and source.null for source in signal_runs):
        raise ConfigError(
            f"sweep.strategies: '{label}' compares with a null that proxies of the whole pool have seen; {remedy}"
        )
    if "embeddings" in reads and config.selection.embedding.of == "proxy":
        raise ConfigError(
            f"selection.embedding.of: proxy needs one proxy of the whole pool for '{label}': the embeddings of "
            f"different folds cannot be compared; {remedy}"
        )
    of_one = sorted(name for name in reads if name.partition(":")[0] in ("features", "dropout_probs", "influence"))
    if of_one:
        raise ConfigError(
            f"sweep.strategies: '{label}' reads '{of_one[0]}' of one proxy of the whole pool, those of different folds "
            f"cannot be compared; {remedy}"
        )
    runs = [set(source.runs) for source in signal_runs if source.kind in ("proxy", "irreducible")]
    if len(runs) == 2 and runs[0] & runs[1]:
        raise ConfigError(f"sweep.strategies: '{label}' would subtract its twins' loss from itself; {remedy}")


def _ids(runs: Iterable[RunSpec]) -> tuple[str, ...]:
    return tuple(run.trial_id for run in runs)


class _ScoringRunMaker(RunMaker):
    """Plans the training runs that score the pool of one variant and seed."""

    def cross_fit(
        self,
        num_folds: int | None,
        repetitions: int,
        epochs: float,
        null: NullInputs | None = None,
        sample: int | None = None,
    ) -> list[RunSpec]:
        """Return whole-pool proxies, or those of a sample, or for m folds m a repetition, each without one of them."""
        model_seeds = [self.seed + _NEXT_PROXY * member for member in range(repetitions)]
        if num_folds is None:
            is_whole = sample is None or sample >= self.facts.base
            trains_on = All() if is_whole else SampleOf(examples=sample)
            return [self._proxy(trains_on, seed, epochs, null) for seed in model_seeds]
        parts = [AllButFold(num_folds=num_folds, fold=fold) for fold in range(num_folds)]
        return [self._proxy(part, seed, epochs, null) for seed in model_seeds for part in parts]

    def dynamics(self) -> RunSpec:
        """Return a run over the whole pool that stops at checkpoints: its passes are parts of a permutation."""
        settings, n = self.variant.config.selection.scorers.dynamics, self.facts.base
        part = math.ceil(settings.epochs * n / settings.checkpoints)
        steps = settings.checkpoints * math.ceil(part / self.variant.config.train.batch_size)
        spec = self._run(RandomEpoch(), steps, self.seed)
        return identified(
            replace(
                spec,
                role=PART,
                label=f"{PROXY}_dynamics",
                budget=Budget.of(part, self.facts.num_examples),
                checkpoints=settings.checkpoints,
            ),
            self.facts,
        )

    def _proxy(
        self, strategy: All | AllButFold | SampleOf, model_seed: int, epochs: float, null: NullInputs | None
    ) -> RunSpec:
        base, batch_size = self.facts.base, self.variant.config.train.batch_size
        inputs = strategy.takes(base)
        role, label = (PROXY, PROXY) if isinstance(strategy, All) else (PART, _LABELS[type(strategy)])
        if null is not None:
            inputs, label, role = inputs + max(1, round(base * NULLS_PER_EXAMPLE)), f"{PROXY}_null", PART
        steps = LengthConfig(epochs=epochs, min_steps=0).resolve(inputs, inputs, batch_size)
        spec = self._run(strategy, steps, model_seed)
        return identified(replace(spec, role=role, label=label, null=null), self.facts)

    def _run(self, strategy: Strategy, total_steps: int, model_seed: int) -> RunSpec:
        """Return a run without a budget or an id, for so many steps, evaluated at the end."""
        config = self.variant.config
        train = config.train.model_copy(
            update={
                "length": LengthConfig(steps=total_steps),
                "learning_rate": config.selection.proxy.learning_rate or config.train.learning_rate,
                "eval_every": total_steps,
                "start": StartConfig(),
            }
        )
        return RunSpec(
            trial_id="",
            role=PROXY,
            label=PROXY,
            strategy=compose(strategy),
            seed=self.seed,
            model_seed=model_seed,
            fold=self.variant.fold,
            budget=None,
            pool_size=self.facts.num_examples,
            total_steps=total_steps,
            grid={key: value for key, value in self.variant.grid.items() if key != "selection.budget"},
            config=config.model_copy(update={"train": train}),
            data_key=self.variant.data_key,
        )
