"""What happens inside a model while it trains, measured without changing it."""

from raybert.training.monitor.failure import check_weights
from raybert.training.monitor.monitor import Monitor, MonitoredModel, NoMonitor

__all__ = ["Monitor", "MonitoredModel", "NoMonitor", "check_weights"]
