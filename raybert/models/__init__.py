"""Encoders with a classification head."""
