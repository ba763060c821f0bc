"""Which examples of a file a trained model has seen, by the ids that its run kept."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from raybert.data.identity import example_ids, ids_of_first_copies
from raybert.data.noise import clean_id
from raybert.data.targets import TARGET
from raybert.data.unseen import UnseenExamples
from raybert.evaluation.find import Target
from raybert.evaluation.targets import held_out
from raybert.files import reading_back
from raybert.sweeping.folder.layout import SweepFolder
from raybert.sweeping.folder.trial_folder import REPAIR

_WORDS = {
    "trained": "were trained on",
    "pool": "were in the pool that training examples were chosen from",
    "validation": "are of validation, by which the model was chosen",
    "test": "are of the test split",
}
"""What an example was to a run -> in words; the first one that holds counts."""


def where_seen(target: Target, examples: UnseenExamples, label_names: Sequence[str]) -> np.ndarray | None:
    """Return (m,) what each example was to the run that a model is from, a word of `_WORDS`, or "" for a new one.

    None: the model is not in a results folder, which would know. Copies of an example count as that example.

    Args:
        target: the model.
        examples: with labels.
        label_names: class number -> name.
    """
    known = _known_ids(target)
    if not known:
        return None
    found = np.full(len(examples.ids), "", object)
    own, first = _candidate_ids(examples, label_names)
    for word in reversed(_WORDS):  # the first one has the last say
        ids = known.get(word, frozenset())
        found[[one in ids or other in ids for one, other in zip(own, first, strict=True)]] = word
    return found


def note_on_seen(seen: np.ndarray, metric: str, value: Callable[[np.ndarray], float]) -> list[str]:
    """Return a note if a model has seen some of the examples that it is measured on.

    Args:
        seen: as `where_seen` returns it.
        metric: what is told of the others, in words.
        value: returns that metric of some examples, given as (m,) bool.
    """
    counts = Counter(seen.tolist())
    if counts.keys() <= {"", "test"}:
        return []
    parts = [f"{counts[word]:,} {words}" for word, words in _WORDS.items() if counts[word]]
    new = np.isin(seen, ["", "test"])
    rest = f"; {metric} on the {new.sum():,} others: {value(new):.3f}" if new.any() else ""
    return [
        f"of {len(seen):,} examples {', '.join(parts)}: what is measured on them says little about new texts{rest} "
        "(column `seen` of the predictions)"
    ]


def _candidate_ids(examples: UnseenExamples, label_names: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the ids that the examples would have had in training, and those of the first copies of their content."""
    given = [str(name) for name in examples.ids]
    columns = {"text": pa.array(examples.texts, pa.string())}
    columns |= {"label": pa.array(examples.labels)} if examples.targets is None else {TARGET: examples.targets}
    if examples.text_pairs is not None:
        columns["text_pair"] = pa.array(examples.text_pairs, pa.string())
    table = pa.table(columns)
    if np.issubdtype(np.asarray(examples.ids).dtype, np.integer):  # row numbers: there is no column of ids
        given = example_ids(table, label_names).to_pylist()
    return given, ids_of_first_copies(table, label_names)


def _known_ids(target: Target) -> dict[str, frozenset[str]]:
    """Return the ids of a run by what they were to the trial; nothing where the run does not say."""
    if target.run is None or target.trial_id is None:
        return {}
    known = {split: frozenset(map(str, _ids(held_out(target.run, target.trial_id, split)))) for split in _WORDS}
    trained = _ids_in(target.run / "trials" / target.trial_id / "selection.parquet")
    trials = {trial["trial_id"]: trial for trial in SweepFolder(target.run).planned()}
    fold = trials.get(target.trial_id, {}).get("fold", 0)
    pool = _ids_in(target.run / "pool.parquet", fold)
    return {**known, "trained": trained, "pool": pool} if trained else {}


def _ids(frame: pd.DataFrame) -> Sequence[str]:
    return frame["example_id"].tolist() if "example_id" in frame else []


def _ids_in(path: Path, fold: int | None = None) -> frozenset[str]:
    if not path.is_file():
        return frozenset()
    with reading_back(path, REPAIR):
        frame = pd.read_parquet(path)
    if fold is not None and "fold" in frame:
        frame = frame[frame["fold"] == fold]
    ids = [str(name) for name in _ids(frame)]
    return frozenset(ids) | frozenset(map(clean_id, ids))  # what noise has changed was seen, in its way
