"""The process that drives a sweep: what it tells, and how others see, pause and stop it."""
