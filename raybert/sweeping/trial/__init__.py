"""One training run, in whatever process it is done."""
