"""The contrastive loss on sentences: two dropout views of each, told from the others of its group."""

from __future__ import annotations

import torch
from torch.nn import functional


def contrastive_losses(
    first: torch.Tensor,
    second: torch.Tensor,
    groups: torch.Tensor,
    documents: torch.Tensor,
    temperature: float,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the loss of every sentence, and whether its own second view is the nearest.

    loss_i = -ln(exp(s_ii / T) / sum_j exp(s_ij / T)), s the cosines of first and second views; j goes over the
    sentences of i's group, but not over other sentences of the same document.

    Args:
        first: (s, h) embeddings of the first views.
        second: (s, h) of the second ones.
        groups: (s,) int64, sentences of another group are no negatives.
        documents: (s,) int64.
        temperature: T > 0.

    Returns:
        (s,) float32; (s,) bool.

    Source: Gao et al. 2021, "SimCSE", arXiv 2104.08821, eq. 4.
    """
    cosines = functional.normalize(first.float(), dim=-1) @ functional.normalize(second.float(), dim=-1).T
    own = torch.eye(len(first), dtype=torch.bool, device=first.device)
    is_other = (groups[:, None] != groups) | ((documents[:, None] == documents) & ~own)
    scores = (cosines / temperature).masked_fill(is_other, -torch.inf)
    targets = torch.arange(len(first), device=first.device)
    return functional.cross_entropy(scores, targets, reduction="none"), scores.detach().argmax(dim=1) == targets


def pooled(hidden: torch.Tensor, sentences: torch.Tensor, count: int) -> torch.Tensor:
    """Return (s, h) float32 means over the pieces of each sentence.

    Args:
        hidden: (m, h) of the pieces.
        sentences: (m,) int64, number of each one's sentence.
        count: of sentences.
    """
    sums = hidden.new_zeros((count, hidden.shape[1]), dtype=torch.float32).index_add(0, sentences, hidden.float())
    sizes = sums.new_zeros(count).index_add(0, sentences, sums.new_ones(len(sentences)))
    return sums / sizes.clamp(min=1)[:, None]
