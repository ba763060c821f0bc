"""Training from a script: a model, data and options of the user's own in, the same loop as in sweeps."""
