"""Gaussian splatting: differentiable projection and rasterization."""
