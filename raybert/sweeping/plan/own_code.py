"""Which code of a user's own the results of runs stand on, by digest: strategies, signals, losses, augmentations."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from raybert.config import SelectionConfig, import_attribute
from raybert.config.augment import AugmentConfig
from raybert.config.code_digest import code_digest
from raybert.selection.identity import own_classes
from raybert.selection.signals import needed_signals
from raybert.selection.strategy import Strategy
from raybert.sweeping.plan.design import Design

if TYPE_CHECKING:
    from raybert.sweeping.plan.specs import RunSpec


@dataclass(frozen=True)
class OwnCode:
    """A strategy, filter, signal, loss or augmentation of a user's own.

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


def code_of_design(design: Design) -> list[OwnCode]:
    """Return all code of a user's own that the runs of a sweep run."""
    strategies = [entry.strategy for entry in design.entries]
    augmentations = (variant.config.data.augment for variant in design.variants)
    return _unique(
        [
            *_code_of(strategies, design.config.selection, _losses_of(design)),
            *(one for augment in augmentations for one in _code_of_augmentation(augment)),
        ]
    )


def code_of_run(spec: RunSpec) -> list[OwnCode]:
    """Return all code of a user's own that a run runs.

    Raises:
        ConfigError: its loss or augmentation cannot be imported.
    """
    code = _code_of([spec.strategy], spec.config.selection, [spec.config.train.loss.name])
    return _unique([*code, *_code_of_augmentation(spec.augment)])


def code_of_loss(name: str) -> str | None:
    """Return the digest of the code of a loss; None: it is raybert's, or cannot be read."""
    if ":" not in name:
        return None
    return code_digest(import_attribute(name, "train.loss.name"), name)


def changed(now: Iterable[OwnCode], then: Mapping[str, str]) -> list[OwnCode]:
    """Return what has another digest than it had; what is not known of one of the two times is not among them."""
    return [one for one in now if one.digest is not None and one.digest != then.get(one.key, one.digest)]


def digests(code: Iterable[OwnCode]) -> dict[str, str]:
    """Return key -> digest of all code that can be read, to be kept."""
    return {one.key: one.digest for one in code if one.digest is not None}


def _unique(code: Iterable[OwnCode]) -> list[OwnCode]:
    return list({one.key: one for one in code}.values())


def _code_of(strategies: Iterable[Strategy], selection: SelectionConfig, losses: Iterable[str]) -> Iterator[OwnCode]:
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
    for name in losses:
        if ":" in name:
            yield OwnCode(f"loss {name}", code_of_loss(name), f"the code of train.loss.name '{name}'")


def _code_of_augmentation(augment: AugmentConfig | None) -> Iterator[OwnCode]:
    if augment is not None and augment.is_own:
        digest = code_digest(import_attribute(augment.name, "data.augment.name"), augment.name)
        yield OwnCode(f"augmentation {augment.name}", digest, f"the code of data.augment.name '{augment.name}'")


def _losses_of(design: Design) -> Iterator[str]:
    """Yield the names of all losses that a sweep may train with."""
    yield from (variant.config.train.loss.name for variant in design.variants)
    tune = design.config.sweep.tune
    for key, domain in (tune.space if tune is not None else {}).items():
        if key in ("train.loss", "train.loss.name"):
            yield from (value["name"] if isinstance(value, Mapping) else value for value in domain.choice or ())
