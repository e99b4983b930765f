"""What every fit shares: the evidence, the one table of weights and phases, the objective and the minimiser."""
