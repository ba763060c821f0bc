"""The strategies that come with raybert, grouped by the signal they read."""
