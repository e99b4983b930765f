"""Differentiable rasterization of 2D Gaussians (Kerbl et al. 2023): choice of the back end, PyTorch reference, gsplat.

All back ends use the constants below, which have the values of gsplat (Ye et al. 2025).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from importlib.util import find_spec
from typing import Literal

import torch
from torch import Tensor

from closemesh.core.errors import InputError

MAX_ALPHA = 0.999  # Upper limit of the opacity of a Gaussian at a pixel.
MIN_ALPHA = 1 / 255  # Less opaque contributions are skipped.
MIN_TRANSMITTANCE = 1e-4  # A pixel is complete before the Gaussian that would bring it to this or less.
BLUR = 0.3  # Pixels squared, added to the image covariance: no Gaussian falls between the pixels.
NEAR = 0.05  # Meters; what is nearer to the camera is not drawn.

Backend = Literal["reference", "numba", "gsplat"]
_Rasterizer = Callable[[Tensor, Tensor, Tensor, Tensor, Tensor, tuple[int, int]], tuple[Tensor, Tensor]]

_TILE = 16  # Pixels; gsplat's kernels are tuned for it.


def rasterize(
    means2d: Tensor,  # [G, 2]
    conics: Tensor,  # [G, 3]
    opacities: Tensor,  # [G]
    features: Tensor,  # [G, C]
    depths: Tensor,  # [G]
    size: tuple[int, int],
    backend: Backend | None = None,
) -> tuple[Tensor, Tensor]:
    """Gaussians composited front to back on zero: image [H, W, C], premultiplied, and alpha [H, W].

    means2d in pixels, the center of the first pixel at (0.5, 0.5); conics (a, b, c) of the inverse covariance
    [[a, b], [b, c]], skipped unless positive definite; opacities 0..1; depths in meters, used for the order only, with
    ties in input order; size: height and width. Gradients flow to all but depths. Without `backend`, gsplat takes CUDA
    tensors if it is installed, and numba all others. Raises InputError when gsplat is requested and missing, ValueError
    when the inputs differ in length.
    """
    if not len(means2d) == len(conics) == len(opacities) == len(features) == len(depths):
        raise ValueError("means2d, conics, opacities, features and depths must have the same length")
    return _choose(backend, means2d)(means2d, conics, opacities, features, depths, size)


def _choose(backend: Backend | None, tensor: Tensor) -> _Rasterizer:
    """The function of the back end; compiled functions and gsplat load slowly, so they are imported at first use."""
    use_gsplat = tensor.is_cuda and backend in ("gsplat", None) and _has_gsplat()
    if backend == "gsplat" and not use_gsplat:
        raise InputError("the gsplat back end needs CUDA tensors and gsplat: pip install 'closemesh[cuda]'")
    if use_gsplat:
        return rasterize_gsplat
    if backend == "reference":
        return rasterize_reference
    from closemesh.avatars.splatting.compositing import rasterize_numba

    return rasterize_numba


@lru_cache
def _has_gsplat() -> bool:
    return find_spec("gsplat") is not None


def rasterize_reference(
    means2d: Tensor,  # [G, 2]
    conics: Tensor,  # [G, 3]
    opacities: Tensor,  # [G]
    features: Tensor,  # [G, C]
    depths: Tensor,  # [G]
    size: tuple[int, int],
) -> tuple[Tensor, Tensor]:
    """Image [H, W, C] and alpha [H, W] in plain PyTorch and any precision; memory grows with G * H * W."""
    order = depths.detach().argsort(stable=True)
    alpha = _alphas(means2d[order], conics[order], opacities[order], size)  # [H, W, G]
    through = (1 - alpha).cumprod(dim=-1)
    # Transmittance never increases: once below the limit, the pixel is complete.
    alpha = torch.where(through > MIN_TRANSMITTANCE, alpha, 0)
    after = (1 - alpha).cumprod(dim=-1)
    before = torch.cat([alpha.new_ones(*size, 1), after], dim=-1)  # [H, W, G + 1]
    return (alpha * before[..., :-1]) @ features[order], 1 - before[..., -1]


def _alphas(means2d: Tensor, conics: Tensor, opacities: Tensor, size: tuple[int, int]) -> Tensor:
    """Alpha [H, W, G] of each Gaussian at each pixel; 0 where it is skipped."""
    height, width = size
    y, x = (torch.arange(count, dtype=means2d.dtype, device=means2d.device) + 0.5 for count in (height, width))
    dx, dy = x[:, None] - means2d[:, 0], y[:, None, None] - means2d[:, 1]  # [W, G], [H, 1, G]
    a, b, c = conics.unbind(-1)
    sigma = 0.5 * (a * dx * dx + c * dy * dy) + b * dx * dy  # [H, W, G]
    alpha = opacities * torch.exp(-sigma)
    drawn = (alpha >= MIN_ALPHA) & (sigma >= 0) & (a * c - b * b > 0)
    # Both branches stay finite, so that the gradient of the unused one is finite too.
    return torch.where(drawn, torch.where(drawn, alpha, 0).clamp(max=MAX_ALPHA), 0)


def rasterize_gsplat(
    means2d: Tensor,  # [G, 2]
    conics: Tensor,  # [G, 3]
    opacities: Tensor,  # [G]
    features: Tensor,  # [G, C]
    depths: Tensor,  # [G]
    size: tuple[int, int],
) -> tuple[Tensor, Tensor]:
    """Image [H, W, C] and alpha [H, W] by gsplat's CUDA kernels in float32; gradients are summed in no fixed order."""
    from gsplat.cuda._wrapper import isect_offset_encode, isect_tiles, rasterize_to_pixels  # type: ignore

    if len(means2d) == 0:
        return means2d.new_zeros(*size, features.shape[1]), means2d.new_zeros(size)
    # A leading axis of one image: without it gsplat expects the packed Gaussians of several images.
    means, shapes, alphas, colors = (x[None].float() for x in (means2d, conics, opacities, features))
    tiles_y, tiles_x = (-(-pixels // _TILE) for pixels in size)
    radii = _radii(shapes.detach(), alphas.detach())  # [1, G, 2]
    _, intersections, ids = isect_tiles(means.detach(), radii, depths.detach()[None].float(), _TILE, tiles_x, tiles_y)
    offsets = isect_offset_encode(intersections, 1, tiles_x, tiles_y)  # [1, tiles_y, tiles_x]
    image, alpha = rasterize_to_pixels(means, shapes, colors, alphas, size[1], size[0], _TILE, offsets, ids)
    return image[0].to(means2d), alpha[0, ..., 0].to(means2d)


def _radii(conics: Tensor, opacities: Tensor) -> Tensor:
    """Half sizes [..., G, 2] in whole pixels of the box that each Gaussian covers; 0 where it is skipped."""
    a, b, c = conics.unbind(-1)
    determinant = a * c - b * b
    drawn = (opacities >= MIN_ALPHA) & (determinant > 0) & (a > 0)
    scale = 2 * torch.log(opacities.clamp(min=MIN_ALPHA) / MIN_ALPHA) / torch.where(drawn, determinant, 1)
    extent = (scale[..., None] * torch.stack([c, a], dim=-1)).clamp(min=0).sqrt()
    # One more pixel than needed: pixels between the exact limit and the box are below MIN_ALPHA.
    return torch.where(drawn[..., None], extent.clamp(max=1e6).ceil() + 1, 0).to(torch.int32)
