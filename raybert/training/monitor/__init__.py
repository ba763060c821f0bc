"""What happens inside a model while it trains, measured without changing it."""

from raybert.training.monitor.failure import check_weights
from raybert.training.monitor.monitor import Monitor, NoMonitor, Watched

__all__ = ["Monitor", "NoMonitor", "Watched", "check_weights"]
