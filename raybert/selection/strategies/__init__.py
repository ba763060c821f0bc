"""The strategies that come with raybert, grouped by what they read."""

from raybert.selection.strategies.baselines import All, Random, RandomEpoch, RandomStratified
from raybert.selection.strategies.columns import Column
from raybert.selection.strategies.coverage import Diversity, FacilityLocation, GraphCut, KCenter, ProbCover, TypiClust
from raybert.selection.strategies.curriculum import Curriculum
from raybert.selection.strategies.dynamics import Aum, Cartography, DynUnc, Forgetting, Tdds
from raybert.selection.strategies.filters import DropHardest, HScore, LabelErrors, SemDedup
from raybert.selection.strategies.gradients import Badge, Bald
from raybert.selection.strategies.losses import InfoBatch, LossThreshold
from raybert.selection.strategies.mixed import D2, Ccs, EdfsLite, EntropyDiversity, QditLite
from raybert.selection.strategies.places import Cal, Herding, Moderate
from raybert.selection.strategies.proxies import Confidence, El2n, Grand, Ifd, RhoLoss
from raybert.selection.strategies.ranked import RankedStrategy
from raybert.selection.strategies.text import AfliteReadability, LexicalDiversity, Perplexity, Scdp
from raybert.selection.strategies.valued import DataOob, Influence, KnnShapley

__all__ = [
    "D2",
    "AfliteReadability",
    "All",
    "Aum",
    "Badge",
    "Bald",
    "Cal",
    "Cartography",
    "Ccs",
    "Column",
    "Confidence",
    "Curriculum",
    "DataOob",
    "Diversity",
    "DropHardest",
    "DynUnc",
    "EdfsLite",
    "El2n",
    "EntropyDiversity",
    "FacilityLocation",
    "Forgetting",
    "Grand",
    "GraphCut",
    "HScore",
    "Herding",
    "Ifd",
    "Influence",
    "InfoBatch",
    "KCenter",
    "KnnShapley",
    "LabelErrors",
    "LexicalDiversity",
    "LossThreshold",
    "Moderate",
    "Perplexity",
    "ProbCover",
    "QditLite",
    "Random",
    "RandomEpoch",
    "RandomStratified",
    "RankedStrategy",
    "RhoLoss",
    "Scdp",
    "SemDedup",
    "Tdds",
    "TypiClust",
]
