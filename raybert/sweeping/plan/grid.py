"""The grid of a sweep file: every combination of its values as a configuration of its own, fold by fold."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

from raybert.config import RaybertConfig, validate_config, with_value
from raybert.config.encoder_pretraining import OF_NO_RESULT
from raybert.errors import ConfigError
from raybert.files import content_key
from raybert.sweeping.plan.specs import PoolFacts

_NO_GRID = (
    "sweep",
    "resources",
    "limits",
    "monitor",
    "track",
    "name",
    "selection.store",
    "data.extra_tests",
    "model.kind",
    "train.metrics",
    *(f"pretrain.{key}" for key in OF_NO_RESULT),
)
"""Keys that no trial differs in, or on which the defaults of others depend."""


@dataclass(frozen=True)
class Variant:
    """One point of the grid in one fold.

    Attributes:
        grid: its values by dotted key.
        config: the configuration with them filled in.
        fold: of the cross-validation (0 without).
        before_tuning: the configuration before a search filled in values; None: none has. Its `pretrain` is that of
            the encoder behind signals.
    """

    grid: dict[str, Any]
    config: RaybertConfig
    fold: int = 0
    before_tuning: RaybertConfig | None = None

    @property
    def data_key(self) -> str:
        """Which prepared data set it trains on: the data section, the fold and the encoder decide."""
        folds = self.config.data.folds
        data = self.config.data.identity()
        parts: dict[str, Any] = {"data": data, "encoder": self.config.model.data_part()}
        pretrain = (self.before_tuning or self.config).pretrain
        if pretrain is not None:
            parts["pretrain"] = pretrain.data_part()
        return content_key(parts | ({"fold": [self.fold, folds]} if folds else {}))

    def without_pretraining(self) -> Variant:
        """Return the same point with the encoder as `model.encoder` names it."""
        return replace(self, config=self.config.model_copy(update={"pretrain": None}), before_tuning=None)


def expand_grid(config: RaybertConfig) -> tuple[Variant, ...]:
    """Return every combination of the grid as a validated configuration, fold by fold.

    Raises:
        ConfigError: a key of the grid is unknown or a value is not allowed.
    """
    document = config.model_dump(mode="json")
    variants = []
    for key in config.sweep.grid:
        if any(key == part or key.startswith(f"{part}.") for part in _NO_GRID):
            raise ConfigError(
                f"sweep.grid.{key}: must be a key of data, model, pretrain, train or selection that trials may "
                "differ in"
            )
    for values in product(*config.sweep.grid.values()):
        grid = dict(zip(config.sweep.grid, values, strict=True))
        filled = document
        for key, value in grid.items():
            filled = with_value(filled, key, value)
        try:
            variant = validate_config({**filled, "sweep": {"equal": config.sweep.equal}})
        except ConfigError as error:
            raise ConfigError(f"sweep.grid: {error}") from None
        variants.append(Variant(grid, variant))
    num_folds = [variant.config.data.folds or 1 for variant in variants]
    return tuple(
        replace(variant, fold=fold)
        for fold in range(max(num_folds))
        for variant, count in zip(variants, num_folds, strict=True)
        if fold < count
    )


def facts_of(variant: Variant, variants: Iterable[Variant], pools: Mapping[str, PoolFacts]) -> PoolFacts:
    """Return what a plan needs of a variant's data; over folds, budgets are counted from the smallest pool."""
    facts = pools[variant.data_key]
    if variant.config.data.folds is None:
        return facts
    folds = [pools[other.data_key].num_examples for other in variants if other.grid == variant.grid]
    return replace(facts, smallest_pool=min(folds))
