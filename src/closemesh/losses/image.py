"""L1, SSIM, LPIPS.

How far a drawn picture is from the seen one.

How unlike two pictures look to a network that was trained to see: LPIPS (Zhang et al. 2018, CloseApp Eq. 6).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from closemesh.networks.checkpoint import load_network
from closemesh.weights.locate import find_model

_WINDOW, _SIGMA = 11, 1.5  # Pixels, as in Wang et al. 2004.
_C1, _C2 = 0.01**2, 0.03**2  # For pictures of 0..1.


def l1(drawn: Tensor, seen: Tensor) -> Tensor:
    """L1 [..., H, W, C] of pictures [..., H, W, C] (CloseApp Eq. 6)."""
    return (drawn - seen).abs()


def dssim(drawn: Tensor, seen: Tensor) -> Tensor:
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


LPIPS_FILE = "perceptual/alexnet.safetensors"
_SHIFT, _SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)  # Of pictures of -1..1.
_EPSILON = 1e-10


@dataclass(frozen=True)
class LPIPSConfig:
    """AlexNet's five convolutions: channels, sides of the kernels, strides; after the first two the map is halved."""

    channels: tuple[int, ...] = (64, 192, 384, 256, 256)
    kernel_sizes: tuple[int, ...] = (11, 5, 3, 3, 3)
    strides: tuple[int, ...] = (4, 1, 1, 1, 1)
    paddings: tuple[int, ...] = (2, 2, 1, 1, 1)
    num_pooled: int = 2


class LPIPS(nn.Module):
    """What five layers see of two pictures, compared in every place and weighted as people judge likeness."""

    shift: Tensor  # [3, 1, 1]
    scale: Tensor  # [3, 1, 1]

    def __init__(self, config: LPIPSConfig) -> None:
        super().__init__()
        self.config = config
        sizes = zip(
            (3, *config.channels), config.channels, config.kernel_sizes, config.strides, config.paddings, strict=False
        )
        self.layers = nn.ModuleList(nn.Conv2d(*size) for size in sizes)
        self.linear_heads = nn.ParameterList(torch.zeros(width) for width in config.channels)
        self.register_buffer("shift", torch.tensor(_SHIFT)[:, None, None], persistent=False)
        self.register_buffer("scale", torch.tensor(_SCALE)[:, None, None], persistent=False)

    def forward(self, drawn: Tensor, seen: Tensor) -> Tensor:
        """LPIPS of pictures [H, W, 3] of 0..1, a number: 0 for equal ones."""
        total = drawn.new_zeros(())
        for judge, one, other in zip(self.linear_heads, self._features(drawn), self._features(seen), strict=True):
            total = total + (judge[:, None, None] * (one - other).square()).sum(0).mean()
        return total

    def _features(self, picture: Tensor) -> list[Tensor]:
        """[C, h, w] of each layer, of unit length in every place."""
        x = (2 * picture.movedim(-1, 0) - 1 - self.shift) / self.scale
        found = []
        for number, layer in enumerate(self.layers):
            x = F.relu(layer(x))
            found.append(x / (x.square().sum(0, keepdim=True) + _EPSILON**2).sqrt())
            if number < self.config.num_pooled:
                x = F.max_pool2d(x, 3, 2)
        return found


def load_lpips(device: torch.device) -> LPIPS:
    """The published weights. Raises ModelFileError when the file is missing or damaged."""
    return load_network(find_model(LPIPS_FILE), lambda config: LPIPS(LPIPSConfig(**config)), device)
