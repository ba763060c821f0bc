"""From a sweep file to the set of trials that it asks for: specifications, ids, and the signals they need."""

from __future__ import annotations

import dataclasses
import difflib
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any, Literal

from raybert.config import (
    LengthConfig,
    RaybertConfig,
    dump_yaml,
    suggest,
    validate_config,
    with_value,
)
from raybert.data.nulls import NULLS_PER_EXAMPLE
from raybert.errors import ConfigError, SweepError
from raybert.selection.registry import build_strategy, strategy_identity, strategy_label
from raybert.selection.store import content_key
from raybert.selection.strategies import All, RandomEpoch
from raybert.selection.strategies.baselines import AllButFold
from raybert.selection.strategy import NullInputs, Strategy

FORMAT = 1
"""Raised when the meaning of a trial's results changes: old results are then not taken for new ones."""

TRIAL, PROXY, PART = "trial", "proxy", "part"
"""Roles of a run: a proxy is a row of the comparison, a part of a cross-fit (or the like) is not."""
PROXY_SIGNALS = frozenset({"probs", "feature_norms", "null_probs"})
TEXT_SIGNALS = frozenset({"lexical", "readability", "perplexity"})
EMBEDDING_SIGNALS = frozenset({"embeddings", "aflite"})
"""The embeddings, and what is computed from them."""
KNOWN_SIGNALS = (
    PROXY_SIGNALS | TEXT_SIGNALS | EMBEDDING_SIGNALS | {"dynamics", "heldout_probs", "irreducible_loss", "lengths"}
)
_NO_GRID = ("sweep", "resources", "limits", "name", "selection.store")
_EXECUTION_ONLY = (
    "sweep",
    "limits",
    "resources.concurrent_trials",
    "train.checkpoint_seconds",
    "selection.store",
    "monitor",
    "name",
)
_TWINS = 2
_NOTHING = object()

SourceKind = Literal["proxy", "heldout", "irreducible", "dynamics"]


@dataclass(frozen=True)
class PoolFacts:
    """What a plan has to know of one prepared data set.

    Attributes:
        fingerprint: content of its token tables.
        encoder_fingerprint: content of the encoder's files.
        num_examples: pool size n.
        num_classes: C.
        smallest_pool: of all folds; budgets and steps are counted from it, so that they are the same in every fold.
            None: there are no folds.
    """

    fingerprint: str
    encoder_fingerprint: str
    num_examples: int
    num_classes: int
    smallest_pool: int | None = None

    @property
    def base(self) -> int:
        """The pool size that fractions of a budget and epochs refer to."""
        return self.num_examples if self.smallest_pool is None else self.smallest_pool


@dataclass(frozen=True)
class Variant:
    """One point of the grid in one fold.

    Attributes:
        grid: its values by dotted key.
        config: the configuration with them filled in.
        fold: of the cross-validation (0 without).
    """

    grid: dict[str, Any]
    config: RaybertConfig
    fold: int = 0

    @property
    def data_key(self) -> str:
        """Which prepared data set it trains on: the data section, the fold and the tokenizer decide."""
        folds = self.config.data.folds
        data = self.config.data.model_dump(mode="json", exclude={"folds"})
        parts = {"data": data, "encoder": self.config.model.data_part()}
        return content_key(parts | ({"fold": [self.fold, folds]} if folds else {}))


@dataclass(frozen=True)
class Source:
    """Training runs whose outputs are a signal.

    Attributes:
        kind: which signals they give: `proxy` (probs, feature_norms, null_probs), `heldout` (heldout_probs),
            `irreducible` (irreducible_loss), `dynamics`.
        runs: their trial ids, repetition by repetition, fold by fold.
        num_folds: m of a cross-fit; None: every run saw the whole pool.
        null: which null the runs saw in training besides.
    """

    kind: SourceKind
    runs: tuple[str, ...]
    num_folds: int | None = None
    null: NullInputs | None = None


@dataclass(frozen=True)
class TrialSpec:
    """One training run, completely: what `trials/<id>/config.yaml` says.

    Attributes:
        trial_id: content hash of everything that its results depend on.
        role: `trial`; `proxy`: trains on the whole pool to score it; `part`: another run that only serves a score.
        label: the strategy's name in tables.
        strategy: with its parameters.
        seed: of the sweep; pairs trials of different strategies.
        model_seed: of head, order and dropout.
        fold: cross-validation fold (0 without).
        budget: examples, resolved.
        pool: pool size.
        total_steps: optimizer steps T.
        grid: the varied hyperparameters by dotted key.
        config: the resolved configuration.
        data_key: which prepared data set.
        sources: the runs whose outputs it reads.
        null: which null is among its training inputs (proxies of IFD).
        checkpoints: at how many points of the run the pool is scored (dynamics).
    """

    trial_id: str
    role: str
    label: str
    strategy: Strategy
    seed: int
    model_seed: int
    fold: int
    budget: int
    pool: int
    total_steps: int
    grid: dict[str, Any]
    config: RaybertConfig
    data_key: str
    sources: tuple[Source, ...] = ()
    null: NullInputs | None = None
    checkpoints: int | None = None

    @property
    def proxies(self) -> tuple[str, ...]:
        """Trial ids of all runs whose outputs it reads."""
        return tuple(run for source in self.sources for run in source.runs)

    @property
    def replicate(self) -> str:
        """Which seed, and which fold if there are folds, in words."""
        return f"seed {self.seed}" + (f" fold {self.fold}" if self.config.data.folds else "")

    def summary(self) -> dict[str, Any]:
        """Return its line of `plan.json`."""
        return {
            "trial_id": self.trial_id,
            "role": self.role,
            "strategy": self.label,
            "seed": self.seed,
            "fold": self.fold,
            "budget": self.budget,
            "pool": self.pool,
            "budget_kind": self.strategy.spends(),
            "total_steps": self.total_steps,
            "grid": self.grid,
        }

    def to_yaml(self) -> str:
        """Return the whole specification as YAML."""
        head = {**self.summary(), "strategy_parameters": strategy_identity(self.strategy)}
        lines = [f"# {key}: {value}" for key, value in head.items()]
        return "\n".join(lines) + "\n" + dump_yaml(self.config)


@dataclass(frozen=True)
class Plan:
    """The trials of a sweep, runs that others read first, then seed by seed."""

    trials: tuple[TrialSpec, ...]

    @property
    def proxies(self) -> tuple[TrialSpec, ...]:
        """The runs whose outputs are signals."""
        return tuple(spec for spec in self.trials if spec.role != TRIAL)


def expand_grid(config: RaybertConfig) -> list[Variant]:
    """Return every combination of the grid as a validated configuration, fold by fold.

    Raises:
        ConfigError: a key of the grid is unknown or a value is not allowed.
    """
    document = config.model_dump(mode="json")
    variants = []
    for key in config.sweep.grid:
        if key.split(".")[0] in _NO_GRID:
            raise ConfigError(f"sweep.grid.{key}: must be a key of data, model, train or selection")
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
    labelled: dict[str, Strategy] = {}
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
    return list(labelled.items())


def _are_same(one: Strategy, other: Strategy) -> bool:
    return strategy_identity(one) == strategy_identity(other)


def make_plan(config: RaybertConfig, pools: Mapping[str, PoolFacts]) -> Plan:
    """Return all trials that a sweep file asks for, each once.

    Args:
        config: the sweep file.
        pools: facts of every variant's prepared data, by `Variant.data_key`.

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
            facts = _facts_of(variant, variants, pools)
            for label, strategy in strategies:
                sources = []
                for source, runs in _plan_sources(variant, facts, strategy, seed):
                    sources.append(source)
                    for run in runs:
                        add(run)
                _check_sources(label, strategy, variant.config, sources)
                add(_plan_trial(variant, facts, label, strategy, seed, tuple(sources)))
    ordered = sorted(trials.values(), key=lambda spec: spec.role == TRIAL)
    return Plan(tuple(ordered))


def _facts_of(variant: Variant, variants: Iterable[Variant], pools: Mapping[str, PoolFacts]) -> PoolFacts:
    facts = pools[variant.data_key]
    if variant.config.data.folds is None:
        return facts
    folds = [pools[other.data_key].num_examples for other in variants if other.grid == variant.grid]
    return replace(facts, smallest_pool=min(folds))


def check_extension(old: RaybertConfig, new: RaybertConfig) -> None:
    """Refuse a file that changes what finished trials of a folder mean.

    More (or fewer) strategies, seeds and grid values are fine.

    Raises:
        SweepError: with the differing lines.
    """
    before, after = (_comparable(config) for config in (old, new))
    if before == after:
        return
    lines = difflib.unified_diff(before, after, "finished trials", "this file", lineterm="", n=0)
    changes = "\n".join(line for line in lines if not line.startswith(("---", "+++", "@@")))
    raise SweepError(
        "the sweep file differs from the one that this folder belongs to in more than strategies, seeds and "
        f"grid values; give --output a new folder, or take the change back:\n{changes}"
    )


def _comparable(config: RaybertConfig) -> list[str]:
    flat = flatten(config.model_dump(mode="json"))
    return [
        f"{key}: {value}"
        for key, value in sorted(flat.items())
        if not any(key == skip or key.startswith(skip + ".") for skip in _EXECUTION_ONLY)
    ]


def flatten(document: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested mappings as one mapping of dotted keys."""
    flat: dict[str, Any] = {}
    for key, value in document.items():
        path = f"{prefix}{key}"
        flat.update(flatten(value, f"{path}.") if isinstance(value, Mapping) else {path: value})
    return flat


def _plan_trial(
    variant: Variant,
    facts: PoolFacts,
    label: str,
    strategy: Strategy,
    seed: int,
    sources: tuple[Source, ...],
) -> TrialSpec:
    config, n = variant.config, facts.num_examples
    limited = strategy.spends() != "none"
    budget = config.selection.resolve(facts.base) if limited else n
    grid = {key: value for key, value in variant.grid.items() if limited or key != "selection.budget"}
    spec = TrialSpec(
        trial_id="",
        role=TRIAL,
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
    return _identified(spec, facts)


def _plan_sources(
    variant: Variant, facts: PoolFacts, strategy: Strategy, seed: int
) -> Iterator[tuple[Source, list[TrialSpec]]]:
    """Yield what a strategy reads of other runs, with these runs."""
    selection, needs = variant.config.selection, strategy.all_signals()
    proxy = selection.proxy
    maker = _RunMaker(variant, facts, seed if proxy.per_seed else 0)
    embeds_by_proxy = bool(needs & EMBEDDING_SIGNALS) and selection.embedding.source == "proxy"
    if needs & PROXY_SIGNALS or embeds_by_proxy:
        null = strategy.null_inputs()
        runs = maker.cross_fit(proxy.folds, proxy.num_seeds, proxy.epochs, null)
        yield Source("proxy", _ids(runs), proxy.folds, null), runs
    if "heldout_probs" in needs:
        heldout = selection.scorers.heldout
        runs = maker.cross_fit(heldout.folds, 1, heldout.epochs)
        yield Source("heldout", _ids(runs), heldout.folds), runs
    if "irreducible_loss" in needs:
        runs = maker.cross_fit(_TWINS, 1, selection.scorers.irreducible.epochs)
        yield Source("irreducible", _ids(runs), _TWINS), runs
    if "dynamics" in needs:
        run = maker.dynamics()
        yield Source("dynamics", (run.trial_id,)), [run]


def _check_sources(label: str, strategy: Strategy, config: RaybertConfig, sources: Sequence[Source]) -> None:
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
    if any(source.kind == "proxy" and source.null for source in sources):
        raise ConfigError(
            f"sweep.strategies: '{label}' compares with a null that proxies of the whole pool have seen; {remedy}"
        )
    if strategy.all_signals() & EMBEDDING_SIGNALS and config.selection.embedding.source == "proxy":
        raise ConfigError(
            f"selection.embedding.source: proxy needs one proxy of the whole pool for '{label}': the embeddings of "
            f"different folds cannot be compared; {remedy}"
        )
    runs = [set(source.runs) for source in sources if source.kind in ("proxy", "irreducible")]
    if len(runs) == 2 and runs[0] & runs[1]:
        raise ConfigError(f"sweep.strategies: '{label}' would subtract its twins' loss from itself; {remedy}")


def _ids(runs: Iterable[TrialSpec]) -> tuple[str, ...]:
    return tuple(run.trial_id for run in runs)


@dataclass(frozen=True)
class _RunMaker:
    """Plans the training runs that score the pool of one variant and seed."""

    variant: Variant
    facts: PoolFacts
    seed: int

    def cross_fit(
        self, num_folds: int | None, repetitions: int, epochs: float, null: NullInputs | None = None
    ) -> list[TrialSpec]:
        """Return whole-pool proxies, or for m folds m proxies a repetition, each without one of them."""
        # Further proxies of a seed must not repeat another seed's first one.
        model_seeds = [self.seed + 1_000_003 * member for member in range(repetitions)]
        folds = range(num_folds) if num_folds else (None,)
        return [self._proxy(seed, num_folds, fold, epochs, null) for seed in model_seeds for fold in folds]

    def dynamics(self) -> TrialSpec:
        """Return a run over the whole pool that stops at checkpoints: its passes are parts of a permutation."""
        settings, n = self.variant.config.selection.scorers.dynamics, self.facts.base
        part = math.ceil(settings.epochs * n / settings.checkpoints)
        steps = settings.checkpoints * math.ceil(part / self.variant.config.train.batch_size)
        spec = self._run(f"{PROXY}_dynamics", PART, RandomEpoch(), part, steps, self.seed)
        return _identified(replace(spec, checkpoints=settings.checkpoints), self.facts)

    def _proxy(
        self, model_seed: int, num_folds: int | None, fold: int | None, epochs: float, null: NullInputs | None
    ) -> TrialSpec:
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
        return _identified(replace(self._run(label, role, strategy, budget, steps, model_seed), null=null), self.facts)

    def _run(
        self, label: str, role: str, strategy: Strategy, budget: int, total_steps: int, model_seed: int
    ) -> TrialSpec:
        config = self.variant.config
        train = config.train.model_copy(
            update={
                "length": LengthConfig(steps=total_steps),
                "learning_rate": config.selection.proxy.learning_rate or config.train.learning_rate,
                "eval_every": total_steps,
            }
        )
        return TrialSpec(
            trial_id="",
            role=role,
            label=label,
            strategy=strategy,
            seed=self.seed,
            model_seed=model_seed,
            fold=self.variant.fold,
            budget=budget,
            pool=self.facts.num_examples,
            total_steps=total_steps,
            grid={key: value for key, value in self.variant.grid.items() if key != "selection.budget"},
            config=config.model_copy(update={"train": train}),
            data_key=self.variant.data_key,
        )


def _identified(spec: TrialSpec, facts: PoolFacts) -> TrialSpec:
    """Return the specification with its content hash as id."""
    config, needs = spec.config, spec.strategy.all_signals()
    resources = config.resources
    reads_embeddings = bool(needs & EMBEDDING_SIGNALS)
    identity = {
        "format": FORMAT,
        "data": facts.fingerprint,
        "encoder": facts.encoder_fingerprint,
        "model": config.model.task(),
        "train": config.train.model_dump(mode="json", exclude={"length", "checkpoint_seconds"}),
        "total_steps": spec.total_steps,
        "strategy": strategy_identity(spec.strategy),
        "role": spec.role,
        "budget": spec.budget,
        "seeds": [spec.seed, spec.model_seed],
        "fold": spec.fold,
        "sources": [dataclasses.asdict(source) for source in spec.sources],
        "null": spec.null,
        "checkpoints": spec.checkpoints,
        "embedding": config.selection.embedding.model_dump(mode="json") if reads_embeddings else None,
        "perplexity": config.selection.scorers.perplexity.model_dump(mode="json") if "perplexity" in needs else None,
        "machine": [resources.workers_per_trial, resources.cpus_per_worker, resources.gpus_per_worker > 0],
    }
    return replace(spec, trial_id=content_key(identity)[:12])
