"""Geometry of selection: pure numpy and torch functions on embeddings, positions out."""
