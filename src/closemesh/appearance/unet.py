"""A small U-Net over maps of one person's skin."""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class UNet(nn.Module):
    """Maps [1, C, S, S] to maps [1, D, S, S], S a multiple of 8; the last layer begins at zero.

    Few channels where the maps are large: two people are decoded in every step of a fit, on two cores.
    """

    def __init__(self, channels: int, width: int, outputs: int) -> None:
        super().__init__()
        widths = (channels, width, 2 * width, 2 * width)
        pairs = list(pairwise(widths))
        self.down = nn.ModuleList(nn.Conv2d(a, b, 3, stride=2, padding=1) for a, b in pairs)
        # What comes from below is narrowed before it is enlarged, where that costs a quarter.
        self.narrow = nn.ModuleList(nn.Conv2d(b, a, 1) for a, b in pairs)
        self.up = nn.ModuleList(nn.Conv2d(2 * a, a, 3, padding=1) for a, _ in pairs)
        self.head = nn.Conv2d(channels, outputs, 1)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(torch.as_tensor(self.head.bias))

    def forward(self, x: Tensor) -> Tensor:
        levels = [x]
        for down in self.down:
            levels.append(F.leaky_relu(down(levels[-1]), 0.1))
        x = levels.pop()
        for level, narrow, up in zip(reversed(levels), reversed(self.narrow), reversed(self.up), strict=True):
            below = F.interpolate(narrow(x), scale_factor=2, mode="nearest")
            x = F.leaky_relu(up(torch.cat([level, below], dim=1)), 0.1)
        return self.head(x)
