"""Signals by name: raybert's own, those of a user's own, and columns of the source.

Those of a user's own join the declared ones by `register_signal`, by an entry point of the group `raybert.signals`, or
by `selection.signals` of the sweep file.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

from raybert.config import (
    SelectionConfig,
    are_labels_enough,
    import_attribute,
    installed_parts,
    load_part,
    loaded_attribute,
    suggest,
    validate_model,
)
from raybert.errors import ConfigError
from raybert.selection import registry
from raybert.selection.declared_signals import TABLE, Signal, is_column, is_of_target, of_column, of_texts
from raybert.selection.sampling import is_extended
from raybert.selection.scorers.source import COLUMN
from raybert.selection.text_signal import TextSignal

ENTRY_POINTS = "raybert.signals"


def columns_read(needs: Collection[str]) -> list[str]:
    """Return the columns of the source among signals, by name."""
    return sorted(name.removeprefix(COLUMN) for name in needs if is_column(name))


def find_signal(name: str, selection: SelectionConfig | None = None) -> Signal | None:
    """Return the declaration of a signal; None: nobody computes it.

    Args:
        name: what strategies call it.
        selection: the section of a sweep file, for the parameters of a user's own.

    Raises:
        ConfigError: an entry of `selection.signals` is wrong, or a parameter is missing there.
    """
    if name in _BY_NAME:
        return _BY_NAME[name] if selection is None else _as_set(_BY_NAME[name], selection)
    if is_column(name):
        return of_column(name.removeprefix(COLUMN))
    if is_of_target(name):
        base, _, target = name.partition(":")
        signal = replace(_BY_NAME[base], name=name, target=target)
        return signal if selection is None else _as_set(signal, selection)
    given = _given_signals(selection)
    if name in given:
        return of_texts(given[name])
    kind = _registered().get(name)
    return None if kind is None else of_texts(validate_model(kind, {}, f"selection.signals: '{name}'"))


def needed_signals(needs: Collection[str], selection: SelectionConfig) -> tuple[Signal, ...]:
    """Return what must be computed for a strategy, in that order: what it needs, and what that is computed from.

    Args:
        needs: names that the strategy says, all of them known (see `check_signals`).
        selection: of the sweep file.
    """
    found: dict[str, Signal] = {}
    missing = set(needs)
    while missing:
        signal = find_signal(missing.pop(), selection)
        if signal is not None:
            found[signal.name] = signal
            missing |= {*signal.reads} - found.keys()
    places = {name: place for place, name in enumerate(_BY_NAME)}
    return tuple(sorted(found.values(), key=lambda signal: (places.get(signal.name, len(places)), signal.name)))


def check_signals(needs: Collection[str], selection: SelectionConfig, path: str, strategy: str) -> None:
    """Refuse a strategy that needs a signal which nobody computes.

    Args:
        needs: names that the strategy says.
        selection: of the sweep file.
        path: dotted path of the strategy in the sweep file.
        strategy: its name there.

    Raises:
        ConfigError: names the nearest signal; or an entry of `selection.signals` is wrong.
    """
    known = {*_BY_NAME, *_given_signals(selection), *_registered()}
    unknown = sorted(name for name in set(needs) - known if not (is_column(name) or is_of_target(name)))
    if are_labels_enough() and any(_is_left_out(entry.name) for entry in selection.signals):
        return  # it may be among those that are not imported
    if unknown:
        raise ConfigError(
            f"{path}: '{strategy}' needs the signal '{unknown[0]}', which a sweep does not compute"
            f"{suggest(unknown[0], known)}"
        )


def all_signals() -> tuple[Signal, ...]:
    """Return what raybert computes, then a user's own by name."""
    own = (of_texts(kind.model_construct()) for _, kind in sorted(_registered().items()))  # a parameter may be required
    return (*TABLE, *own)


_BY_NAME: Mapping[str, Signal] = {signal.name: signal for signal in TABLE}


def _as_set(signal: Signal, selection: SelectionConfig) -> Signal:
    """Return a signal as the settings of a sweep file change what is behind it."""
    if signal.name == "embeddings" and selection.embedding.of == "proxy":
        return replace(signal, reads=("probs",))  # what the proxy says is computed, too
    if signal.name == "perplexity" and selection.scorers.perplexity.kind == "causal":
        signal = replace(signal, passes=1)
    if selection.scorers.sample is not None and is_extended(signal.name):
        signal = replace(signal, reads=(*signal.reads, "embeddings"))  # by which neighbours are found
    if signal.name == "loss":
        return replace(signal, runs=selection.scorers.loss.of)
    return signal


def _given_signals(selection: SelectionConfig | None) -> dict[str, TextSignal]:
    """Return the signals that a sweep file gives parameters of.

    Raises:
        ConfigError: a name or parameter is unknown, or a signal is there twice.
    """
    given: dict[str, TextSignal] = {}
    for i, entry in enumerate(selection.signals if selection is not None else ()):
        path = f"selection.signals[{i}]"
        if _is_left_out(entry.name):
            continue
        signal = validate_model(_find_kind(entry.name, path), entry.parameters, path)
        if signal.name in given:
            raise ConfigError(f"{path}: must be there once, got '{signal.name}' twice")
        given[signal.name] = signal
    return given


def _is_left_out(name: str) -> bool:
    """Tell whether a signal of `module:Class` is not imported here."""
    return ":" in name and are_labels_enough() and loaded_attribute(name) is None


def _find_kind(name: str, path: str) -> type[TextSignal]:
    """Return the class of a signal of a user's own, of a name or of `module:Class`."""
    if name in _BY_NAME:
        raise ConfigError(f"{path}: must be a signal of your own, '{name}' is raybert's and has no parameters here")
    known = _registered()
    if name in known:
        return known[name]
    if ":" in name:
        found = loaded_attribute(name) if are_labels_enough() else import_attribute(name, path)
        return _checked(found, name, path)
    raise ConfigError(f"{path}: unknown '{name}'{suggest(name, known)}")


def _registered() -> dict[str, type[TextSignal]]:
    """Return the signals of a user's own that were registered, or that installed packages have."""
    for point in installed_parts(ENTRY_POINTS):
        if point.name not in registry.text_signals:
            registry.text_signals[point.name] = _checked(load_part(point), point.value, ENTRY_POINTS)
    taken = sorted(registry.text_signals.keys() & _BY_NAME.keys())
    if taken:
        raise ConfigError(f"signal '{taken[0]}': must have a name of its own, raybert computes one of that name")
    return registry.text_signals


def _checked(candidate: Any, name: str, path: str) -> type[TextSignal]:
    if not (isinstance(candidate, type) and issubclass(candidate, TextSignal)):
        raise ConfigError(f"{path}: '{name}': must be a subclass of raybert.TextSignal")
    return candidate
