"""How far a drawn picture is from the seen one."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

_WINDOW, _SIGMA = 11, 1.5  # Pixels, as in Wang et al. 2004.
_C1, _C2 = 0.01**2, 0.03**2  # For pictures of 0..1.


def absolute_difference(drawn: Tensor, seen: Tensor) -> Tensor:
    """L1 [..., H, W, C] of pictures [..., H, W, C] (CloseApp Eq. 6)."""
    return (drawn - seen).abs()


def dissimilarity(drawn: Tensor, seen: Tensor) -> Tensor:
    """1 - SSIM [H, W, C] of pictures [H, W, C] of 0..1 (Wang et al. 2004, CloseApp Eq. 6).

    Moments under a Gaussian window; beyond the edge everything is taken for 0 in both.
    """
    x, y = drawn.movedim(-1, 0), seen.movedim(-1, 0)  # [C, H, W]
    mean_x, mean_y, xx, yy, xy = _blurred(torch.stack([x, y, x * x, y * y, x * y])).unbind(0)
    variance = xx - mean_x.square() + yy - mean_y.square()
    covariance = xy - mean_x * mean_y
    structure = (2 * covariance + _C2) / (variance + _C2)
    brightness = (2 * mean_x * mean_y + _C1) / (mean_x.square() + mean_y.square() + _C1)
    return 1 - (structure * brightness).movedim(0, -1)


def _blurred(pictures: Tensor) -> Tensor:
    """Means [N, C, H, W] under the window, along x and then along y."""
    places = torch.arange(_WINDOW, dtype=pictures.dtype, device=pictures.device) - _WINDOW // 2
    weights = torch.softmax(-places.square() / (2 * _SIGMA**2), dim=0)
    flat = pictures.flatten(0, 1)[:, None]  # [N * C, 1, H, W]
    rows = F.conv2d(flat, weights[None, None, None, :], padding=(0, _WINDOW // 2))
    return F.conv2d(rows, weights[None, None, :, None], padding=(_WINDOW // 2, 0))[:, 0].unflatten(
        0, pictures.shape[:2]
    )
