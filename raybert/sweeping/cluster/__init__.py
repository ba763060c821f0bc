"""All that speaks Ray Tune and Ray Train: joining a cluster, runs in warm actors, deaths and hangs."""
