"""`raybert submit`: a sweep as a job of a cluster that is reached by its dashboard alone, and commands on it there."""
