"""The tables of `raybert annotate`: what is to be labelled, what the model of a round said, and the rounds."""

from __future__ import annotations

from raybert.tables.schema import Column, Table, computed

TO_LABEL = Table(
    "to_label",
    "a text to label, the most wanted first (`round-<k>.csv` of `raybert annotate`)",
    (
        computed("rank", "whole", "1 is first"),
        computed("example_id", "text", "id of the text; leave it as it is"),
        computed("row", "whole", "its row in the source, from 1; shards are counted through"),
        Column(
            "<label>", "text", "empty: write its class here; the column's name is that of `data.label`", origin="tables"
        ),
        computed("text", "text", "the text"),
        Column("text_pair", "text", "the second text, of pairs", origin="tables", optional=True),
        computed("score", "number", "what it was chosen by; higher = harder, NaN: none"),
        computed("reason", "text", "why it was chosen, in words"),
    ),
)

STATES = Table(
    "states",
    "a text without a label, as the model of a round saw it (`states/round-<k>.parquet`)",
    (
        computed("example_id", "text", "id of the text"),
        computed("predicted", "text", "name of the most probable class"),
        computed("confidence", "number", "its probability"),
        computed("entropy", "number", "of all probabilities, as a share of that of equal ones"),
    ),
)

ROUNDS = Table(
    "rounds",
    "a round of `raybert annotate` (`rounds.csv`)",
    (
        computed("round", "whole", "1 is first"),
        computed("strategy", "text", "which chose"),
        computed("num_labelled", "whole", "texts with a label when it chose", "examples"),
        computed("num_candidates", "whole", "texts without one", "examples"),
        computed("num_chosen", "whole", "of them, to be labelled", "examples"),
        computed(
            "accuracy", "number", "of the round's model on the validation split of the source; NaN: there is none"
        ),
        computed("mean_confidence", "number", "of the round's model, over the candidates; NaN: there was no model"),
        computed("mean_entropy", "number", "of its probabilities, as a share of that of equal ones"),
        computed("changed", "number", "share of the candidates that the model of the round before calls another class"),
        computed("kappa", "number", "Cohen's kappa of the two models' classes; NaN: there is nothing to compare"),
        computed("stop", "text", "criteria by which labelling may stop, separated by semicolons; empty: none"),
    ),
)
