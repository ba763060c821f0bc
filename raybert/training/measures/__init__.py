"""What is minimised and what is measured: losses, metrics, the history of both, stopping by it."""
