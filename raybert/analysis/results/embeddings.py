"""Embeddings of the pool that trials of a sweep have read, from the score store, if they are still there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from raybert.analysis.results.sweep import Sweep
from raybert.files import cache_folder, read_json
from raybert.selection.store import ScoreStore, SignalGone
from raybert.sweeping.folder.layout import SweepFolder
from raybert.sweeping.folder.spec_file import FILE_NAME

_NAME = "embeddings"
_KEY = re.compile("[0-9a-f]{20}")
_MOST_NUMBERS = 50_000_000
"""200 MB: what a report may read and project without being asked to."""


def stored_embeddings(sweep: Sweep) -> np.ndarray | None:
    """Return (n, d) float32, the embeddings of the pool of fold 0 by which some trial has chosen.

    None: no trial has read any, they are gone from the score store, or they are more than a report should read.

    Args:
        sweep: with its folder.
    """
    pool = sweep.pool()
    if pool is None:
        return None
    for store, key in _signals(sweep):
        record, identity = store.completion(key), read_json(store.folder / key / "identity.json") or {}
        if record is None or not str(identity.get("scorer", "")).endswith(_NAME) or record["num_rows"] != len(pool):
            continue
        try:
            if store.read_block(key, 0)[1][_NAME].shape[1] * len(pool) > _MOST_NUMBERS:
                return None
            return store.load(key)[_NAME]
        except (SignalGone, KeyError):
            continue
    return None


def _signals(sweep: Sweep) -> Iterator[tuple[ScoreStore, str]]:
    """Yield where the signals of complete trials of the first fold are, each once."""
    seen = set()
    trials = sweep.comparable_trials()
    stores = [SweepFolder(sweep.folder).signals, cache_folder() / "scores"]
    for trial_id in trials.loc[trials["fold"] == 0, "trial_id"]:
        document = read_json(sweep.folder / "trials" / str(trial_id) / FILE_NAME) or {}
        for signal in document.get("signals") or ():
            key = str(signal.get("key"))
            if key in seen or not _KEY.fullmatch(key):
                continue
            seen.add(key)
            for folder in dict.fromkeys([Path(str(signal.get("store") or stores[0])), *stores]):
                yield ScoreStore(folder), key
