"""Image losses of the photometric term (CloseApp Eq. 6): L1, DSSIM and LPIPS."""

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
_C1, _C2 = 0.01**2, 0.03**2  # For images in 0..1.


def l1(rendered: Tensor, target: Tensor) -> Tensor:
    """Absolute difference [..., H, W, C] of rendered [..., H, W, C] and target [..., H, W, C]."""
    return (rendered - target).abs()


def dssim(rendered: Tensor, target: Tensor) -> Tensor:
    """1 - SSIM [H, W, C] of rendered [H, W, C] and target [H, W, C] in 0..1 (Wang et al. 2004).

    Moments are taken under a Gaussian window; pixels beyond the border are 0.
    """
    mean_x, mean_y = blurred(rendered), blurred(target)
    squares, products = blurred(rendered.square() + target.square()), blurred(rendered * target)
    means, product = mean_x.square() + mean_y.square(), mean_x * mean_y
    structure = (2 * (products - product) + _C2) / (squares - means + _C2)
    brightness = (2 * product + _C1) / (means + _C1)
    return 1 - structure * brightness


def blurred(image: Tensor) -> Tensor:
    """Weighted means [H, W, C] of image [H, W, C] under the window, 0 beyond its border."""
    return _Blur.apply(image) if image.device.type == "cpu" else _blur_torch(image)


class _Blur(torch.autograd.Function):
    """By OpenCV, a hundred times faster on a CPU than torch; the gradient of a symmetric window is the same blur."""

    @staticmethod
    def forward(ctx: Any, *arguments: Any) -> Tensor:
        return _blur_opencv(arguments[0])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grad_outputs: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        return _blur_opencv(grad_outputs[0])


def _blur_opencv(image: Tensor) -> Tensor:
    window, array = _window(image).numpy(), np.ascontiguousarray(image.detach().numpy())
    return torch.from_numpy(cv2.sepFilter2D(array, -1, window, window, borderType=cv2.BORDER_CONSTANT)).view_as(image)


def _blur_torch(image: Tensor) -> Tensor:
    window, channels = _window(image), image.movedim(-1, 0)[:, None]  # [C, 1, H, W]
    rows = F.conv2d(channels, window[None, None, None, :], padding=(0, _WINDOW // 2))
    return F.conv2d(rows, window[None, None, :, None], padding=(_WINDOW // 2, 0))[:, 0].movedim(0, -1)


def _window(like: Tensor) -> Tensor:
    """Weights [11] that sum to 1."""
    offsets = torch.arange(_WINDOW, dtype=like.dtype, device=like.device) - _WINDOW // 2
    return torch.softmax(-offsets.square() / (2 * _SIGMA**2), dim=0)


LPIPS_FILE = "perceptual/alexnet.safetensors"
_SHIFT, _SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)  # For images in -1..1.
_EPSILON = 1e-10


@dataclass(frozen=True)
class LPIPSConfig:
    """Five convolutions of AlexNet; max pooling follows the first `num_pooled` of them."""

    channels: tuple[int, ...] = (64, 192, 384, 256, 256)
    kernel_sizes: tuple[int, ...] = (11, 5, 3, 3, 3)
    strides: tuple[int, ...] = (4, 1, 1, 1, 1)
    paddings: tuple[int, ...] = (2, 2, 1, 1, 1)
    num_pooled: int = 2


class LPIPS(nn.Module):
    """Learned perceptual distance of images (Zhang et al. 2018): weighted differences of normalized features."""

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

    def forward(self, rendered: Tensor, target: Tensor) -> Tensor:
        """LPIPS [] of rendered [H, W, 3] and target [H, W, 3] in 0..1; 0 for equal images."""
        total = rendered.new_zeros(())
        features = zip(self.linear_heads, self._features(rendered), self._features(target), strict=True)
        for weights, one, other in features:
            total = total + (weights[:, None, None] * (one - other).square()).sum(0).mean()
        return total

    def _features(self, image: Tensor) -> list[Tensor]:
        """Features [C, h, w] of each layer, of unit length at every pixel."""
        x = (2 * image.movedim(-1, 0) - 1 - self.shift) / self.scale
        features = []
        for index, layer in enumerate(self.layers):
            x = F.relu(layer(x))
            features.append(x / (x.square().sum(0, keepdim=True) + _EPSILON**2).sqrt())
            if index < self.config.num_pooled:
                x = F.max_pool2d(x, 3, 2)
        return features


def load_lpips(device: torch.device) -> LPIPS:
    """LPIPS with the published weights. Raises ModelFileError when the file is missing or damaged."""
    return load_network(find_model(LPIPS_FILE), lambda config: LPIPS(LPIPSConfig(**config)), device)
