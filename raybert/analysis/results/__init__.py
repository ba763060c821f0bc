"""A results folder as frames, failures, estimates and notes."""
