"""From a loss to a step: gradients, the optimizer, its schedules, averages of the weights."""
