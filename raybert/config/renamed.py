"""Keys of sweep files by the names that raybert 0.1 had for them, accepted for one release."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from raybert.errors import ConfigError

RENAMED_KEYS: Mapping[str, str] = {
    "data.subset": "data.config",
    "model.iris.pool": "model.iris.combine",
    "selection.embedding.source": "selection.embedding.of",
    "sweep.tune.trials_per_strategy": "sweep.tune.suggestions_per_strategy",
    "sweep.tune.seeds_per_trial": "sweep.tune.seeds_per_suggestion",
    "sweep.tune.startup_trials": "sweep.tune.startup_suggestions",
    "sweep.tune.subset": "sweep.tune.pool_fraction",
}
"""Dotted key of 0.1 -> the name of today, in the same section."""


def rename_keys(document: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Return a sweep file with today's names for its keys, and a note for each that had an old one.

    Keys that are values elsewhere (of `sweep.grid`, of `sweep.tune.space` and its points) are renamed like the others.

    Args:
        document: as read; it stays as it is.

    Raises:
        ConfigError: a key is given by both names.
    """
    renamed, notes = dict(document), []
    for old, new in RENAMED_KEYS.items():
        *sections, key = old.split(".")
        if key in _section(renamed, sections):
            renamed = _with_key(renamed, sections, key, new.rpartition(".")[2])
            notes.append(describe_renaming(old))
    for sections in (["sweep", "grid"], ["sweep", "tune", "space"]):
        for old in RENAMED_KEYS.keys() & _section(renamed, sections).keys():
            renamed = _with_key(renamed, sections, old, RENAMED_KEYS[old])
            notes.append(describe_renaming(old, ".".join([*sections, old])))
    if "tune" in _section(renamed, ["sweep"]):
        renamed = _in_conditions_and_points(renamed)
    return renamed, notes


def describe_renaming(old: str, path: str | None = None) -> str:
    """Return the note for an old name, and where it stands if that is not its own place."""
    new = RENAMED_KEYS[old]
    where = f"{path}: " if path is not None else ""
    return f"{where}{old} is called {new} now; the old name is accepted until the next release"


def _section(document: Mapping[str, Any], path: list[str]) -> Mapping[str, Any]:
    """Return a section of a document; what is not a mapping has no keys, and validation says so."""
    found: Any = document
    for name in path:
        found = found.get(name) if isinstance(found, Mapping) else None
    return found if isinstance(found, Mapping) else {}


def _with_key(document: Mapping[str, Any], sections: list[str], old: str, new: str) -> dict[str, Any]:
    """Return a copy of a document in which one key of a section has another name, at the same place."""
    if sections:
        head, *rest = sections
        return {**document, head: _with_key(document[head], rest, old, new)}
    if new in document:
        raise ConfigError(f"{old}: is the old name of {new}, which is given, too; leave {old} out")
    return {new if key == old else key: value for key, value in document.items()}


def _in_conditions_and_points(document: dict[str, Any]) -> dict[str, Any]:
    """Return a copy in which `when` and `points_to_evaluate` of a search say today's names, as its space does."""
    tune = dict(_section(document, ["sweep", "tune"]))
    space, points = tune.get("space"), tune.get("points_to_evaluate")
    if isinstance(space, Mapping):
        tune["space"] = {
            key: dict(_domain(domain)) if isinstance(domain, Mapping) else domain for key, domain in space.items()
        }
    if isinstance(points, (list, tuple)):
        tune["points_to_evaluate"] = [_renamed(point) if isinstance(point, Mapping) else point for point in points]
    return {**document, "sweep": {**document["sweep"], "tune": tune}} if tune else document


def _domain(domain: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for key, value in domain.items():
        yield key, _renamed(value) if key == "when" and isinstance(value, Mapping) else value


def _renamed(values: Mapping[str, Any]) -> dict[str, Any]:
    return {RENAMED_KEYS.get(key, key): value for key, value in values.items()}
