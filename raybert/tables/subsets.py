"""The tables of what was selected, and those of the pool behind it."""

from __future__ import annotations

from collections.abc import Iterator

from raybert.tables.runs import TRIALS
from raybert.tables.schema import Column, Table, computed

_KEYS = tuple(TRIALS[name] for name in ("strategy", "budget", "budget_kind"))
SUBSET_KEYS = tuple(column.name for column in _KEYS)
"""What subsets are described by: means are over seeds and folds."""


def _counted(of_what: str) -> Iterator[Column]:
    yield computed("num_examples", "number", f"chosen examples of {of_what}: mean over trials", "examples")
    yield computed("share", "number", "their share in what was chosen")
    yield computed("pool_num_examples", "number", f"pool examples of {of_what}: mean over folds", "examples")
    yield computed("pool_share", "number", "their share in the pool")


SELECTED_CLASSES = Table(
    "selected_classes",
    "a class in the subsets of a strategy; what every pass chooses anew counts once for every pass",
    (
        *_KEYS,
        computed("label", "whole", "number of the class"),
        computed("label_name", "text", "its name"),
        *_counted("the class"),
        computed("log2_ratio", "number", "binary logarithm of share / pool_share; -inf: nothing of it was chosen"),
    ),
    suffixes=(".csv",),
)

SELECTED_LENGTHS = Table(
    "selected_lengths",
    "a range of lengths in the subsets of a strategy, counted like classes",
    (
        *_KEYS,
        computed("low", "whole", "shortest length of the range", "word pieces"),
        computed("high", "whole", "shortest length above it", "word pieces"),
        *_counted("the range"),
    ),
    suffixes=(".csv",),
)

QUANTILES = {"q05": 0.05, "q25": 0.25, "q50": 0.5, "q75": 0.75, "q95": 0.95}
"""Of the lengths: column -> share of the examples."""
SELECTED_LENGTH_QUANTILES = Table(
    "selected_length_quantiles",
    "the lengths in the subsets of a strategy; the first row, `(pool)`, is the pool",
    (
        *_KEYS,
        computed("mean", "number", "mean length", "word pieces"),
        *(
            computed(name, "whole", f"shortest length that at least {share:.0%} do not exceed", "word pieces")
            for name, share in QUANTILES.items()
        ),
    ),
    suffixes=(".csv",),
)

PLANTED = Table(
    "planted",
    "a kind of noise that `data.noise` planted, as a strategy kept it; with a grid over `data` only of the pool of its "
    "first point",
    (
        *_KEYS,
        computed("kind", "text", "flip, shuffle_words or duplicate"),
        computed("num_planted", "number", "examples of the kind in the pool: mean over trials", "examples"),
        computed("kept", "number", "share of them that was trained on at least once: mean over trials"),
        computed("kept_std", "number", "its standard deviation over trials; NaN: one trial"),
        computed("kept_of_all", "number", "share of the whole pool that was trained on at least once"),
        computed("share", "number", "share of the kind in what was chosen, counted like classes"),
        computed("pool_share", "number", "its share in the pool"),
        computed("ratio", "number", "share / pool_share; 1: as a random draw"),
        computed(
            "auc",
            "number",
            "probability that the strategy's score is higher (harder) for an example of the kind than for another; "
            "NaN: it has no score of the whole pool",
        ),
        computed("auc_std", "number", "its standard deviation over trials"),
        computed("num_trials", "whole", "trials behind the row"),
    ),
    suffixes=(".csv",),
)

EXAMPLES = Table(
    "examples",
    "an example that a strategy kept or dropped in a trial of its first seed: a few of each kind, to look at",
    (
        computed("strategy", "text", "label of the strategy, with the point of the grid that stands for it"),
        TRIALS["budget"],
        TRIALS["trial_id"],
        computed(
            "part",
            "text",
            "`hardest kept`, `easiest kept`, `hardest dropped` or `easiest dropped`; `kept` or `dropped` where nothing "
            "orders the pool",
        ),
        computed("rank", "whole", "its place in the part, from 1"),
        computed("example_id", "text", "id of the example"),
        computed("position", "whole", "its row in the pool"),
        computed("label", "whole", "number of its class"),
        computed("label_name", "text", "name of its class"),
        computed("length", "whole", "its length as it is trained on", "word pieces"),
        computed("score", "number", "what the strategy ranks the pool by; higher = harder; NaN: it has no such score"),
        computed("loss", "number", "its last loss in training, in a trial of `all`; NaN: there is none", "nat"),
        computed("num_passes", "whole", "in how many passes of the trial it was; chosen once before training is 1"),
        computed("kept_by", "whole", "how many of the strategies of this table keep it"),
        computed("kept_by_of", "whole", "how many of them leave examples out at all"),
    ),
    further=(
        computed("text", "text", "beginning of its text, see `sweep.report.texts`"),
        computed("text_pair", "text", "beginning of its second text"),
    ),
    suffixes=(".parquet", ".csv"),
)

CONFLICTS = Table(
    "conflicts",
    "two near-duplicates with different labels, where a filter looked for them (`trials/<id>/conflicts.csv`)",
    (
        computed("example_id", "text", "id of the one that comes first in the pool"),
        computed("conflicts_with", "text", "id of the other"),
    ),
)

POOL = Table(
    "pool",
    "an example that may be selected (`pool.parquet`)",
    (
        computed("fold", "whole", TRIALS["fold"].description),
        computed("example_id", "text", "id of the example"),
        computed("label", "whole", "number of its class"),
        computed(
            "length",
            "whole",
            "its length as it is trained on; of documents for an IRIS model: in chunks",
            "word pieces",
        ),
        Column("planted", "text", "noise of `data.noise`: its kind, or empty", origin="tables", optional=True),
    ),
)

HELD_OUT = Table(
    "held_out",
    "an example of validation or test (`held_out.parquet`, for `raybert evaluate`)",
    (
        computed("example_id", "text", "id of the example"),
        Column("group", "text", "its group, where `data.group` names a column", origin="tables", optional=True),
        computed("data_key", "text", "which data set of the sweep: a key of `data` in `manifest.json`"),
        computed("split", "text", "validation or test"),
        computed("row", "whole", "its row in the split"),
    ),
)
