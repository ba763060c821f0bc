"""What a search tried, found and spent, one row per suggestion or per arm."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd

from raybert.analysis.search.studies import StudiedArm
from raybert.analysis.statistics.columns import typed_frame
from raybert.tables import BEST_CONFIGURATIONS, HISTORY, PRUNING, SUGGESTIONS
from raybert.tables.search import ARM_KEYS

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.trial import FrozenTrial

_STATES = {"COMPLETE": "complete", "PRUNED": "pruned", "FAIL": "failed", "RUNNING": "running", "WAITING": "waiting"}
ENDED = ("complete", "pruned", "failed")
STRATEGY = "strategy"
"""The parameter by which a shared study chooses the strategy: a column of its own."""


@dataclass(frozen=True)
class Parameter:
    """A tuned parameter, over all arms that have it.

    Attributes:
        name: dotted key.
        low: smallest value that was allowed; None for choices.
        high: largest.
        log: whether it is searched on a logarithmic scale.
        is_whole: whether it takes whole numbers only.
        choices: what can be chosen, as in the tables; empty for numbers.
    """

    name: str
    low: float | None = None
    high: float | None = None
    log: bool = False
    is_whole: bool = False
    choices: tuple[Any, ...] = ()

    @property
    def is_number(self) -> bool:
        """Whether it has a scale."""
        return not self.choices

    @property
    def is_text(self) -> bool:
        """Whether the tables hold it as text."""
        return any(isinstance(choice, str) for choice in self.choices)


def find_parameters(arms: Sequence[StudiedArm]) -> dict[str, Parameter]:
    """Return the parameters in the order in which they are first suggested; those of few arms come last."""
    spaces: dict[str, list[BaseDistribution]] = {}
    num_arms: dict[str, int] = {}
    for arm in arms:
        own = {(name, d): None for trial in arm.trials for name, d in trial.distributions.items()}
        for name, distribution in own:
            spaces.setdefault(name, []).append(distribution)
        for name in {name for name, _ in own}:
            num_arms[name] = num_arms.get(name, 0) + 1
    ordered = sorted(spaces, key=lambda name: -num_arms[name])
    return {name: _joined(name, spaces[name]) for name in ordered if name != STRATEGY}


def _joined(name: str, spaces: Sequence[Any]) -> Parameter:
    """Return the parameter whose space holds those of all arms: a file that was extended may have widened it."""
    choices = list(dict.fromkeys(choice for space in spaces for choice in getattr(space, "choices", ())))
    if choices:
        are_numbers = all(isinstance(c, int | float) and not isinstance(c, bool) for c in choices)
        return Parameter(name, choices=tuple(choices if are_numbers else map(_word, choices)))
    return Parameter(
        name,
        low=min(float(space.low) for space in spaces),
        high=max(float(space.high) for space in spaces),
        log=all(space.log for space in spaces),
        is_whole=all(type(space.low) is int for space in spaces),
    )


def _word(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def suggestions_table(arms: Sequence[StudiedArm], parameters: Mapping[str, Parameter]) -> pd.DataFrame:
    """Return a row per suggestion, arm by arm in the order of their numbers: `SUGGESTIONS`.

    An arm is a strategy at a grid point, with a study of its own; in a shared search all strategies are one arm, and
    whatever is said per arm is said per strategy in it. Choices are text. A parameter that a suggestion does not have
    (another arm's, or conditional) is empty.
    """
    grid = list(dict.fromkeys(key for arm in arms for key in arm.grid))
    rows = [_row(arm, trial, parameters) for arm in arms for trial in arm.trials]
    frame = typed_frame(rows, SUGGESTIONS, grid, [*parameters])
    for name, parameter in parameters.items():
        frame[name] = frame[name].astype("str" if parameter.is_text else "Int64" if parameter.is_whole else "float64")
    return frame


def _row(arm: StudiedArm, trial: FrozenTrial, parameters: Mapping[str, Parameter]) -> dict[str, Any]:
    known, values = trial.user_attrs, list(trial.user_attrs.get("values") or [])
    return {
        **arm.grid,
        **{name: _cell(parameters[name], value) for name, value in trial.params.items() if name in parameters},
        "arm": arm.name,
        "strategy": arm.strategy or trial.params.get(STRATEGY, arm.name),
        "number": trial.number,
        "state": _STATES[trial.state.name],
        "value": trial.value,
        "num_seeds": len(values),
        "seeds": list(known.get("seeds") or [])[: len(values)],
        "seed_values": values,
        "examples_seen": known.get("examples_seen"),
        "seconds": known.get("seconds"),
        "why": known.get("why") or None,
    }


def _cell(parameter: Parameter, value: Any) -> Any:
    """Return a value as the tables hold it: where one choice is text, all are."""
    return _word(value) if parameter.is_text else value


def best_table(suggestions: pd.DataFrame, parameters: Mapping[str, Parameter], maximize: bool) -> pd.DataFrame:
    """Return the best complete suggestion of every arm that has one: `BEST_CONFIGURATIONS`."""
    keys = list(suggestions.columns[: list(suggestions.columns).index("number")])
    rows = []
    for _, arm in complete_suggestions(suggestions).groupby(list(ARM_KEYS), sort=False):
        signed = arm["value"] if maximize else -arm["value"]
        first = signed[arm["number"] == 0]
        rows.append(
            arm.loc[[signed.idxmax()], [*keys, "number", "value", *parameters]].to_dict("records")[0]
            | {
                "num_complete": len(arm),
                "gain_over_median": signed.max() - signed.median(),
                "gain_over_first": signed.max() - first.iloc[0] if len(first) else float("nan"),
            }
        )
    grid = keys[len(ARM_KEYS) :]
    frame = typed_frame(rows, BEST_CONFIGURATIONS, grid, [*parameters])
    return frame.astype({name: suggestions.dtypes[name] for name in (*grid, *parameters)})


def history_table(suggestions: pd.DataFrame, maximize: bool) -> pd.DataFrame:
    """Return how the best complete value of every arm grew, over the suggestions that have ended: `HISTORY`."""
    ended = suggestions[suggestions["state"].isin(ENDED)]
    signed = ended["value"].where(ended["state"] == "complete") * (1 if maximize else -1)
    groups = [ended[key] for key in ARM_KEYS]
    best = signed.groupby(groups, sort=False).cummax().groupby(groups, sort=False).ffill()
    history = ended[[*ARM_KEYS, "number", "state", "value"]].assign(best_value=best * (1 if maximize else -1))
    for column in ("examples_seen", "seconds"):
        spent = ended[column].astype("float64").fillna(0.0)
        history[f"cumulated_{column.removesuffix('_seen')}"] = spent.groupby(groups, sort=False).cumsum()
    return history[HISTORY.order()].reset_index(drop=True)


def pruning_table(suggestions: pd.DataFrame) -> pd.DataFrame:
    """Return what became of the suggestions of every arm, and what they cost: `PRUNING`."""
    rows = []
    for (arm, strategy), own in suggestions.groupby(list(ARM_KEYS), sort=False):
        ended, pruned = own[own["state"].isin(ENDED)], own[own["state"] == "pruned"]
        counts = {state: int((own["state"] == state).sum()) for state in ENDED}
        examples, seconds = ended["examples_seen"].astype("float64"), ended["seconds"]
        full_cost = len(ended) * examples[ended["state"] == "complete"].median()
        rows.append(
            {"arm": arm, "strategy": strategy, "num_suggestions": len(own)}
            | {f"num_{state}": count for state, count in counts.items()}
            | {"num_running": len(own) - len(ended)}
            | {f"{state}_rate": count / len(ended) if len(ended) else float("nan") for state, count in counts.items()}
            | {"examples_seen": examples.sum(), "seconds": seconds.sum()}
            | {"examples_pruned": pruned["examples_seen"].astype("float64").sum()}
            | {"seconds_pruned": pruned["seconds"].sum(), "seconds_per_suggestion": seconds.mean()}
            | {"full_cost_fraction": examples.sum() / full_cost if full_cost else float("nan")}
        )
    return typed_frame(rows, PRUNING)


def complete_suggestions(suggestions: pd.DataFrame) -> pd.DataFrame:
    """Return those that were trained to the end, whose values can be compared."""
    return suggestions[suggestions["state"] == "complete"].dropna(subset="value")
