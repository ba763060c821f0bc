"""Geometry of embeddings: coverage, clusters, neighbours."""

from raybert.selection.geometry.k_center import k_center

__all__ = ["k_center"]
