"""Strategies that read statistics of the text itself."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from raybert.config.tasks import EVERY_TASK, Task
from raybert.selection.pool import Pool, Selection
from raybert.selection.ranking import Balance, Order, rank
from raybert.selection.registry import register
from raybert.selection.scorers.aflite import aflite_hardness
from raybert.selection.scorers.lexical import lexical_score
from raybert.selection.strategies.mixed import MixedStrategy, draw_from_strata
from raybert.selection.strategies.ranked import BALANCE, QUOTAS, RankedStrategy


@register
class Perplexity(RankedStrategy):
    """Examples by pseudo-perplexity under a masked language model; fluent texts first.

    Rule: score = exp(mean over word pieces of -ln p(piece | the text with it masked)).

    With a causal language model (`selection.scorers.perplexity.kind: causal`) p(piece | the text before it).
    """

    name: ClassVar[str] = "perplexity"
    tasks: ClassVar[frozenset[Task]] = EVERY_TASK
    needs: ClassVar[frozenset[str]] = frozenset({"perplexity"})
    uses_seed: ClassVar[bool] = False
    citation: ClassVar[str] = 'Salazar et al. 2020, "Masked Language Model Scoring", arXiv 1910.14659'

    def scores(self, pool: Pool) -> np.ndarray:
        return np.asarray(pool.signals["perplexity"], np.float64)

    def order(self, budget_fraction: float) -> Order:
        return Order("easy")


@register
class LexicalDiversity(RankedStrategy):
    """Examples by the diversity of their words (MATTR, HD-D, MTLD) among texts of similar length.

    Rule: score = weighted mean of the ranks of MATTR, HD-D and MTLD inside deciles of length.
    """

    name: ClassVar[str] = "lexical_diversity"
    tasks: ClassVar[frozenset[Task]] = EVERY_TASK
    rule_version: ClassVar[int] = 2
    needs: ClassVar[frozenset[str]] = frozenset({"lexical"})
    uses_seed: ClassVar[bool] = False
    citation: ClassVar[str] = 'McCarthy & Jarvis 2010, "MTLD, vocd-D, and HD-D", doi 10.3758/BRM.42.2.381'

    weights: tuple[float, float, float] = Field((1.0, 1.0, 1.0), description="of MATTR, HD-D and MTLD")
    balance: Balance = Field("none", description=BALANCE)

    def scores(self, pool: Pool) -> np.ndarray:
        return lexical_score(pool.signals["lexical"], self.weights)


@register
class AfliteReadability(RankedStrategy):
    """Examples that linear models on frozen embeddings cannot predict, and that are hard to read.

    Rule: score = w rank(AFLite hardness) + (1 - w) rank(ARI).
    """

    name: ClassVar[str] = "aflite_readability"
    rule_version: ClassVar[int] = 2
    needs: ClassVar[frozenset[str]] = frozenset({"aflite", "readability"})
    uses_seed: ClassVar[bool] = False
    citation: ClassVar[str] = 'Le Bras et al. 2020, "Adversarial Filters of Dataset Biases", arXiv 2002.04108'

    weight: float = Field(0.5, ge=0, le=1, description="w of the AFLite rank; 1 - w goes to readability (ARI)")
    balance: Balance = Field("none", description=BALANCE)

    def scores(self, pool: Pool) -> np.ndarray:
        rounds, predictability = pool.signals["aflite"].astype(np.float64).T
        hardness = aflite_hardness(rounds, predictability)
        index = pool.signals["readability"][:, 0]
        return np.asarray(self.weight * _rank(hardness) + (1.0 - self.weight) * _rank(index))


@register
class Scdp(MixedStrategy):
    """Texts whose words are far from the middle of the pool; of large pools evenly at all distances (SCDP).

    Rule: score = distance of TF-IDF vectors from their geometric median; far first, or k evenly over strata of it.

    Strata are those of `ccs`: of equal width, filled evenly, drawn inside. The paper calls for them in large data sets;
    where the line is drawn (`large_from`) is ours.
    """

    name: ClassVar[str] = "scdp"
    tasks: ClassVar[frozenset[Task]] = EVERY_TASK
    operations: ClassVar[str] = "O(n log n)"
    needs: ClassVar[frozenset[str]] = frozenset({"tfidf_distance"})
    uses_seed: ClassVar[bool] = False
    citation: ClassVar[str] = 'Nguyen & He 2025, "Swift Cross-Dataset Pruning", arXiv 2501.02432'

    method: Literal["auto", "far", "strata"] = Field("auto", description="far, strata, or by the size of the pool")
    large_from: int = Field(20_000, ge=1, description="examples from which `auto` is strata")
    strata: int = Field(50, ge=1, description="most strata, of equal width in the distance")
    balance: Literal["class", "equal", "none", "error"] = Field(
        "none", description=f"{QUOTAS}; none: all are chosen together"
    )

    def choose(self, pool: Pool, budget: int) -> Selection:
        if self.method != "auto":
            return super().choose(pool, budget)
        method = "strata" if len(pool) >= self.large_from else "far"  # of the pool, not of a class
        return self.model_copy(update={"method": method}).choose(pool, budget)

    def pick(self, pool: Pool, budget: int) -> Selection:
        scores = np.asarray(pool.signals["tfidf_distance"], np.float64)
        if self.method == "far":
            positions = rank(scores, pool.tie_keys, Order("hard"))[0][:budget]
            return Selection(positions, scores[positions])
        return draw_from_strata(pool, budget, scores, strata=self.strata, drop=0.0, purpose="scdp")


def _rank(values: np.ndarray) -> np.ndarray:
    """Return (n,) float64 ranks in (0, 1], ties share their mean; NaN stays NaN."""
    from scipy.stats import rankdata  # 0.7 s that a plan need not wait for

    return np.asarray(rankdata(values, nan_policy="omit") / len(values))
