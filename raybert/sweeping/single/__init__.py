"""Sweeps of one: train, select, reproduce."""
