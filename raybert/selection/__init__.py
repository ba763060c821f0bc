"""Which examples to train on: signals, strategies, schedules."""
