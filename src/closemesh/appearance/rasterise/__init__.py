"""Gaussians to an image and back: projection and front-to-back compositing, differentiable, on the CPU and on CUDA."""
