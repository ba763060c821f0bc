"""Texts and labels: sources, splits, token tables, batches."""
