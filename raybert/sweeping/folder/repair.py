"""Files that a power cut or a full disk has torn: what can be made again is set aside, with a note about it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable
from pathlib import Path

from raybert.config import RaybertConfig, load_stored_config
from raybert.errors import ConfigError
from raybert.files import read_json
from raybert.sweeping.folder.layout import SweepFolder
from raybert.sweeping.folder.older import had_random_encoder, with_random_encoder


def set_aside_damaged_results(folder: SweepFolder, trial_ids: Iterable[str], note: Callable[[str], None]) -> None:
    """Make finished trials pending whose files are damaged; the files stay beside their place as `*.damaged`."""
    for trial_id in trial_ids:
        trial = folder.trial(trial_id)
        damaged = trial.damaged() if trial.status() == "complete" else []
        for path in damaged:
            if path.exists():
                path.replace(path.with_name(f"{path.name}.damaged"))
        if damaged:
            names = ", ".join(path.name for path in damaged)
            trial.forget_result(f"{names} damaged, set aside as *.damaged")
            note(f"note: trials/{trial_id}: {names} damaged, set aside as *.damaged; the trial is run again")


def read_previous_config(folder: Path, note: Callable[[str], None]) -> RaybertConfig | None:
    """Return what the folder was begun or last continued with, with the names of today.

    None: nothing, or the file is damaged.
    """
    path = folder / "resolved.yaml"
    if not path.exists():
        return None
    with contextlib.suppress(ConfigError):
        found = load_stored_config(path)
        return with_random_encoder(found) if had_random_encoder(folder) else found
    note(
        "note: resolved.yaml is damaged and written anew: whether the sweep file has changed since is not checked "
        "(trials of another file have other ids, and are not mixed up)"
    )
    return None


def read_or_note(path: Path, note: Callable[[str], None]) -> dict[str, object] | None:
    """Return the mapping in a JSON file that this sweep will write anew; None: nothing, or it is damaged."""
    found = read_json(path)
    if found is None and path.exists():
        note(f"note: {path.name} is damaged and written anew")
    return found
