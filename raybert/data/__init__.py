"""Texts and labels: sources, splits, token tables, batches."""

from typing import TYPE_CHECKING

from raybert.lazy import names_on_first_use

if TYPE_CHECKING:
    from raybert.data.batches import scoring_batches, training_batches
    from raybert.data.folds import load_folds
    from raybert.data.splits import Splits, load_splits
    from raybert.data.tokens import TokenizedData, TokenTable, collate, tokenize_splits
else:
    __getattr__ = names_on_first_use(
        __name__,
        {
            "raybert.data.batches": ("scoring_batches", "training_batches"),
            "raybert.data.folds": ("load_folds",),
            "raybert.data.splits": ("Splits", "load_splits"),
            "raybert.data.tokens": ("TokenizedData", "TokenTable", "collate", "tokenize_splits"),
        },
    )

__all__ = [
    "Splits",
    "TokenTable",
    "TokenizedData",
    "collate",
    "load_folds",
    "load_splits",
    "scoring_batches",
    "tokenize_splits",
    "training_batches",
]
