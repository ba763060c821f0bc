"""The phases of a sweep: prepare, score, train, and the best once more."""
