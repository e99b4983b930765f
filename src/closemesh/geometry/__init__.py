"""Differentiable functions on batches: cameras, rotations, transforms and meshes."""
