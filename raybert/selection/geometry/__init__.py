"""Geometry of selection: pure numpy and torch functions on embeddings, positions out."""

from raybert.selection.geometry.k_center import covering_radius, find_medoid, k_center

__all__ = ["covering_radius", "find_medoid", "k_center"]
