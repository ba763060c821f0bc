"""Which code of a user's own the results of runs stand on, by digest: what selects, trains, measures, augments."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from raybert.config import MetricConfig, RaybertConfig, SelectionConfig, TrainConfig, import_attribute
from raybert.config.augment import AugmentConfig
from raybert.config.code_digest import code_digest, library_digest
from raybert.selection.identity import own_classes
from raybert.selection.signals import needed_signals
from raybert.selection.strategy import Strategy
from raybert.sweeping.plan.design import Design

if TYPE_CHECKING:
    from raybert.sweeping.plan.specs import RunSpec


@dataclass(frozen=True)
class OwnCode:
    """A strategy, filter, signal, loss, metric, optimizer, schedule or augmentation of a user's own.

    Attributes:
        key: what it is kept under; another key is another thing, whose results are not compared.
        digest: of its code, as `code_digest` gives it; None: it cannot be read.
        what: it is, in words.
        remedy: by which its change is declared, in words; empty: there is none.
    """

    key: str
    digest: str | None
    what: str
    remedy: str = ""


_OF_TRAINING = ("loss", "optimizer", "schedule")
"""Sections of `train` whose `name` may be that of a user's own code."""


def code_of_design(design: Design) -> list[OwnCode]:
    """Return all code of a user's own that the runs of a sweep run."""
    strategies = [entry.strategy for entry in design.entries]
    found = [*_code_of(strategies, design.config.selection)]
    for train in trainings(design):
        found += _code_of_training(train)
    for variant in design.variants:
        found += _code_of_augmentation(variant.config.data.augment)
        found += code_of_models([variant.config.model.kind])
    return _unique([*found, *code_of_metrics(design.config.train.metrics)])


def code_of_run(spec: RunSpec) -> list[OwnCode]:
    """Return all code of a user's own that a run runs.

    Raises:
        ConfigError: what trains, measures or augments, or the model, cannot be imported.
    """
    code = [*_code_of([spec.strategy], spec.config.selection), *_code_of_training(spec.config.train)]
    code += [*_code_of_augmentation(spec.augment), *code_of_models([spec.config.model.kind])]
    return _unique([*code, *code_of_metrics(spec.config.train.metrics)])


def code_of_models(kinds: Iterable[str]) -> list[OwnCode]:
    """Return the code of models of a user's own, which are imported.

    Raises:
        ConfigError: one cannot be.
    """
    found = {kind: import_attribute(kind, "model.kind") for kind in kinds if ":" in kind}
    return [
        OwnCode(f"model {kind}", code_digest(own, kind), f"the code of model.kind '{kind}'")
        for kind, own in found.items()
    ]


def code_of_training(train: TrainConfig) -> str | None:
    """Return the digests of the code that a training runs; None: it is raybert's, or cannot be read."""
    found = [one.digest for one in _code_of_training(train) if one.digest is not None]
    return " ".join(found) or None


def trainings(design: Design) -> list[TrainConfig]:
    """Return the training of every point of the grid, and of each of them with every choice of a search."""
    documents = [variant.config for variant in design.variants]
    tune = design.config.sweep.tune
    for key, domain in (tune.space if tune is not None else {}).items():
        section, _, rest = key.removeprefix("train.").partition(".")
        if key.startswith("train.") and section in _OF_TRAINING and rest in ("", "name"):
            documents += [_with_choice(design.variants[0].config, section, value) for value in domain.choice or ()]
    return list({config.train.model_dump_json(): config.train for config in documents}.values())


def _with_choice(config: RaybertConfig, section: str, value: Any) -> RaybertConfig:
    """Return a configuration with another section of `train`; a search may have to change more keys with it."""
    kind = type(getattr(config.train, section))
    chosen = kind.model_validate(value if isinstance(value, Mapping) else {"name": value})
    train = config.train.model_copy(update={section: chosen})
    return config.model_copy(update={"train": train})


def _code_of_training(train: TrainConfig) -> Iterator[OwnCode]:
    for section in _OF_TRAINING:
        name, path = getattr(train, section).name, f"train.{section}.name"
        if ":" in name:
            code = code_digest(import_attribute(name, path), name)
            yield OwnCode(f"{section} {name}", code, f"the code of {path} '{name}'")


def code_of_metrics(metrics: Iterable[MetricConfig]) -> list[OwnCode]:
    """Return the code of metrics, which are imported.

    Raises:
        ConfigError: one cannot be.
    """
    found = {metric.function: import_attribute(metric.function, "train.metrics") for metric in metrics}
    codes = {name: library_digest(own, name) or code_digest(own, name) for name, own in found.items()}
    return [OwnCode(f"metric {name}", code, f"the code of train.metrics '{name}'") for name, code in codes.items()]


def changed(now: Iterable[OwnCode], then: Mapping[str, str]) -> list[OwnCode]:
    """Return what has another digest than it had; what is not known of one of the two times is not among them."""
    return [one for one in now if one.digest is not None and one.digest != then.get(one.key, one.digest)]


def digests(code: Iterable[OwnCode]) -> dict[str, str]:
    """Return key -> digest of all code that can be read, to be kept."""
    return {one.key: one.digest for one in code if one.digest is not None}


def names_of_code(design: Design, code: Iterable[OwnCode]) -> list[str]:
    """Return all code that a sweep runs and that is not raybert's or its packages', in words, for who reads of it."""
    trusted = {variant.config.model.encoder for variant in design.variants if variant.config.model.trust_remote_code}
    return [*(one.key for one in code), *(f"code that comes with the model {name}" for name in sorted(trusted))]


def _unique(code: Iterable[OwnCode]) -> list[OwnCode]:
    return list({one.key: one for one in code}.values())


def _code_of(strategies: Iterable[Strategy], selection: SelectionConfig) -> Iterator[OwnCode]:
    for strategy in strategies:
        for kind in own_classes(strategy):
            name, rule = f"{kind.__module__}:{kind.__qualname__}", kind.rule_version
            key = f"strategy {name}" + (f" rule {rule}" if rule > 1 else "")
            remedy = f"raise the class's `rule_version` to {rule + 1} (its trials are then run again)"
            yield OwnCode(key, code_digest(kind), f"the code of strategy '{name}'", remedy)
        for signal in needed_signals(strategy.all_signals(), selection):
            if signal.is_own and signal.text is not None and not signal.text.version:
                code, remedy = code_digest(type(signal.text)), "give its class a `version` (trials are then run again)"
                yield OwnCode(f"signal {signal.name}", code, f"the code of signal '{signal.name}'", remedy)


def _code_of_augmentation(augment: AugmentConfig | None) -> Iterator[OwnCode]:
    if augment is not None and augment.is_own:
        digest = code_digest(import_attribute(augment.name, "data.augment.name"), augment.name)
        yield OwnCode(f"augmentation {augment.name}", digest, f"the code of data.augment.name '{augment.name}'")
