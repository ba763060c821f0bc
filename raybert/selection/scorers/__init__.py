"""Functions and models that compute signals."""
