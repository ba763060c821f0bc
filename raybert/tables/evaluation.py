"""The tables of commands on a model or a pool: `raybert evaluate`, `predict`, `select` and `explain`."""

from __future__ import annotations

from raybert.config.metrics import METRICS, Metric
from raybert.tables.annotation import ROUNDS, STATES, TO_LABEL
from raybert.tables.pretrained import OF_PRETRAINING
from raybert.tables.schema import Column, Table, computed
from raybert.tables.several import COMPARED_SWEEPS, MEAN_RANKS

_LABEL = computed("label", "text", "name of the class")
_OF_EACH = ("precision", "recall", "specificity", "f1", "auc_roc", "auc_pr")
"""Metrics of one class against the rest."""
_RATES = ("precision", "recall", "f1", "specificity")
"""Metrics of class 1 at a threshold."""


def _metric(metric: Metric) -> Column:
    better = "lower" if metric.lower_is_better else "higher"
    words = f"{metric.words}: {metric.description}; {better} is better"
    return Column(
        metric.name,
        "number",
        words,
        origin="tables",
        optional=metric.two_classes_only or "classification" not in metric.tasks,
    )


def _maybe(name: str, description: str) -> Column:
    return Column(name, "text", description, origin="tables", optional=True)


_PROBABILITIES = (
    computed("predicted", "text", "name of the predicted class; empty: there is no text"),
    computed("confidence", "number32", "its probability"),
    computed("prob_<class>", "number32", "probability of a class, a column for each"),
)

PER_CLASS = Table(
    "per_class",
    "a class against the rest (`evaluation/per_class.csv`)",
    (
        _LABEL,
        computed("num_examples", "whole", "examples of the class", "examples"),
        computed("num_predicted", "whole", "examples that are predicted to be of it", "examples"),
        *(computed(name, "number", f"{name} of the class against the rest; NaN: undefined") for name in _OF_EACH),
    ),
)

PER_GROUP = Table(
    "per_group",
    "a group, where `data.group` or `group` of `evaluate` names a column (`evaluation/per_group.csv`)",
    (
        computed("group", "text", "its id"),
        computed("num_examples", "whole", "its examples", "examples"),
        *(_metric(metric) for metric in METRICS.values()),
    ),
)

BY = Table(
    "by",
    "a metric of the examples with one value in a column, of `by` of `evaluate` (`evaluation/by.csv`)",
    (
        computed("column", "text", "name of the column"),
        computed("group", "text", "value, or part of the numbers with `quantiles`; `(missing)`: there is none"),
        computed("num_examples", "whole", "its examples", "examples"),
        computed("metric", "text", "name of the metric"),
        computed("value", "number", "the metric of these examples; NaN: undefined"),
        computed("low", "number", "lower end of its 95 % bootstrap interval"),
        computed("high", "number", "upper end"),
    ),
)

CONFUSION = Table(
    "confusion",
    "a class: how its examples are predicted (`evaluation/confusion.csv`)",
    (_LABEL, computed("<class>", "whole", "examples that are predicted to be of it, a column for each", "examples")),
)

THRESHOLDS = Table(
    "thresholds",
    "a probability from which on class 1 of two is predicted (`evaluation/thresholds.csv`)",
    (
        computed("threshold", "number", "that probability"),
        *(computed(name, "number", f"{name} of class 1; NaN: undefined") for name in _RATES),
        computed("predicted_positive_fraction", "number", "share of examples that are predicted to be of class 1"),
    ),
)

EVALUATED = Table(
    "evaluated",
    "an example of what was evaluated (`evaluation/predictions.parquet`)",
    (
        computed("example_id", "text", "id of the example, or its row number"),
        _maybe(
            "seen",
            "with `data`: what it was to the run of the model: trained, pool, validation, test, or empty: new",
        ),
        _maybe("group", "id of its group, where there are groups"),
        computed("label", "text", "name of its class"),
        *_PROBABILITIES,
    ),
)

PREDICTED = Table(
    "predicted",
    "a text that was predicted (`raybert predict`)",
    (
        computed("example_id", "text", "its id, or its row number"),
        computed("text", "text", "the text"),
        _maybe("text_pair", "the second text, of a model of pairs"),
        *_PROBABILITIES,
    ),
)

SUBSET = Table(
    "subset",
    "a chosen example, in the order of selection (`raybert select`)",
    (
        computed("rank", "whole", "1 is first"),
        computed("example_id", "text", "id of the example"),
        computed("row", "whole", "its row in the train table of the source, from 1; shards are counted through"),
        computed("text", "text", "its text"),
        _maybe("text_pair", "its second text, of pairs"),
        _maybe("planted", "noise of `data.noise`: its kind, or empty"),
        _LABEL,
        computed("score", "number", "what it was chosen by; higher = harder, NaN: none"),
        computed("weight", "number", "factor of its loss"),
        Column(
            "<column>",
            "any",
            "every column of the source as it is there; `source.<column>` where its name is taken and it differs",
            origin="tables",
            optional=True,
        ),
    ),
)

EXPLAINED = Table(
    "explained",
    "a term of which the logit of a document is the sum (`raybert explain`)",
    (
        computed("split", "text", "split of the document"),
        computed("example_id", "text", "its id"),
        computed("position", "whole", "its row in the split"),
        computed("label", "whole", "number of the class whose logit it is"),
        computed("term", "text", "chunk, companion, interaction or bias"),
        computed("query", "count", "number of the query, of a chunk"),
        computed("chunk", "count", "number of the chunk in the document"),
        computed("similarity", "number32", "cosine of query and chunk"),
        computed("attention", "number32", "weight of the chunk among those that the query retrieved"),
        computed("contribution", "number32", "the term"),
        computed("text", "text", "text of the chunk"),
    ),
)

ATTENDED = Table(
    "attended",
    "a word piece of a text that a token model read (`raybert explain`)",
    (
        computed("text", "text", "split and row of the text, or its number among those given"),
        computed("place", "whole", "of the piece in the text, from 0"),
        computed("piece", "text", "the word piece"),
        computed("received", "number32", "attention that it gets: mean over heads and pieces of the layer"),
        computed("of_first", "number32", "attention that the first piece pays to it: mean over heads of the layer"),
    ),
)

QUERY_OVERLAP = Table(
    "query_overlap",
    "a pair of queries of an IRIS model (`raybert explain`)",
    (
        computed("query", "whole", "number of the one"),
        computed("other", "whole", "number of the other"),
        computed("cosine", "number", "of the two: 1 is the same direction"),
        computed(
            "jaccard",
            "number",
            "share of the chunks of a document that both retrieve, of those that one of them does; mean over documents "
            "of the pool with more chunks than a query retrieves",
        ),
        computed("jaccard_by_chance", "number", "about the same of chunks drawn at random"),
    ),
)

CHECKPOINTS = Table(
    "checkpoints",
    "a checkpoint that a run has kept (`raybert evaluate --checkpoints`, `evaluation/checkpoints.csv`)",
    (
        computed("checkpoint", "text", "name of its folder"),
        computed("step", "whole", "optimizer steps done", "steps"),
        computed("pass", "number", "passes done, with the share of the current one"),
        computed("split", "text", "what it is measured on"),
        *(_metric(metric) for metric in METRICS.values()),
    ),
)

OF_COMMANDS = {
    table.name: table
    for table in (
        *(PER_CLASS, PER_GROUP, BY, CONFUSION, THRESHOLDS, CHECKPOINTS, EVALUATED, PREDICTED, SUBSET),
        *(EXPLAINED, QUERY_OVERLAP, ATTENDED, COMPARED_SWEEPS, MEAN_RANKS),
        *(TO_LABEL, STATES, ROUNDS),
        *OF_PRETRAINING,
    )
}
"""By name, in the order of the documentation."""
