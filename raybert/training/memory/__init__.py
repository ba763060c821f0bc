"""Fitting into the memory of a device: micro-batches that fit, and what happens where none does."""
