"""What the trials of a sweep kept: choices, scores, losses, predictions, and the pools behind them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from raybert.analysis.statistics.columns import typed_frame
from raybert.analysis.statistics.configurations import BUDGET_KEY, KEY, Configurations, has_budget
from raybert.analysis.statistics.overlap import compare_subsets
from raybert.analysis.statistics.points import grid_points
from raybert.analysis.statistics.subsets import Subset
from raybert.errors import SweepError
from raybert.files import reading_back
from raybert.sweeping.folder.trial_folder import REPAIR, TrialFolder
from raybert.tables import AGREEMENT, RENAMED_COLUMNS, SELECTION, TRIAL_KEYS


class TrialFiles:
    """The half of a `Sweep` that reads the folders of its trials; its attributes are those of `Sweep`."""

    folder: Path
    trials: pd.DataFrame
    grid_columns: tuple[str, ...]
    configurations: Configurations

    def comparable_trials(self) -> pd.DataFrame:
        """Return the complete trials of strategies: no proxies, no parts."""
        trials = self.trials
        return trials[(trials["status"] == "complete") & (trials["role"] == "trial")]

    def trials_of(self, configuration: Mapping[Any, Any]) -> pd.DataFrame:
        """Return the complete trials behind a row of `summary`."""
        trials = self.trials
        is_own: pd.Series[bool] = trials[KEY] == configuration[KEY]
        return trials[(trials["status"] == "complete") & is_own]

    def selection(self, trial_id: str) -> pd.DataFrame | None:
        """Return what a trial has chosen, if kept: the columns of `raybert.tables.SELECTION`."""
        rows = _read_parquet(self._trial_folder(trial_id) / "selection.parquet")
        return None if rows is None else rows.rename(columns=RENAMED_COLUMNS)

    def selections(self) -> pd.DataFrame:
        """Return what every complete trial selected, with the columns that identify the trial in front."""
        keys = [*TRIAL_KEYS, *self.grid_columns]
        parts = []
        for trial in self.comparable_trials()[keys].to_dict("records"):
            rows = self.selection(trial["trial_id"])
            if rows is not None:
                parts.append(rows.assign(**{str(key): value for key, value in trial.items()}))
        columns = [*keys, *SELECTION.order()]
        return pd.concat(parts, ignore_index=True)[columns] if parts else pd.DataFrame(columns=columns)

    def pool_scores(self, trial_id: str) -> np.ndarray | None:
        """Return (n,) float32, the score of every pool example (higher = harder), of a strategy that ranks all.

        Raises:
            SweepError: the file is damaged.
        """
        path = self._trial_folder(trial_id) / "pool_scores.npy"
        if not path.is_file():
            return None
        with reading_back(path, REPAIR):
            return np.asarray(np.load(path, allow_pickle=False))

    def losses(self, trial_id: str) -> pd.DataFrame | None:
        """Return each pool example's last training loss and its pass, if kept: the columns of `raybert.tables.LOSSES`.

        Raises:
            SweepError: the file is damaged.
        """
        losses = TrialFolder(self._trial_folder(trial_id)).read_losses()
        return None if losses is None else pd.DataFrame(losses)

    def has_losses(self, trial_id: str) -> bool:
        """Tell whether a trial has a file of losses, readable or not."""
        return TrialFolder(self._trial_folder(trial_id)).losses_path.is_file()

    def whole_losses(self, trial_id: str) -> pd.DataFrame | None:
        """Return what `losses` does; None also where its file is damaged: a report is possible without."""
        try:
            return self.losses(trial_id)
        except SweepError:
            return None

    def subsets(
        self, of_pools: Mapping[int, pd.DataFrame] | None = None, *, with_scores: bool = False
    ) -> Iterator[Subset]:
        """Yield what each complete trial selected, by default without pool scores.

        Args:
            of_pools: by fold; leave out the trials of other pools (a grid can vary the data); their example_ids tell.
            with_scores: read the scores of the pool, too, where a strategy ranks all.
        """
        for trial in self.comparable_trials().to_dict("records"):
            if of_pools is None or self._is_of_pool(trial, of_pools.get(trial["fold"])):
                subset = self._subset(trial, with_scores=with_scores)
                if subset is not None:
                    # All of a pool is all of it, whatever it is trained with.
                    label = "all" if subset.strategy == "all" else self.configurations[trial[KEY]].label
                    yield replace(subset, strategy=label)

    @cached_property
    def agreement(self) -> pd.DataFrame:
        """Agreement of every two strategies at each budget, seed, fold and grid point: `overlap.compare_subsets`."""
        trials = self.comparable_trials()
        trials = trials[has_budget(trials)]
        others = [column for column in self.grid_columns if column != BUDGET_KEY]
        trials = trials[
            [*TRIAL_KEYS, KEY, "budget_kind", "pool_size", *others]
        ]  # rows of all columns are slow to take apart
        parts = []
        for point, at_point in grid_points(trials, others):
            for _, group in at_point.groupby(["budget", "seed", "fold"], sort=False):
                subsets = [self._subset(trial, with_scores=True) for trial in group.to_dict("records")]
                compared = compare_subsets([subset for subset in subsets if subset is not None])
                parts.append(compared.assign(**point))
        parts = [part for part in parts if not part.empty]
        if not parts:
            return typed_frame([], AGREEMENT, others)
        return pd.concat(parts, ignore_index=True)[AGREEMENT.order(others)]

    def predictions(self, trial_id: str) -> pd.DataFrame:
        """Return split, row, label and prob_0..prob_{C-1} of a trial's best evaluation.

        Raises:
            SweepError: the trial kept no predictions.
        """
        path = self._trial_folder(trial_id) / "predictions.parquet"
        predictions = _read_parquet(path)
        if predictions is None:
            raise SweepError(f"{path}: no predictions of this trial; it has not finished, or is not of this sweep")
        return predictions

    def pool(self, fold: int = 0) -> pd.DataFrame | None:
        """Return example_id, label and length (tokens) of the pool, or of that of a fold, if kept."""
        return self.pools().get(fold)

    def pools(self) -> dict[int, pd.DataFrame]:
        """Return the pools that are kept, by fold: example_id, label and length (tokens)."""
        rows = self._pool_rows
        if rows is None:
            return {}
        if "fold" not in rows:
            return {0: rows.copy()}
        folds = rows.groupby("fold", sort=True)
        return {int(str(fold)): part.drop(columns="fold").reset_index(drop=True) for fold, part in folds}

    @cached_property
    def _pool_rows(self) -> pd.DataFrame | None:
        """What `pool.parquet` holds; tables and pictures ask for it a dozen times."""
        return _read_parquet(self.folder / "pool.parquet")

    def _trial_folder(self, trial_id: str) -> Path:
        return self.folder / "trials" / trial_id

    def _subset(self, trial: Mapping[Any, Any], with_scores: bool) -> Subset | None:
        path = self._trial_folder(trial["trial_id"]) / "selection.parquet"
        if not path.is_file():
            return None
        return Subset(
            strategy=trial["strategy"],
            budget=trial["budget"],
            budget_kind=trial["budget_kind"],
            seed=trial["seed"],
            fold=trial["fold"],
            passes=np.bincount(_read_positions(path), minlength=trial["pool_size"]),
            pool_scores=self.pool_scores(trial["trial_id"]) if with_scores else None,
        )

    def _is_of_pool(self, trial: Mapping[Any, Any], pool: pd.DataFrame | None) -> bool:
        if pool is None or trial["pool_size"] != len(pool):
            return False
        if not any(column.startswith("data.") for column in self.grid_columns):
            return True
        path = self._trial_folder(trial["trial_id"]) / "selection.parquet"
        rows = _read_parquet(path, ["example_id", "position"])
        return rows is None or bool((pool["example_id"].to_numpy()[rows["position"]] == rows["example_id"]).all())


def _read_parquet(path: Path, columns: list[str] | None = None) -> pd.DataFrame | None:
    if not path.is_file():
        return None
    with reading_back(path, REPAIR):
        return pd.read_parquet(path, columns=columns)


def _read_positions(path: Path) -> np.ndarray:
    """Return the positions of a selection, without a frame around them: 0.04 ms a file instead of 0.6 ms."""
    with reading_back(path, REPAIR), pq.ParquetFile(path) as file:
        column = file.read(["position"], use_threads=False)["position"]
        positions: np.ndarray = column.to_numpy()
        return positions
