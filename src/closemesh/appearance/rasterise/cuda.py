"""The rasteriser on CUDA: gsplat's kernels (Ye et al. 2025), which the extra `closemesh[cuda]` installs."""

from __future__ import annotations

import torch
from torch import Tensor

from closemesh.appearance.rasterise.limits import MIN_ALPHA

_TILE = 16  # Pixels; what gsplat's kernels are tuned for.


def rasterise_cuda(
    means2d: Tensor,  # [G, 2]
    conics: Tensor,  # [G, 3]
    opacities: Tensor,  # [G]
    features: Tensor,  # [G, C]
    depths: Tensor,  # [G]
    size: tuple[int, int],
) -> tuple[Tensor, Tensor]:
    """Image [H, W, C] and alpha [H, W], reckoned in float32; gradients are summed in no fixed order."""
    from gsplat.cuda._wrapper import isect_offset_encode, isect_tiles, rasterize_to_pixels  # type: ignore

    if len(means2d) == 0:
        return means2d.new_zeros(*size, features.shape[1]), means2d.new_zeros(size)
    # A leading dimension of one image: without it gsplat takes the Gaussians of several images to be packed together.
    means, shapes, opaque, colours = (x[None].float() for x in (means2d, conics, opacities, features))
    tiles_y, tiles_x = (-(-pixels // _TILE) for pixels in size)
    radii = _radii(shapes.detach(), opaque.detach())  # [1, G, 2]
    _, meetings, ids = isect_tiles(means.detach(), radii, depths.detach()[None].float(), _TILE, tiles_x, tiles_y)
    offsets = isect_offset_encode(meetings, 1, tiles_x, tiles_y)  # [1, tiles_y, tiles_x]
    image, alpha = rasterize_to_pixels(means, shapes, colours, opaque, size[1], size[0], _TILE, offsets, ids)
    return image[0].to(means2d), alpha[0, ..., 0].to(means2d)


def _radii(conics: Tensor, opacities: Tensor) -> Tensor:
    """Half sizes [..., G, 2] in whole pixels of the box in which each Gaussian draws; 0 where it draws nothing."""
    a, b, c = conics.unbind(-1)
    determinant = a * c - b * b
    drawn = (opacities >= MIN_ALPHA) & (determinant > 0) & (a > 0)
    spread = 2 * torch.log(opacities.clamp(min=MIN_ALPHA) / MIN_ALPHA) / torch.where(drawn, determinant, 1)
    reach = (spread[..., None] * torch.stack([c, a], dim=-1)).clamp(min=0).sqrt()
    # One more than enough: what lies between the exact cut and the box is too faint to be drawn.
    return torch.where(drawn[..., None], reach.clamp(max=1e6).ceil() + 1, 0).to(torch.int32)
