"""One trained model: what a path stands for, its metrics with intervals, its plots, what it read."""
