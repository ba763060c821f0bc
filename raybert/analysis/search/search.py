"""The search of a sweep: its tables, and what they say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path

import pandas as pd

from raybert.analysis.search.importances import importances_table
from raybert.analysis.search.near_best import describe_near_best, near_best_table
from raybert.analysis.search.noise import Noise, comparison_noise, suggestion_noise
from raybert.analysis.search.studies import StudiedArm, open_studies, read_arms
from raybert.analysis.search.tables import (
    Parameter,
    best_table,
    complete_suggestions,
    find_parameters,
    history_table,
    pruning_table,
    suggestions_table,
)
from raybert.config import RaybertConfig, TuneConfig, load_stored_config


@dataclass(frozen=True)
class Search:
    """The hyperparameter search of a sweep, finished or not.

    Attributes:
        metric: what it optimises, of the validation split.
        maximize: whether more of it is better.
        parameters: what is tuned, those of all arms first.
        suggestions: a row per suggestion, see `tables.suggestions_table`.
        noise: between seeds, of the suggestions or else of the comparison; None if neither tells.
        remarks: in what its runs differ from the trials of the comparison.
    """

    metric: str
    maximize: bool
    parameters: Mapping[str, Parameter]
    suggestions: pd.DataFrame
    noise: Noise | None
    remarks: tuple[str, ...] = ()

    def __repr__(self) -> str:
        arms = self.suggestions[["arm", "strategy"]].drop_duplicates()
        return f"<Search: {len(self.suggestions)} suggestions in {len(arms)} arms, by validation {self.metric}>"

    @cached_property
    def best(self) -> pd.DataFrame:
        """The best configuration of every arm: `tables.best_table`."""
        return best_table(self.suggestions, self.parameters, self.maximize).assign(metric=self.metric)

    @cached_property
    def near_best(self) -> pd.DataFrame:
        """Where the suggestions lie that may be the best, per arm and parameter: `near_best.near_best_table`."""
        return near_best_table(self.suggestions, self.parameters, self.maximize, self.noise)

    @cached_property
    def importances(self) -> pd.DataFrame:
        """How much each parameter matters, per strategy and overall: `importances.importances_table`."""
        return importances_table(self.suggestions, self.parameters)

    @cached_property
    def pruning(self) -> pd.DataFrame:
        """What became of the suggestions, and what they cost: `tables.pruning_table`."""
        return pruning_table(self.suggestions)

    @cached_property
    def history(self) -> pd.DataFrame:
        """How the best value grew: `tables.history_table`."""
        return history_table(self.suggestions, self.maximize)

    @property
    def notes(self) -> list[str]:
        """What its runs were, whether selection changes the best hyperparameters, and why importances are missing."""
        columns = list(self.suggestions.columns)
        grids = self.suggestions[columns[: columns.index("number")]].drop_duplicates(["arm", "strategy"])
        missing = self.importances["importance"].isna().all()
        why = [f"no importances: {self.importances['why'].iloc[0]}"] if missing else []
        return [*self.remarks, *describe_near_best(self.near_best, grids, self.noise), *why]


def load_search(folder: Path, trials: pd.DataFrame, *, trust: bool = False) -> Search | None:
    """Return the search of a results folder, also while it runs, or None where nothing is suggested yet.

    Args:
        folder: of the results.
        trials: `Sweep.trials`: the comparison tells the noise where a suggestion has one seed.
        trust: connect to a database that the folder names; else there is no search where `foreign_database` is one.

    Raises:
        SweepError: the studies cannot be read.
    """
    tune, name = _find_search(folder)
    storage = tune.storage if tune is not None else "sqlite"
    studies = open_studies(folder, storage) if trust or not _is_foreign(storage) else None
    name_of = (lambda arm: arm) if tune is None else partial(tune.name_of_study, sweep=name)
    arms = [arm for arm in read_arms(studies, name_of) if arm.trials] if studies is not None else []
    return replace(make_search(arms, trials), remarks=_remarks(tune)) if arms else None


def _remarks(tune: TuneConfig | None) -> tuple[str, ...]:
    remarks = []
    if tune is not None and tune.length is not None:
        remarks.append(f"the runs of the search had {tune.length}; the comparison trains at full length")
    if tune is not None and tune.validation is not None:
        remarks.append(
            f"{100 * tune.validation:g} % of validation scored the suggestions; the rest chose evaluations and stopped "
            "runs early"
        )
    return tuple(remarks)


def make_search(arms: Sequence[StudiedArm], trials: pd.DataFrame) -> Search:
    """Return the search of some arms that have suggestions.

    Args:
        arms: of one sweep.
        trials: as for `load_search`.
    """
    parameters = find_parameters(arms)
    suggestions = suggestions_table(arms, parameters)
    metric, maximize = arms[0].metric, arms[0].maximize
    noise = suggestion_noise(complete_suggestions(suggestions), maximize) or comparison_noise(trials, metric)
    return Search(metric, maximize, parameters, suggestions, noise)


def foreign_database(folder: Path) -> str | None:
    """Return the URL of the database that a folder names for its studies, if it is another machine's, or may be.

    Whoever wrote the folder chose it: reading results must not send anything there, values of the environment least.
    """
    tune, _ = _find_search(folder)
    storage = tune.storage if tune is not None else "sqlite"
    return storage if _is_foreign(storage) else None


def _is_foreign(storage: str) -> bool:
    return storage not in ("sqlite", "journal") and not storage.startswith("sqlite")


def _find_search(folder: Path) -> tuple[TuneConfig | None, str]:
    """Return `sweep.tune` of the resolved file, if there is a search, and the name of the sweep."""
    resolved = folder / "resolved.yaml"
    config = load_stored_config(resolved) if resolved.exists() else RaybertConfig()
    return config.sweep.tune, config.name
