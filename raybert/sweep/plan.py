"""From a sweep file to the set of trials that it asks for: specifications, ids, and the signals they need."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

from raybert.config import (
    LengthConfig,
    RaybertConfig,
    StrategyConfig,
    dump_yaml,
    suggest,
    validate_config,
    with_value,
)
from raybert.errors import ConfigError, SweepError
from raybert.selection.registry import build_strategy, strategy_identity, strategy_label
from raybert.selection.store import content_key
from raybert.selection.strategy import Strategy

FORMAT = 1
"""Raised when the meaning of a trial's results changes: old results are then not taken for new ones."""

PROXY = "proxy"
PROXY_SIGNALS = frozenset({"probs", "features"})
KNOWN_SIGNALS = PROXY_SIGNALS | {"embeddings", "lengths"}
_NO_GRID = ("sweep", "resources", "name")
_EXECUTION_ONLY = ("sweep", "resources.concurrent_trials", "train.checkpoint_seconds", "name")


@dataclass(frozen=True)
class PoolFacts:
    """What a plan has to know of one prepared data set.

    Attributes:
        fingerprint: content of its token tables.
        encoder_fingerprint: content of the encoder's files.
        num_examples: pool size n.
        num_classes: C.
    """

    fingerprint: str
    encoder_fingerprint: str
    num_examples: int
    num_classes: int


@dataclass(frozen=True)
class Variant:
    """One point of the grid: its values by dotted key, and the configuration with them filled in."""

    grid: dict[str, Any]
    config: RaybertConfig

    @property
    def data_key(self) -> str:
        """Which prepared data set it trains on: the data section and the tokenizer decide."""
        encoder = self.config.model.model_dump(mode="json", exclude={"dropout"})
        return content_key({"data": self.config.data.model_dump(mode="json"), "encoder": encoder})


@dataclass(frozen=True)
class TrialSpec:
    """One training run, completely: what `trials/<id>/config.yaml` says.

    Attributes:
        trial_id: content hash of everything that its results depend on.
        role: `trial`, or `proxy`: trains on the whole pool to score it.
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
        proxies: trial ids of the proxies whose outputs it reads.
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
    proxies: tuple[str, ...] = ()

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
            "budget_kind": self.strategy.budget_kind,
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
    """The trials of a sweep, proxies first, then seed by seed."""

    trials: tuple[TrialSpec, ...]

    @property
    def proxies(self) -> tuple[TrialSpec, ...]:
        """The proxy runs."""
        return tuple(spec for spec in self.trials if spec.role == PROXY)


def expand_grid(config: RaybertConfig) -> list[Variant]:
    """Return every combination of the grid as a validated configuration.

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
    return variants


def build_strategies(config: RaybertConfig) -> list[tuple[str, Strategy]]:
    """Return the labelled strategies of a sweep file.

    Raises:
        ConfigError: a name or parameter is unknown, or two different strategies have one label.
    """
    labelled: dict[str, Strategy] = {}
    for i, entry in enumerate(config.sweep.strategies):
        path = f"sweep.strategies[{i}]"
        strategy = build_strategy(entry, path)
        unknown = sorted(strategy.required_signals() - KNOWN_SIGNALS)
        if unknown:
            raise ConfigError(
                f"{path}: '{entry.name}' needs the signal '{unknown[0]}', which a sweep does not compute"
                f"{suggest(unknown[0], KNOWN_SIGNALS)}"
            )
        label = entry.label or strategy_label(strategy)
        if label == PROXY:
            raise ConfigError(f"{path}.label: must not be '{PROXY}', which names the proxy runs in tables")
        if label in labelled and labelled[label] != strategy:
            raise ConfigError(f"{path}.label: must be unique, got '{label}' for two different strategies")
        labelled[label] = strategy
    return list(labelled.items())


def make_plan(config: RaybertConfig, pools: Mapping[str, PoolFacts]) -> Plan:
    """Return all trials that a sweep file asks for, each once.

    Args:
        config: the sweep file.
        pools: facts of every variant's prepared data, by `Variant.data_key`.

    Raises:
        ConfigError: a strategy, a grid value or a budget is not possible.
    """
    strategies = build_strategies(config)
    trials: dict[str, TrialSpec] = {}
    for seed in config.sweep.seeds:
        for variant in expand_grid(config):
            facts = pools[variant.data_key]
            for label, strategy in strategies:
                proxies = _plan_proxies(variant, facts, strategy, seed)
                trials.update({proxy.trial_id: proxy for proxy in proxies})
                spec = _plan_trial(variant, facts, label, strategy, seed, proxies)
                trials.setdefault(spec.trial_id, spec)
    ordered = sorted(trials.values(), key=lambda spec: spec.role != PROXY)
    return Plan(tuple(ordered))


def needs_proxy(strategy: Strategy) -> bool:
    """Tell whether a strategy reads outputs of proxy models before training starts."""
    return bool(strategy.required_signals() & PROXY_SIGNALS)


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
    proxies: Iterable[TrialSpec],
) -> TrialSpec:
    config, n = variant.config, facts.num_examples
    limited = strategy.budget_kind != "none"
    budget = config.selection.resolve(n) if limited else n
    grid = {key: value for key, value in variant.grid.items() if limited or key != "selection.budget"}
    spec = TrialSpec(
        trial_id="",
        role="trial",
        label=label,
        strategy=strategy,
        seed=seed,
        model_seed=seed,
        fold=0,
        budget=budget,
        pool=n,
        total_steps=config.train.length.resolve(budget, n, config.train.batch_size),
        grid=grid,
        config=config,
        data_key=variant.data_key,
        proxies=tuple(proxy.trial_id for proxy in proxies),
    )
    return _identified(spec, facts)


def _plan_proxies(variant: Variant, facts: PoolFacts, strategy: Strategy, seed: int) -> list[TrialSpec]:
    """Return the proxy runs whose outputs a strategy reads: whole pool, in-sample, scored after training."""
    if not needs_proxy(strategy):
        return []
    config, n = variant.config, facts.num_examples
    proxy = config.selection.proxy
    seed = seed if proxy.per_seed else 0
    length = LengthConfig(epochs=proxy.epochs, min_steps=0)
    total_steps = length.resolve(n, n, config.train.batch_size)
    train = config.train.model_copy(
        update={
            "length": LengthConfig(steps=total_steps),
            "learning_rate": proxy.learning_rate or config.train.learning_rate,
            "eval_every": total_steps,
        }
    )
    grid = {key: value for key, value in variant.grid.items() if key != "selection.budget"}
    spec = TrialSpec(
        trial_id="",
        role=PROXY,
        label=PROXY,
        strategy=build_strategy(StrategyConfig(name="all"), PROXY),
        seed=seed,
        model_seed=seed,
        fold=0,
        budget=n,
        pool=n,
        total_steps=total_steps,
        grid=grid,
        config=config.model_copy(update={"train": train}),
        data_key=variant.data_key,
    )
    # Further proxies of a seed must not repeat another seed's first one.
    model_seeds = [seed + 1_000_003 * member for member in range(proxy.num_seeds)]
    return [_identified(replace(spec, model_seed=model_seed), facts) for model_seed in model_seeds]


def _identified(spec: TrialSpec, facts: PoolFacts) -> TrialSpec:
    """Return the specification with its content hash as id."""
    config = spec.config
    resources = config.resources
    identity = {
        "format": FORMAT,
        "data": facts.fingerprint,
        "encoder": facts.encoder_fingerprint,
        "dropout": config.model.dropout,
        "train": config.train.model_dump(mode="json", exclude={"length", "checkpoint_seconds"}),
        "total_steps": spec.total_steps,
        "strategy": strategy_identity(spec.strategy),
        "role": spec.role,
        "budget": spec.budget,
        "seeds": [spec.seed, spec.model_seed],
        "fold": spec.fold,
        "proxies": spec.proxies,
        "embedding": config.selection.embedding.model_dump(mode="json")
        if "embeddings" in spec.strategy.required_signals()
        else None,
        "machine": [resources.workers_per_trial, resources.cpus_per_worker, resources.gpus_per_worker > 0],
    }
    return replace(spec, trial_id=content_key(identity)[:12])
