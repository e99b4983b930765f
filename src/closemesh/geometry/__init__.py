"""Pure, batched, differentiable."""
