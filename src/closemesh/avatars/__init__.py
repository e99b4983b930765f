"""Gaussian avatars on the body surface."""
