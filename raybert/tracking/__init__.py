"""The trackers that a team already uses: what the driver of a sweep tells them, and a finished folder sent later."""
