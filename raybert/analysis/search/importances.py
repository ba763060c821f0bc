"""Which parameters the result of a search depends on: fANOVA, per strategy and over all of them."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from raybert.analysis.search.tables import Parameter, complete_suggestions
from raybert.analysis.statistics.columns import typed_frame
from raybert.tables import IMPORTANCES
from raybert.tables.search import ARM_KEYS

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

OVERALL = "(overall)"
FEWEST = 10
"""Complete suggestions below which nothing is computed: as many as the random start-up ones."""
UNPREDICTABLE = 0.05
"""p from which on a forest may have learned noise only."""
_MOST = 200
"""Suggestions of one forest: fANOVA's time grows with their square. More are thinned by a seeded draw."""
_TREES, _FEWEST_TREES = 64, 16
"""Trees of a forest: optuna's default, and what large searches get at least."""
_TREE_ROWS, _ALL_TREE_ROWS = 4_000, 24_000
"""Trees times suggestions, of one forest and of all together, from which on there are fewer trees."""
_OUT_OF_BAG_TREES = 32
"""So many that every suggestion is unseen by some tree."""


def importances_table(suggestions: pd.DataFrame, parameters: Mapping[str, Parameter]) -> pd.DataFrame:
    """Return the importance of every parameter, per strategy and `(overall)`, largest first: `IMPORTANCES`.

    `importance` is the share of the variance of a random forest's predictions over the space that the parameter
    explains alone; what is missing to 1 are interactions. `rank_correlation` is Spearman's between the values and what
    the forest predicts from trees that did not see them, `p` its one-sided p-value: above 0.05 the forest may have
    learned nothing but noise, and the importances mean nothing.

    Only complete suggestions count, since a pruned value was measured after fewer examples; what ASHA stops is mostly
    bad, so the importances are those within the better part of the space. A strategy pools its arms, and `(overall)`
    all arms, each centred at its own mean, so that what strategies differ by is no effect of a parameter. A
    parameter that only some suggestions have is judged among those; one of a single strategy is not in `(overall)`.
    `importance` is empty where `why` says why.

    Source: Hutter et al. 2014, "An Efficient Approach for Assessing Hyperparameter Importance", by optuna. Deviation:
    parameters with a logarithmic space are logarithms here, as they are sampled; optuna weighs them linearly, by which
    nine tenths of a learning rate's weight is its highest decade.
    """
    complete = complete_suggestions(suggestions)
    means = complete.groupby(list(ARM_KEYS))["value"].transform("mean")
    centred = complete.assign(value=complete["value"] - means)
    groups = {OVERALL: centred} | dict(list(centred.groupby("strategy", sort=False)))
    missing = [name for name in suggestions["strategy"].unique() if name not in groups]
    num_rows = sum(min(len(rows), _MOST) for rows in groups.values())
    num_trees = min(_TREES, max(_FEWEST_TREES, _ALL_TREE_ROWS // max(1, num_rows)))
    parts = [_of_group(str(strategy), rows, parameters, num_trees) for strategy, rows in groups.items()]
    parts += [_of_group(strategy, centred[:0], parameters, num_trees) for strategy in missing]
    return pd.concat(parts, ignore_index=True)


def _of_group(strategy: str, rows: pd.DataFrame, parameters: Mapping[str, Parameter], num_trees: int) -> pd.DataFrame:
    fewest = 1 + (strategy == OVERALL and rows["strategy"].nunique() > 1)
    names = [name for name in parameters if rows.loc[rows[name].notna(), "strategy"].nunique() >= fewest]
    everywhere = [name for name in names if rows[name].notna().all()]
    records = _evaluate(rows, everywhere, everywhere, parameters, num_trees)
    conditional: dict[tuple[int, ...], list[str]] = {}
    for name in names:
        if name not in everywhere:
            conditional.setdefault(tuple(np.flatnonzero(rows[name].notna())), []).append(name)
    for present, together in conditional.items():
        records += _evaluate(rows.iloc[list(present)], [*everywhere, *together], together, parameters, num_trees)
    records = records or [{"parameter": "", "num_suggestions": 0, "why": "no complete suggestion"}]
    rest = ({"strategy": strategy, "is_conditional": r["parameter"] not in (*everywhere, "")} for r in records)
    table = typed_frame([record | more for record, more in zip(records, rest, strict=True)], IMPORTANCES)
    return table.sort_values("importance", ascending=False, kind="stable")


def _evaluate(
    rows: pd.DataFrame,
    names: Sequence[str],
    wanted: Sequence[str],
    parameters: Mapping[str, Parameter],
    num_trees: int,
) -> list[dict[str, object]]:
    """Return a record per wanted parameter: what a forest over all names says of it, or why there is none."""
    if not names:
        return []
    why = _too_little(rows, names)
    if why:
        return [{"parameter": name, "num_suggestions": len(rows), "why": why} for name in wanted]
    if len(rows) > _MOST:
        rows = rows.sample(_MOST, random_state=0)
    num_trees = min(num_trees, max(_FEWEST_TREES, _TREE_ROWS // len(rows)))
    columns = [_as_sampled(rows[name], parameters[name]) for name in names]
    shares = _fanova(rows["value"], names, columns, parameters, num_trees)
    correlation, p = _out_of_bag(rows["value"], columns, num_trees)
    common = {"num_suggestions": len(rows), "rank_correlation": correlation, "p": p}
    return [{"parameter": name, "importance": shares[name]} | common for name in wanted]


def _too_little(rows: pd.DataFrame, names: Sequence[str]) -> str | None:
    if len(rows) < FEWEST:
        return f"{len(rows)} complete, must be at least {FEWEST} suggestions"
    if rows["value"].nunique() < 2:
        return "all complete suggestions have one value"
    if all(rows[name].nunique() < 2 for name in names):
        return "no parameter has two values"
    return None


def _fanova(
    values: pd.Series[float],
    names: Sequence[str],
    columns: Sequence[Sequence[Any]],
    parameters: Mapping[str, Parameter],
    num_trees: int,
) -> dict[str, float]:
    import optuna
    from optuna.importance import FanovaImportanceEvaluator

    spaces = {name: _space(parameters[name]) for name in names}
    with _quiet():
        study = optuna.create_study(direction="maximize")
    study.add_trials(
        [
            optuna.trial.create_trial(value=value, params=dict(zip(names, params, strict=True)), distributions=spaces)
            for value, *params in zip(values, *columns, strict=True)
        ]
    )
    evaluator = FanovaImportanceEvaluator(n_trees=num_trees, seed=0)
    return {name: float(share) for name, share in evaluator.evaluate(study, params=list(names)).items()}


def _out_of_bag(values: pd.Series[float], columns: Sequence[Sequence[Any]], num_trees: int) -> tuple[float, float]:
    """Return how a forest ranks values by trees that did not see them: Spearman's correlation, and its p-value."""
    from scipy.stats import spearmanr
    from sklearn.ensemble import RandomForestRegressor

    encoded = pd.get_dummies(pd.DataFrame(dict(enumerate(columns)))).to_numpy("float64")
    forest = RandomForestRegressor(max(num_trees, _OUT_OF_BAG_TREES), oob_score=True, random_state=0)
    predicted = forest.fit(encoded, values).oob_prediction_
    if len(np.unique(predicted)) < 2:
        return 0.0, 1.0
    correlation, p = spearmanr(predicted, values, alternative="greater")
    return float(correlation), float(p)


def _as_sampled(values: pd.Series[Any], parameter: Parameter) -> list[Any]:
    """Return values on the scale on which they are drawn: logarithms, numbers, or choices."""
    if not parameter.is_number:
        words = {choice: str(choice) for choice in parameter.choices}  # a table holds the choice 16 as 16.0
        return [words[value] for value in values]
    numbers = values.astype("float64")
    return [float(number) for number in (np.log(numbers) if parameter.log else numbers)]


def _space(parameter: Parameter) -> BaseDistribution:
    from optuna.distributions import CategoricalDistribution, FloatDistribution

    if parameter.low is None or parameter.high is None:
        return CategoricalDistribution([str(choice) for choice in parameter.choices])
    low, high = (math.log(end) if parameter.log else end for end in (parameter.low, parameter.high))
    return FloatDistribution(low, high)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep optuna from announcing a study that only carries values to fANOVA."""
    import optuna

    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(before)
