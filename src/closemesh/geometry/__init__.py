"""Rotations, rigid transforms and camera projection: pure functions, batched, differentiable."""
