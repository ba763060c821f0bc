"""What a sweep file asks for, expanded once: strategies, points of the grid, search spaces. Needs no data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from raybert.config import RaybertConfig, are_labels_enough
from raybert.config.augment_function import own_function
from raybert.errors import ConfigError
from raybert.selection.compose import compose
from raybert.selection.passes import REFRESHED
from raybert.selection.scorers.source import COLUMN
from raybert.selection.signals import columns_read
from raybert.sweeping.plan.check_space import search_spaces
from raybert.sweeping.plan.entries import Entry, read_entries
from raybert.sweeping.plan.grid import Variant, expand_grid, facts_of
from raybert.sweeping.plan.search_space import SearchSpace
from raybert.sweeping.plan.specs import PoolFacts
from raybert.training.measures.own_metrics import import_metrics


@dataclass(frozen=True)
class Design:
    """A sweep file, checked and expanded: all that follows from it alone.

    Attributes:
        config: the sweep file.
        entries: the strategies that it compares.
        variants: the points of its grid, fold by fold.
        spaces: what is searched of each strategy, by label; empty: the sweep has no search.
    """

    config: RaybertConfig
    entries: tuple[Entry, ...]
    variants: tuple[Variant, ...]
    spaces: Mapping[str, SearchSpace]

    @property
    def num_trials(self) -> int:
        """How many trials are compared at most: some points of the grid may make no difference to a strategy."""
        return len(self.entries) * len(self.variants) * len(self.config.sweep.seeds)

    @property
    def num_suggestions(self) -> int:
        """How many suggestions the search has at most."""
        tune = self.config.sweep.tune
        num_points = len({str(variant.grid) for variant in self.variants})
        return 0 if tune is None else tune.suggestions_per_strategy * len(self.entries) * num_points

    def facts_of(self, variant: Variant, pools: Mapping[str, PoolFacts]) -> PoolFacts:
        """Return what a plan needs of the data of one of its variants, given the facts of all pools."""
        return facts_of(variant, self.variants, pools)

    def idle_rounds(self) -> list[str]:
        """Return the labels of the strategies whose rounds cannot change what they select."""
        changing = REFRESHED | ({"embeddings"} if self.config.selection.embedding.of == "proxy" else set())
        return [
            entry.label
            for entry, strategy in ((entry, compose(entry.strategy)) for entry in self.entries)
            if strategy.schedule == "rounds" and strategy.inner.nested and not strategy.read_signals() & changing
        ]


def wanted_columns(design: Design) -> dict[str, str]:
    """Return what asks for a column of the source, in words -> its name."""
    return {
        f"sweep.strategies: '{entry.label}' needs '{COLUMN}{column}'": column
        for entry in design.entries
        for column in columns_read(entry.strategy.all_signals())
    }


def read_design(config: RaybertConfig) -> Design:
    """Return what a sweep file asks for; after this nobody expands the file again.

    Raises:
        ConfigError: a strategy, a metric, an augmentation, a value of the grid or a key of the search is not possible.
    """
    config = _with_settled_metrics(config)
    entries = read_entries(config)
    variants = expand_grid(config)
    _check_augmentations(variants)
    _check_starts(variants)
    tune = config.sweep.tune
    spaces = {} if tune is None else search_spaces(config, tune, entries, variants)
    return Design(config, entries, variants, spaces)


def _check_starts(variants: Sequence[Variant]) -> None:
    """Refuse a checkpoint whose content nobody has looked at: two of them would be one trial.

    Raises:
        ConfigError: says who looks.
    """
    for start in (variant.config.train.start for variant in variants):
        if start.checkpoint is not None and start.digest is None:
            raise ConfigError(
                f"train.start.checkpoint: must come with the digest of its content, got '{start.checkpoint}' alone; "
                "`raybert train FILE --resume-from CHECKPOINT` sets both"
            )


def _check_augmentations(variants: Sequence[Variant]) -> None:
    """Import functions of the user's own that change examples, unless nothing is imported here.

    Raises:
        ConfigError: one cannot be imported, or cannot be called as it must.
    """
    augmentations = [variant.config.data.augment for variant in variants]
    for name in dict.fromkeys(augment.name for augment in augmentations if augment is not None and augment.is_own):
        if not are_labels_enough():
            own_function(name)


def _with_settled_metrics(config: RaybertConfig) -> RaybertConfig:
    """Return a sweep file whose metrics of a user's own say which direction is better, where they may be imported.

    So whoever reads the results knows it without them.
    """
    if not config.train.metrics or are_labels_enough():
        return config
    metrics = tuple(own.config for own in import_metrics(config.train.metrics))
    return config.model_copy(update={"train": config.train.model_copy(update={"metrics": metrics})})
