"""`raybert doctor`: what a machine or a cluster has that sweeps need, node by node, and what to do about the rest."""
