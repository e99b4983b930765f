"""What keeps Gaussians near the skin that carries them, and of its grain."""

from __future__ import annotations

from torch import Tensor


def offset_from_skin(offsets: Tensor) -> Tensor:
    """Squared distance [...] in m^2 of offsets [..., 3] (L_offset of CloseApp Eq. 9)."""
    return offsets.square().sum(-1)


def stretch(scales: Tensor, fresh: Tensor) -> Tensor:
    """Squared logarithm [...] of how far scales [..., 3] are from what just covers the skin (L_scale of Eq. 9).

    A mean of the scales, as in CloseApp's code, would open holes where nothing was seen.
    """
    return (scales / fresh).log().square().sum(-1)
