"""From `sweep.tune.space` to checked search spaces: every end and every choice is tried on the schema first."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import combinations
from typing import Any

from raybert.config import DomainConfig, RaybertConfig, TuneConfig, suggest, suggest_place
from raybert.config.encoder_pretraining import OF_NO_RESULT
from raybert.errors import ConfigError
from raybert.selection.compose import compose, read_parameter
from raybert.selection.strategy import Strategy
from raybert.sweeping.plan.entries import Entry
from raybert.sweeping.plan.grid import Variant
from raybert.sweeping.plan.search_space import Domain, SearchSpace, parameter_of, strategy_of

_SECTIONS = ("train", "model", "pretrain", "selection")
_FIXED = {
    "train.best_metric": "decides what is searched for; see `sweep.tune.metric`",
    "train.metrics": "says what every run measures",
    "train.precision": "is also what signals are computed in",
    "train.checkpoint_seconds": "changes no result",
    "train.checkpoints": "changes no result",
    "train.start": "decides what a run goes on from",
    "model.kind": "decides what the data are",
    "model.encoder": "decides what the data are",
    "pretrain.corpus": "decides what the encoder is pretrained on, which is read before the search",
    **{f"pretrain.{key}": "changes no result" for key in OF_NO_RESULT},
}
"""Keys that must be the same in all runs, and why."""


def search_spaces(
    config: RaybertConfig, tune: TuneConfig, entries: Sequence[Entry], variants: Sequence[Variant]
) -> dict[str, SearchSpace]:
    """Return the search space of every strategy by label; with `sweep.tune.shared` all of them have one.

    Args:
        config: the sweep file.
        tune: its section `sweep.tune`.
        entries: its strategies.
        variants: the points of its grid.

    Raises:
        ConfigError: a key cannot be searched, or a value at the ends of the space is not allowed.
    """
    labels = tuple(entry.label for entry in entries)
    _check_sampler(tune)
    domains: dict[str, Domain] = {}
    for key, domain in tune.space.items():
        _check_key(key, labels, config, tune)
        owner = strategy_of(key, labels)
        users = [entry for entry in entries if owner in (None, entry.label)]
        kinds = [_Attempt(entry, variants).check(key, domain, tune.space) for entry in users]
        domains[key] = Domain(key, domain, all(kinds))
        for other, values in domain.when.items():
            outside = [value for value in values if not domains[other].contains(value)]
            if outside:
                rule = f"must be {domains[other].describe()}, as in `space`"
                raise ConfigError(f"sweep.tune.space.{key}.when.{other}: {rule}, got {outside[0]!r}")
    _check_pairs(tune.space, entries, variants[0])
    if tune.shared:
        return dict.fromkeys(labels, SearchSpace(_ordered(domains.values(), labels, None), labels))
    return {label: SearchSpace(_ordered(domains.values(), labels, label)) for label in labels}


def _check_sampler(tune: TuneConfig) -> None:
    """Refuse a sampler whose package is not there.

    Raises:
        ConfigError: says what to install.
    """
    if tune.sampler == "cmaes" and importlib.util.find_spec("cmaes") is None:
        raise ConfigError("sweep.tune.sampler: cmaes needs a package: pip install 'raybert[cmaes]'")


def _ordered(domains: Any, labels: tuple[str, ...], label: str | None) -> tuple[Domain, ...]:
    """Return the keys that concern a strategy (None: any), those of all strategies first."""
    owned = [(strategy_of(domain.key, labels), domain) for domain in domains]
    mine = [(owner, domain) for owner, domain in owned if owner is None or label in (None, owner)]
    of_all = [domain for owner, domain in mine if owner is None and not _parents_owned(domain, labels)]
    rest = [domain for _, domain in mine if domain not in of_all]
    return (*of_all, *rest)


def _parents_owned(domain: Domain, labels: tuple[str, ...]) -> bool:
    return any(strategy_of(key, labels) is not None for key in domain.config.when)


def _check_key(key: str, labels: tuple[str, ...], config: RaybertConfig, tune: TuneConfig) -> None:
    """Refuse a key that runs of one search must not differ in."""
    path = f"sweep.tune.space.{key}"
    if key.startswith("strategies."):
        if strategy_of(key, labels) is None:
            name = key.removeprefix("strategies.").rpartition(".")[0] or key.removeprefix("strategies.")
            raise ConfigError(f"{path}: unknown strategy '{name}'{suggest(name, labels)}")
        return
    if key.partition(".")[0] not in _SECTIONS:
        hint = suggest_place(key) or suggest(key.partition(".")[0], (*_SECTIONS, "strategies"))
        raise ConfigError(
            f"{path}: must be a key of train, model, pretrain or selection, or strategies.<label>.<parameter>{hint}"
        )
    for other in config.sweep.grid:
        if _overlap(key, other):
            raise ConfigError(f"{path}: must be left out, sweep.grid has `{other}`")
    for fixed, reason in _FIXED.items():
        if _overlap(key, fixed):
            raise ConfigError(f"{path}: must be the same in all runs, because it {reason}")
    if key.partition(".")[0] == "pretrain" and config.pretrain is None:
        raise ConfigError(
            f"{path}: must have a section `pretrain` beside it, which has the corpus and the other keys; write "
            "`pretrain: {length: {steps: 0}}` to leave the encoder as it is where nothing is searched"
        )
    if key.partition(".")[0] == "pretrain" and config.resources.workers_per_trial > 1:
        raise ConfigError(
            f"{path}: must be left out with resources.workers_per_trial > 1: runs of a search pretrain their encoders "
            f"in one process, got {config.resources.workers_per_trial}"
        )
    if tune.length is not None and _overlap(key, "train.length"):
        raise ConfigError(f"{path}: must be left out with `sweep.tune.length`, which says how long its runs are")
    if key == "selection.budget" and tune.pool_fraction is not None:
        raise ConfigError(f"{path}: must be left out with `pool_fraction`, on which a budget means another one")
    if key.startswith("selection.") and key != "selection.budget":
        raise ConfigError(
            f"{path}: must be the same in all runs, because signals are computed once, before the search; write the "
            "values to compare into sweep.grid"
        )


def _overlap(one: str, other: str) -> bool:
    return one == other or one.startswith(f"{other}.") or other.startswith(f"{one}.")


@dataclass(frozen=True)
class _Attempt:
    """Tries values of the space on one strategy, at every point of the grid."""

    entry: Entry
    variants: Sequence[Variant]

    def check(self, key: str, domain: DomainConfig, space: Mapping[str, DomainConfig]) -> bool:
        """Return whether the key takes whole numbers only, after every end was found to be allowed."""
        path = f"sweep.tune.space.{key}"
        found = []
        for value in Domain(key, domain).edges():
            for values in _with_conditions(key, value, space):
                for variant in self.variants:
                    found.append(self._try(path, key, values, variant))
        if domain.choice is not None:
            return False
        takes_integers = all(type(value) is int for value in found)
        if takes_integers and domain.int is False:
            raise ConfigError(f"{path}.int: must be true, the key takes whole numbers only")
        if not takes_integers and not domain.int:
            return False
        for name in ("low", "high", "step"):
            if int(getattr(domain, name) or 0) != (getattr(domain, name) or 0):
                raise ConfigError(f"{path}.{name}: must be a whole number, as the key is, got {getattr(domain, name)}")
        return True

    def _try(self, path: str, key: str, values: Mapping[str, Any], variant: Variant) -> Any:
        """Return the value of the key as the schema reads it."""
        try:
            strategy, tuned = self.entry.with_values(variant, values)
        except ConfigError as error:
            raise ConfigError(f"{path}: {str(error).removeprefix(f'{key}: ')}") from None
        if tuned.data_key != variant.data_key:
            raise ConfigError(f"{path}: must be the same in all runs, because it decides what the data are")
        before = self.entry.strategy
        if strategy.all_signals() != before.all_signals() or _reads(strategy) != _reads(before):
            raise ConfigError(
                f"{path}: must not change which signals '{self.entry.label}' needs, which are computed once, before "
                "the search; write the values as separate entries of sweep.strategies"
            )
        if key.startswith("strategies."):
            return read_parameter(strategy, parameter_of(key, self.entry.label))
        return _read(tuned.config, key)


def _check_pairs(space: Mapping[str, DomainConfig], entries: Sequence[Entry], variant: Variant) -> None:
    """Try the ends of every two keys of a section together: a section has rules between its keys.

    Raises:
        ConfigError: two values cannot be together, and would end the search when they are suggested.
    """
    labels = tuple(entry.label for entry in entries)
    for one, other in combinations(space, 2):
        if one.rpartition(".")[0] != other.rpartition(".")[0]:
            continue
        owner = strategy_of(one, labels)
        entry = next(entry for entry in entries if owner in (None, entry.label))
        for values in _together(one, other, space):
            try:
                entry.with_values(variant, values)
            except ConfigError as error:
                raise ConfigError(
                    f"sweep.tune.space.{other}: must be allowed with every value of {one}, got {values}: {error}; say "
                    "with `when` where it is searched"
                ) from None


def _together(one: str, other: str, space: Mapping[str, DomainConfig]) -> Iterator[dict[str, Any]]:
    """Yield the ends of two keys, and of those that they depend on, as far as they can be in one suggestion."""
    first, second = (
        [values for end in Domain(key, space[key]).edges() for values in _with_conditions(key, end, space)]
        for key in (one, other)
    )
    for values in first:
        for more in second:
            if all(values[key] == more[key] for key in values.keys() & more.keys()):
                yield {**values, **more}


def _reads(strategy: Strategy) -> tuple[Any, ...]:
    return strategy.null_inputs(), compose(strategy).schedule


def _read(owner: Any, dotted: str) -> Any:
    return reduce(lambda value, name: getattr(value, name, None), dotted.split("."), owner)


def _with_conditions(key: str, value: Any, space: Mapping[str, DomainConfig]) -> Iterator[dict[str, Any]]:
    """Yield the value together with the values of other keys under which it is searched."""
    conditions = [{}]  # type: list[dict[str, Any]]
    for other, allowed in space[key].when.items():
        conditions = [
            {**known, **parents}
            for known in conditions
            for choice in allowed
            for parents in _with_conditions(other, choice, space)
        ]
    for known in conditions:
        yield {**known, key: value}
