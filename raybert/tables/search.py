"""The tables of a hyperparameter search (`sweep.tune`): what was tried, found and spent."""

from __future__ import annotations

from raybert.tables.schema import Column, Table, computed

_ARM = (
    computed("arm", "text", "what is searched on its own: a strategy at a grid point; one for all in a shared search"),
    computed("strategy", "text", "its strategy"),
)
ARM_KEYS = tuple(column.name for column in _ARM)
"""What tells the rows of a search apart."""
_PARAMETER = computed("parameter", "text", "dotted key of the parameter")
_NUMBER = computed("number", "whole", "number of the suggestion in its arm, from 0")
_VALUE = computed(
    "value",
    "number",
    "the tuned metric on validation: mean over seeds of each one's best evaluation; of a suggestion that is not "
    "complete what was known when it ended, after fewer examples, which cannot be compared",
)
_STATE = computed("state", "text", "complete, pruned, failed, running or waiting")
_NUM_COMPLETE = computed("num_complete", "whole", "complete suggestions", "suggestions")


def _number(name: str, description: str, unit: str = "") -> Column:
    return computed(name, "number", description, unit)


SUGGESTIONS = Table(
    "search",
    "a suggestion of a search",
    (
        *_ARM,
        _NUMBER,
        _STATE,
        _VALUE,
        computed("num_seeds", "whole", "seeds that have finished", "seeds"),
        computed("seeds", "counts", "these seeds"),
        computed("seed_values", "numbers", "the value of each"),
        computed("examples_seen", "count", "what its runs have trained on, repetitions included", "examples"),
        _number("seconds", "what its runs have taken", "s"),
        computed("why", "text", "why it was pruned or failed"),
    ),
    grid_after="strategy",
    parameters_after="value",
    suffixes=(".parquet", ".csv"),
)

BEST_CONFIGURATIONS = Table(
    "best_configurations",
    "the best complete suggestion of an arm; of equal ones the first",
    (
        *_ARM,
        _NUMBER,
        _VALUE,
        _NUM_COMPLETE,
        _number("gain_over_median", "how much better it is than the median complete suggestion"),
        _number("gain_over_first", "the same against suggestion 0; NaN: that one is not complete"),
        computed("metric", "text", "what chose it: `sweep.tune.metric`, by default `train.best_metric`"),
    ),
    grid_after="strategy",
    parameters_after="value",
    suffixes=(".csv",),
)

NEAR_BEST = Table(
    "near_best",
    "an arm and a parameter: where the suggestions lie that may be the best",
    (
        *_ARM,
        _PARAMETER,
        computed("best", "any", "its value in the best suggestion"),
        _number("low", "its lowest value in those that may be the best; NaN: a choice"),
        _number("high", "its highest value in them"),
        _number("tried_below", "the nearest value below `low` of a complete suggestion, or the end of the space"),
        _number("tried_above", "the nearest value above `high`; the optimum can lie anywhere between the two"),
        computed("values", "text", "all its values in those that may be the best"),
        computed("num_near", "whole", "suggestions that may be the best", "suggestions"),
        _NUM_COMPLETE,
        _number("margin", "how much worse than the best one a suggestion may be to count among them"),
    ),
    suffixes=(".csv",),
)

IMPORTANCES = Table(
    "importances",
    "a parameter of a strategy, or of all (`(overall)`): how much the result depends on it",
    (
        _ARM[1],
        _PARAMETER,
        _number("importance", "share of the variance over the space that it explains alone (fANOVA); NaN: see `why`"),
        computed("num_suggestions", "whole", "complete suggestions behind it", "suggestions"),
        computed("is_conditional", "flag", "whether only some suggestions have the parameter"),
        _number("rank_correlation", "Spearman's, of values and what trees predict that did not see them"),
        _number("p", "its one-sided p-value; from 0.05 on the importances may be noise"),
        computed("why", "text", "why there is no importance"),
    ),
    suffixes=(".csv",),
)

_ENDED = ("complete", "pruned", "failed")
PRUNING = Table(
    "pruning",
    "an arm: what became of its suggestions, and what they cost",
    (
        *_ARM,
        computed("num_suggestions", "whole", "all of them", "suggestions"),
        *(computed(f"num_{state}", "whole", f"those that are {state}", "suggestions") for state in _ENDED),
        computed("num_running", "whole", "those that run or wait", "suggestions"),
        *(_number(f"{state}_rate", f"share of those {state} in those that have ended") for state in _ENDED),
        computed("examples_seen", "whole", "what all that ended were trained on", "examples"),
        _number("seconds", "what they took", "s"),
        computed("examples_pruned", "whole", "what those were trained on that were pruned", "examples"),
        _number("seconds_pruned", "what these took", "s"),
        _number("seconds_per_suggestion", "mean of those that ended", "s"),
        _number(
            "full_cost_fraction",
            "examples spent, as a share of what all that ended would have cost if trained to the end: their number "
            "times the median of the complete ones",
        ),
    ),
    suffixes=(".csv",),
)

HISTORY = Table(
    "history",
    "a suggestion that has ended: how the best value grew (`Search.history`, which the plots draw)",
    (
        *_ARM,
        _NUMBER,
        _STATE,
        _VALUE,
        _number("best_value", "best complete value so far; NaN: none yet"),
        _number("cumulated_examples", "what was spent by then, on pruned and failed ones too", "examples"),
        _number("cumulated_seconds", "the same in time", "s"),
    ),
)
