"""How unlike two pictures look to a network that was trained to see: LPIPS (Zhang et al. 2018, CloseApp Eq. 6)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from closemesh.networks.checkpoint import load_network
from closemesh.weights.search import find_model

PERCEPTUAL_FILE = "perceptual/alexnet.safetensors"
_SHIFT, _SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)  # Of pictures of -1..1.
_EPSILON = 1e-10


@dataclass(frozen=True)
class PerceptualConfig:
    """AlexNet's five convolutions: channels, sides of the kernels, strides; after the first two the map is halved."""

    channels: tuple[int, ...] = (64, 192, 384, 256, 256)
    sides: tuple[int, ...] = (11, 5, 3, 3, 3)
    strides: tuple[int, ...] = (4, 1, 1, 1, 1)
    paddings: tuple[int, ...] = (2, 2, 1, 1, 1)
    halved: int = 2


class Perceptual(nn.Module):
    """What five layers see of two pictures, compared in every place and weighted as people judge likeness."""

    shift: Tensor  # [3, 1, 1]
    scale: Tensor  # [3, 1, 1]

    def __init__(self, config: PerceptualConfig) -> None:
        super().__init__()
        self.config = config
        sizes = zip((3, *config.channels), config.channels, config.sides, config.strides, config.paddings, strict=False)
        self.layers = nn.ModuleList(nn.Conv2d(*size) for size in sizes)
        self.judges = nn.ParameterList(torch.zeros(width) for width in config.channels)
        self.register_buffer("shift", torch.tensor(_SHIFT)[:, None, None], persistent=False)
        self.register_buffer("scale", torch.tensor(_SCALE)[:, None, None], persistent=False)

    def forward(self, drawn: Tensor, seen: Tensor) -> Tensor:
        """LPIPS of pictures [H, W, 3] of 0..1, a number: 0 for equal ones."""
        total = drawn.new_zeros(())
        for judge, one, other in zip(self.judges, self._features(drawn), self._features(seen), strict=True):
            total = total + (judge[:, None, None] * (one - other).square()).sum(0).mean()
        return total

    def _features(self, picture: Tensor) -> list[Tensor]:
        """[C, h, w] of each layer, of unit length in every place."""
        x = (2 * picture.movedim(-1, 0) - 1 - self.shift) / self.scale
        found = []
        for number, layer in enumerate(self.layers):
            x = F.relu(layer(x))
            found.append(x / (x.square().sum(0, keepdim=True) + _EPSILON**2).sqrt())
            if number < self.config.halved:
                x = F.max_pool2d(x, 3, 2)
        return found


def load_perceptual(device: torch.device) -> Perceptual:
    """The published weights. Raises ModelFileError when the file is missing or damaged."""
    return load_network(find_model(PERCEPTUAL_FILE), lambda config: Perceptual(PerceptualConfig(**config)), device)
