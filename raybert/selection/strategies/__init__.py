"""The strategies that come with raybert, grouped by the signal they read."""

from raybert.selection.strategies.baselines import All, Random, RandomEpoch, RandomStratified
from raybert.selection.strategies.geometric import KCenter
from raybert.selection.strategies.losses import LossThreshold
from raybert.selection.strategies.uncertainty import Confidence, El2n, RankedStrategy

__all__ = [
    "All",
    "Confidence",
    "El2n",
    "KCenter",
    "LossThreshold",
    "Random",
    "RandomEpoch",
    "RandomStratified",
    "RankedStrategy",
]
