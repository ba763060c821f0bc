"""Texts and labels: sources, splits, token tables, batches."""

from raybert.data.batches import scoring_batches, training_batches
from raybert.data.folds import load_folds
from raybert.data.splits import Splits, load_splits
from raybert.data.tokens import TokenizedData, TokenTable, collate, tokenize_splits

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
