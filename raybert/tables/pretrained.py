"""The tables of commands on pretraining files: `raybert tokenizer`, `crosseval` and `probe`."""

from __future__ import annotations

from raybert.tables.schema import Table, computed

TOKENIZER_CUTS = Table(
    "tokenizer_cuts",
    "a split of a corpus, as a tokenizer cuts it (`raybert tokenizer`)",
    (
        computed("corpus", "text", "its name"),
        computed("split", "text", "train, validation or test"),
        computed("documents", "whole", "in it", "documents"),
        computed("words", "whole", "runs of characters without white space", "words"),
        computed("pieces", "whole", "without those that begin and end a text", "pieces"),
        computed("pieces_per_word", "number", "the tokenizer's fertility"),
        computed("unknown_fraction", "number", "share of the pieces that are [UNK]"),
        computed(
            "one_piece_fraction", "number", "share of the words that are one piece, each cut alone behind a blank"
        ),
    ),
)

OF_PRETRAINING = (TOKENIZER_CUTS,)
"""In the order of the documentation."""
