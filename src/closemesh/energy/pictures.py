"""How far a drawn picture is from the seen one."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

_WINDOW, _SIGMA = 11, 1.5  # Pixels, as in Wang et al. 2004.
_C1, _C2 = 0.01**2, 0.03**2  # For pictures of 0..1.


def absolute_difference(drawn: Tensor, seen: Tensor) -> Tensor:
    """L1 [..., H, W, C] of pictures [..., H, W, C] (CloseApp Eq. 6)."""
    return (drawn - seen).abs()


def dissimilarity(drawn: Tensor, seen: Tensor) -> Tensor:
    """1 - SSIM [H, W, C] of pictures [H, W, C] of 0..1 (Wang et al. 2004, CloseApp Eq. 6).

    Moments under a Gaussian window; beyond the edge both are taken for 0.
    """
    mean_x, mean_y = blurred(drawn), blurred(seen)
    squares, products = blurred(drawn.square() + seen.square()), blurred(drawn * seen)
    means, product = mean_x.square() + mean_y.square(), mean_x * mean_y
    structure = (2 * (products - product) + _C2) / (squares - means + _C2)
    brightness = (2 * product + _C1) / (means + _C1)
    return 1 - structure * brightness


def blurred(picture: Tensor) -> Tensor:
    """Weighted means of a picture [H, W, C] under the window, 0 beyond its edge."""
    return _Blur.apply(picture) if picture.device.type == "cpu" else _blurred_by_torch(picture)


class _Blur(torch.autograd.Function):
    """By OpenCV, a hundred times faster on a CPU than torch; the window is even, so the way back is the same blur."""

    @staticmethod
    def forward(ctx: Any, *arguments: Any) -> Tensor:
        return _blurred_by_opencv(arguments[0])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grad_outputs: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        return _blurred_by_opencv(grad_outputs[0])


def _blurred_by_opencv(picture: Tensor) -> Tensor:
    window, array = _window(picture).numpy(), np.ascontiguousarray(picture.detach().numpy())
    return torch.from_numpy(cv2.sepFilter2D(array, -1, window, window, borderType=cv2.BORDER_CONSTANT)).view_as(picture)


def _blurred_by_torch(picture: Tensor) -> Tensor:
    window, channels = _window(picture), picture.movedim(-1, 0)[:, None]  # [C, 1, H, W]
    rows = F.conv2d(channels, window[None, None, None, :], padding=(0, _WINDOW // 2))
    return F.conv2d(rows, window[None, None, :, None], padding=(_WINDOW // 2, 0))[:, 0].movedim(0, -1)


def _window(like: Tensor) -> Tensor:
    """[11] weights that sum to 1."""
    places = torch.arange(_WINDOW, dtype=like.dtype, device=like.device) - _WINDOW // 2
    return torch.softmax(-places.square() / (2 * _SIGMA**2), dim=0)
