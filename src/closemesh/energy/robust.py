"""Robust penalty of residuals that are already divided by their standard deviation."""

from __future__ import annotations

from torch import Tensor


def geman_mcclure(squared_residual: Tensor, scale: float) -> Tensor:
    """Squared residual that saturates at scale**2 (Geman & McClure 1987); same shape.

    It takes the square, so that the gradient of a distance stays finite where the distance is zero.
    """
    return squared_residual / (1 + squared_residual / scale**2)


def pseudo_huber(squared_residual: Tensor, scale: float) -> Tensor:
    """Squared residual that grows only linearly beyond `scale` (Charbonnier et al. 1994); same shape."""
    return 2 * scale**2 * ((1 + squared_residual / scale**2).sqrt() - 1)
