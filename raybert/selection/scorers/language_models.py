"""The scorer of `perplexity`: by a masked or by a causal language model, as the sweep file says."""

from __future__ import annotations

from raybert.selection.scorers.causal_perplexity import CausalPerplexityScorer
from raybert.selection.scorers.perplexity import PerplexityScorer
from raybert.selection.scorers.request import ScorerRequest
from raybert.selection.scorers.scorer import Scorer


def perplexity_scorer(request: ScorerRequest) -> Scorer:
    """Return the scorer of a trial."""
    settings, model = request.selection.scorers.perplexity, request.language_model
    assert model is not None
    if settings.kind == "causal":
        return CausalPerplexityScorer(model, request.max_length)
    return PerplexityScorer(model, settings.mask_every, request.max_length)
