"""The training loop and what it is made of."""

from raybert.training.inference import embed_examples, predict_probs, predict_with_features
from raybert.training.interface import (
    FixedPasses,
    LocalSurroundings,
    PassPlan,
    PassPlanner,
    PoolView,
    Surroundings,
)
from raybert.training.loop import fit
from raybert.training.measures.metrics import classification_metrics
from raybert.training.result import FitResult

__all__ = [
    "FitResult",
    "FixedPasses",
    "LocalSurroundings",
    "PassPlan",
    "PassPlanner",
    "PoolView",
    "Surroundings",
    "classification_metrics",
    "embed_examples",
    "fit",
    "predict_probs",
    "predict_with_features",
]
