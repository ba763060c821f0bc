"""One run out of a sweep file: what `raybert select` and `raybert train` take from it."""

from __future__ import annotations

from dataclasses import replace

from raybert.config import RaybertConfig, StrategyConfig, SweepConfig
from raybert.errors import ConfigError
from raybert.selection.catalogue import build_strategy
from raybert.sweeping.plan.design import Design, read_design
from raybert.sweeping.plan.entries import Entry, draw_beside, label_of


def narrow_to_one(config: RaybertConfig, strategy: str, seed: int) -> Design:
    """Return the design of one strategy and one seed, without a grid.

    Args:
        config: the sweep file.
        strategy: a label or name among the file's strategies (then with their parameters), else any name.
        seed: of the sweep.

    Raises:
        ConfigError: folds, or the name is unknown or stands for several strategies of the file.
    """
    if config.data.folds is not None:
        raise ConfigError(
            f"data.folds: must be left out to select one subset or train one model, because every fold has its own "
            f"pool, got {config.data.folds}; override it with null"
        )
    entries: dict[str, StrategyConfig] = {}
    for i, entry in enumerate(config.sweep.strategies):
        built = build_strategy(entry, f"sweep.strategies[{i}]")
        entries[label_of(entry, built)] = entry
        beside = draw_beside(Entry(label_of(entry, built), entry, built))
        if beside is not None:
            entries.setdefault(beside.label, beside.config)
    chosen = {label: entry for label, entry in entries.items() if label == strategy}
    chosen = chosen or {label: entry for label, entry in entries.items() if entry.name == strategy}
    if len(chosen) > 1:
        same = ", ".join(chosen)
        raise ConfigError(f"strategy: '{strategy}' stands for several strategies of the file; take one of: {same}")
    entry = next(iter(chosen.values()), StrategyConfig(name=strategy))
    sweep = SweepConfig(strategies=(entry,), seeds=(seed,), equal=config.sweep.equal)
    design = read_design(config.model_copy(update={"sweep": sweep}))
    return replace(design, entries=design.entries[:1])  # without the draw beside it
