"""The rasteriser in plain torch, every Gaussian at every pixel: slow and simple, in any precision, what tests trust."""

from __future__ import annotations

import torch
from torch import Tensor

from closemesh.appearance.rasterise.limits import MAX_ALPHA, MIN_ALPHA, MIN_TRANSMITTANCE


def rasterise_reference(
    means2d: Tensor,  # [G, 2]
    conics: Tensor,  # [G, 3]
    opacities: Tensor,  # [G]
    features: Tensor,  # [G, C]
    depths: Tensor,  # [G]
    size: tuple[int, int],
) -> tuple[Tensor, Tensor]:
    """Image [H, W, C] and alpha [H, W]; memory grows with G * H * W."""
    order = depths.detach().argsort(stable=True)
    alpha = _alphas(means2d[order], conics[order], opacities[order], size)  # [H, W, G]
    through = (1 - alpha).cumprod(dim=-1)
    # What falls below the limit once stays below it: the pixel has ended.
    alpha = torch.where(through > MIN_TRANSMITTANCE, alpha, 0)
    after = (1 - alpha).cumprod(dim=-1)
    before = torch.cat([alpha.new_ones(*size, 1), after], dim=-1)  # [H, W, G + 1]
    return (alpha * before[..., :-1]) @ features[order], 1 - before[..., -1]


def _alphas(means2d: Tensor, conics: Tensor, opacities: Tensor, size: tuple[int, int]) -> Tensor:
    """How much of what is behind it each Gaussian hides at each pixel [H, W, G]; 0 where it is not drawn."""
    height, width = size
    y, x = (torch.arange(count, dtype=means2d.dtype, device=means2d.device) + 0.5 for count in (height, width))
    dx, dy = x[:, None] - means2d[:, 0], y[:, None, None] - means2d[:, 1]  # [W, G], [H, 1, G]
    a, b, c = conics.unbind(-1)
    sigma = 0.5 * (a * dx * dx + c * dy * dy) + b * dx * dy  # [H, W, G]
    alpha = opacities * torch.exp(-sigma)
    drawn = (alpha >= MIN_ALPHA) & (sigma >= 0) & (a * c - b * b > 0)
    # Both branches stay finite, so that no gradient of one that is not chosen is infinite.
    return torch.where(drawn, torch.where(drawn, alpha, 0).clamp(max=MAX_ALPHA), 0)
