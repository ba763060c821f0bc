"""Many trials over a Ray cluster: plan, prepare, score, compare."""
