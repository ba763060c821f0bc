"""Some examples that every strategy kept and dropped, the hardest and the easiest, for people to look at."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from raybert.analysis.results.shown import at_best_points
from raybert.analysis.results.sweep import Sweep
from raybert.analysis.statistics.columns import typed_frame
from raybert.analysis.statistics.configurations import KEY
from raybert.files import reading_back
from raybert.sweeping.folder.pool_texts import TEXT_COLUMNS, PoolTexts, beginning
from raybert.tables import EXAMPLES

EXAMPLES_FILE = "results/examples.parquet"
MOST_STRATEGIES = 40
_OF_A_PART = 5
_REMEDY = "delete it, and run the same sweep command again"


@dataclass(frozen=True)
class _Run:
    """What one trial kept of the pool.

    Attributes:
        trial: its row of `trials`.
        label: of its configuration.
        passes: (n,) in how many passes each pool example was.
        last: (n,) bool, what was in its last pass, or chosen before training.
        scores: (n,) of its strategy, or None.
    """

    trial: Mapping[Any, Any]
    label: str
    passes: np.ndarray
    last: np.ndarray
    scores: np.ndarray | None


def example_table(sweep: Sweep) -> pd.DataFrame:
    """Return a few kept and a few dropped examples of every strategy, without texts: `EXAMPLES`.

    Of a grid the point with the best validation, of budgets the smallest one; of seeds and folds the first ones. Where
    a strategy has no score of the whole pool, its examples are ordered by their loss in the trial of `all`, which every
    row has beside it. No row where the pool is not kept.
    """
    pool = sweep.pool()
    runs = [] if pool is None else list(_first_runs(at_best_points(sweep, 1)[0], pool))[:MOST_STRATEGIES]
    if pool is None or not runs:
        return typed_frame([], EXAMPLES)
    losses = _losses_of_all(sweep, len(pool))
    rows = [row for run in runs for row in _rows(run, losses)]
    positions = np.array([row["position"] for row in rows], np.int64)
    choosy = [run for run in runs if not run.last.all()]
    frame = pd.DataFrame(rows).assign(
        kept_by=sum((run.last[positions].astype(int) for run in choosy), np.zeros(len(rows), int)),
        kept_by_of=len(choosy),
        loss=losses[positions],
        **{name: pool[name].to_numpy()[positions] for name in ("example_id", "label", "length")},
    )
    names = sweep.label_names
    frame["label_name"] = [names[c] if c < len(names) else str(c) for c in frame["label"]]
    return typed_frame(frame.to_dict("records"), EXAMPLES)


def shown_examples(sweep: Sweep, texts: PoolTexts | None = None) -> pd.DataFrame:
    """Return `example_table` with the beginnings of texts, if the sweep file lets reports show any.

    Args:
        sweep: with its tables.
        texts: of the pool; None: nobody has it in memory, and those that were published before are taken.

    Raises:
        SweepError: the table that was published is damaged.
    """
    examples = example_table(sweep)
    if not sweep.shows_texts:
        return examples
    found = texts.of(list(dict.fromkeys(examples["example_id"]))) if texts is not None else _published(sweep.folder)
    return examples if found is None else examples.join(found, on="example_id")


def _published(folder: Path) -> pd.DataFrame | None:
    """Return the texts that were published before, by example_id."""
    path = folder / EXAMPLES_FILE
    if not path.is_file():
        return None
    with reading_back(path, _REMEDY):
        before = pd.read_parquet(path)
    columns = [name for name in TEXT_COLUMNS if name in before]
    if not columns:
        return None
    found = before.dropna(subset=["text"]).drop_duplicates("example_id").set_index("example_id")[columns]
    return found.map(lambda text: beginning(text) if isinstance(text, str) else None)


def _first_runs(sweep: Sweep, pool: pd.DataFrame) -> Iterator[_Run]:
    """Yield one trial of every strategy, in the order of the plan, among those of this pool."""
    trials = sweep.comparable_trials()
    ordered = trials[trials["fold"] == 0].sort_values(["seed", "budget"], kind="stable")
    names = list(dict.fromkeys(sweep.trials["strategy"]))
    first = ordered.drop_duplicates("strategy").set_index("strategy", drop=False)
    for name in names:
        if name in first.index:
            run = _run(sweep, first.loc[name].to_dict(), pool)
            if run is not None:
                yield run


def _run(sweep: Sweep, trial: Mapping[Any, Any], pool: pd.DataFrame) -> _Run | None:
    """Return what a trial kept; None: it is of another pool, or keeps no selection."""
    selection = sweep.selection(trial["trial_id"])
    if selection is None or trial["pool_size"] != len(pool) or selection.empty:
        return None
    positions = selection["position"].to_numpy()
    if not (pool["example_id"].to_numpy()[positions] == selection["example_id"].to_numpy()).all():
        return None
    newest = selection["pass"].to_numpy()
    # A choice of several rounds grows: its last pass is all of it.
    is_last = newest == newest.max() if trial["budget_kind"] != "distinct" else np.ones(len(newest), bool)
    last = np.zeros(len(pool), bool)
    last[positions[is_last]] = True
    scores = sweep.pool_scores(trial["trial_id"])
    passes = np.bincount(positions, minlength=len(pool))
    label = sweep.configurations[trial[KEY]].label
    return _Run(trial, label, passes, last, scores)


def _losses_of_all(sweep: Sweep, size: int) -> np.ndarray:
    """Return (n,) the last training loss of every pool example where all are trained on; NaN: not known."""
    trials = sweep.comparable_trials()
    of_all = trials[(trials["strategy"] == "all") & (trials["fold"] == 0) & (trials["pool_size"] == size)]
    for trial_id in of_all.sort_values("seed", kind="stable")["trial_id"]:
        losses = sweep.whole_losses(str(trial_id))
        if losses is not None and len(losses) == size:
            return losses["loss"].to_numpy(np.float64)
    return np.full(size, np.nan)


def _rows(run: _Run, losses: np.ndarray) -> Iterator[dict[str, Any]]:
    """Yield the rows of a trial, without what the pool says of its examples."""
    order = losses if run.scores is None else np.asarray(run.scores, np.float64)
    for part, positions in _parts(run.last, order):
        for rank, position in enumerate(positions, start=1):
            yield {
                "strategy": run.label,
                "budget": run.trial["budget"],
                "trial_id": run.trial["trial_id"],
                "part": part,
                "rank": rank,
                "position": int(position),
                "score": np.nan if run.scores is None else float(run.scores[position]),
                "num_passes": int(run.passes[position]),
            }


def _parts(kept: np.ndarray, order: np.ndarray) -> Iterator[tuple[str, Sequence[int]]]:
    """Yield the parts of a pool with the positions that stand for each."""
    known = ~np.isnan(order)
    for name, members in (("kept", kept), ("dropped", ~kept)):
        ranked = np.flatnonzero(members & known)
        if not len(ranked):
            if members.any():
                yield name, np.flatnonzero(members)[:_OF_A_PART].tolist()
            continue
        by_hardness = ranked[np.argsort(-order[ranked], kind="stable")]
        hardest = by_hardness[:_OF_A_PART].tolist()
        yield f"hardest {name}", hardest
        yield f"easiest {name}", by_hardness[::-1][: min(_OF_A_PART, len(ranked) - len(hardest))].tolist()
