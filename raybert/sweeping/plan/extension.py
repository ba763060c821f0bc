"""What may change in the sweep file of a folder that holds finished trials."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

from raybert.config import RaybertConfig, TuneConfig, importing
from raybert.config.encoder_pretraining import OF_NO_RESULT
from raybert.errors import SweepError
from raybert.passwords import without_credentials
from raybert.sweeping.plan.design import Design
from raybert.sweeping.plan.entries import read_entries
from raybert.sweeping.plan.search_space import strategy_of

_EXECUTION_ONLY = (
    "sweep",
    "limits",
    "resources.concurrent_trials",
    "train.checkpoint_seconds",
    "train.checkpoints",
    "train.start.checkpoint",
    "selection.store",
    "monitor",
    "track",
    "name",
    *(f"pretrain.{key}" for key in OF_NO_RESULT),
)


_FREE_IN_A_SEARCH = ("suggestions_per_strategy", "asha", "seed_test")
"""Keys of `sweep.tune` that may change while it is on its way: what was decided stays decided."""

_MOST_SHOWN = 6
_ABSENT = object()


def check_extension(old: RaybertConfig, new: Design, *, search_begun: bool = True) -> None:
    """Refuse a file that changes what finished trials of a folder mean.

    More (or fewer) strategies, seeds, grid values and suggestions are fine.

    Args:
        old: the file that the folder belongs to.
        new: of the file that is to be run.
        search_begun: whether suggestions of the old file's search are there.

    Raises:
        SweepError: with the keys that differ, their old and new values.
    """
    _check_same(*compared(old, new.config), "strategies, seeds and grid values")
    begun, wanted = old.sweep.tune, new.config.sweep.tune
    if search_begun and begun is not None and wanted is not None:
        labels = [_labels_of_old(old), tuple(entry.label for entry in new.entries)]
        before, after = (_comparable_search(tune, *labels) for tune in (begun, wanted))
        if begun.shared:  # its study chooses among them
            before, after = (
                {**keys, "sweep.strategies": list(names)} for keys, names in zip((before, after), labels, strict=True)
            )
        _check_same(before, after, "suggestions_per_strategy (of sweep.tune)")


def _labels_of_old(old: RaybertConfig) -> tuple[str, ...]:
    """Return the labels of a folder's own file: what that names, and the new file does not, is not imported."""
    with importing("labels"):
        return tuple(entry.label for entry in read_entries(old))


def describe_changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    """Return what differs between two files, `key was old, is new` by key; empty: nothing.

    Args:
        before: values by dotted key.
        after: the same of the other file.
    """
    changed = [key for key in {**before, **after} if before.get(key, _ABSENT) != after.get(key, _ABSENT)]
    shown = [f"{key} was {_shown(before, key)}, is {_shown(after, key)}" for key in changed[:_MOST_SHOWN]]
    return "; ".join(shown) + (f"; and {len(changed) - _MOST_SHOWN} more" if len(changed) > _MOST_SHOWN else "")


def _shown(values: Mapping[str, Any], key: str) -> str:
    """Return a value as YAML on one line."""
    if key not in values:
        return "not there"
    text = yaml.safe_dump(values[key], default_flow_style=True, width=10**6, allow_unicode=True)
    return text.removesuffix("...\n").strip()


def _comparable_search(tune: TuneConfig, *labels: tuple[str, ...]) -> dict[str, Any]:
    """Return the keys of a search; those of strategies that only one of the files has are left out."""
    document = tune.model_dump(mode="json", exclude=set(_FREE_IN_A_SEARCH))
    document["storage"] = without_credentials(tune.storage)
    document["space"] = {
        key: domain
        for key, domain in document["space"].items()
        if not key.startswith("strategies.") or all(strategy_of(key, names) for names in labels)
    }
    return {f"sweep.tune.{key}": value for key, value in sorted(flatten(document).items())}


def _check_same(before: Mapping[str, Any], after: Mapping[str, Any], free: str) -> None:
    changes = describe_changes(before, after)
    if changes:
        raise SweepError(
            f"the sweep file differs from the one that this folder belongs to in more than {free}: {changes}; give "
            "`output` a new folder, or undo the change"
        )


def compared(old: RaybertConfig, new: RaybertConfig) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return of two files what finished trials depend on, by dotted key: what says the same has the same value."""
    before, after = _comparable(old), _comparable(new)
    asked = new.resources
    if isinstance(asked.gpus_per_worker, str) or bool(asked.num_gpus) == bool(old.resources.num_gpus):
        # `auto` and `fit` are what the folder has; how much of a GPU a worker holds changes none of its results.
        after["resources.gpus_per_worker"] = before["resources.gpus_per_worker"]
    if old.pretrain is None or new.pretrain is None:  # a section that only one of them has is one difference
        before, after = (
            {key: value for key, value in flat.items() if not key.startswith("pretrain.")} for flat in (before, after)
        )
        before["pretrain"], after["pretrain"] = (_pretrain_in_short(config) for config in (old, new))
    if "equal" in old.sweep.model_fields_set:  # folders of before there was this key go on by either
        before["sweep.equal"], after["sweep.equal"] = old.sweep.equal, new.sweep.equal
    return before, after


def _pretrain_in_short(config: RaybertConfig) -> Any:
    """Return the keys of the section `pretrain` that are given; None: there is none."""
    return None if config.pretrain is None else config.pretrain.model_dump(mode="json", exclude_defaults=True)


def _comparable(config: RaybertConfig) -> dict[str, Any]:
    flat = flatten(config.model_dump(mode="json"))
    length = config.train.length
    if length.steps is not None:
        flat["train.length.min_steps"] = None
    else:
        flat["train.length.epochs"] = length.num_epochs
    return {
        key: value
        for key, value in sorted(flat.items())
        if not any(key == skip or key.startswith(skip + ".") for skip in _EXECUTION_ONLY)
    }


def flatten(document: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested mappings as one mapping of dotted keys."""
    flat: dict[str, Any] = {}
    for key, value in document.items():
        path = f"{prefix}{key}"
        flat.update(flatten(value, f"{path}.") if isinstance(value, Mapping) else {path: value})
    return flat
