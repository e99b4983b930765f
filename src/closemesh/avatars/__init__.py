"""Avatars of 3D Gaussians on the body surface."""
