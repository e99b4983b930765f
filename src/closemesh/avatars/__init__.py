"""Avatars of 3D Gaussians on the body surface: their surface, rendering and fit to the frames."""
