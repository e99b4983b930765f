"""A small U-Net over maps of one person's skin."""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_SLOPE = 0.1  # Of the rectifiers below zero.


class UNet(nn.Module):
    """Latent maps [1, C, S, S], S a multiple of 8, to D numbers for each wanted texel; the last layer begins at zero.

    At full resolution it works texel by texel, and only where the map lies on the skin: convolutions there would cost
    more than all others, and two people are decoded in every step of a fit, on two cores.
    """

    def __init__(self, channels: int, width: int, outputs: int) -> None:
        super().__init__()
        widths = (channels, width, 2 * width, 2 * width)
        self.down = nn.ModuleList(nn.Conv2d(a, b, 3, stride=2, padding=1) for a, b in pairwise(widths))
        # What comes from below is narrowed before it is enlarged, where that costs a quarter.
        pairs = list(pairwise(widths[1:]))
        self.narrow = nn.ModuleList(nn.Conv2d(b, a, 1) for a, b in pairs)
        self.up = nn.ModuleList(nn.Conv2d(2 * a, a, 3, padding=1) for a, _ in pairs)
        self.hidden = nn.Linear(channels + width, 2 * width)
        self.head = nn.Linear(2 * width, outputs)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, latent: Tensor, texels: Tensor, texels_below: Tensor) -> Tensor:
        """[G, D] of the texels [G] of the flattened map; texels_below [G] are theirs in a map of half the side."""
        half = self._half(latent)
        own = latent[0].flatten(1).index_select(1, texels)  # [C, G]
        below = half[0].flatten(1).index_select(1, texels_below)
        return self.head(F.leaky_relu(self.hidden(torch.cat([own, below]).T), _SLOPE))

    def _half(self, latent: Tensor) -> Tensor:
        """Features [1, W, S / 2, S / 2]."""
        levels, x = [], latent
        for down in self.down:
            x = F.leaky_relu(down(x), _SLOPE)
            levels.append(x)
        x = levels.pop()
        for level, narrow, up in zip(reversed(levels), reversed(self.narrow), reversed(self.up), strict=True):
            enlarged = F.interpolate(narrow(x), scale_factor=2, mode="nearest")
            x = F.leaky_relu(up(torch.cat([level, enlarged], dim=1)), _SLOPE)
        return x
