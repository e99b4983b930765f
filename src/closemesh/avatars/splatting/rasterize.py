"""Back-end choice, PyTorch reference, gsplat (only file that imports it).

What all back ends agree on; the values are those of gsplat.

The rasteriser in plain torch, every Gaussian at every pixel: slow and simple, in any precision, what tests trust.

The rasteriser on CUDA: gsplat's kernels (Ye et al. 2025), which the extra `closemesh[cuda]` installs.

One door to the back ends that draw 2D Gaussians with depth order and hiding (Kerbl et al. 2023), differentiable.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from importlib.util import find_spec
from typing import Literal

import torch
from torch import Tensor

from closemesh.core.errors import InputError

MAX_ALPHA = 0.999  # A Gaussian lets at least a thousandth of what is behind it through.
MIN_ALPHA = 1 / 255  # Fainter than this it draws nothing.
MIN_TRANSMITTANCE = 1e-4  # A pixel ends before the Gaussian that would let no more than this through.
BLUR = 0.3  # Pixels squared, added to the covariance in the image: no Gaussian slips between the pixels.
NEAR = 0.05  # Metres; what is nearer to the camera than this is not drawn.


def rasterize_reference(
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


_TILE = 16  # Pixels; what gsplat's kernels are tuned for.


def rasterize_gsplat(
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


Backend = Literal["reference", "cpu", "cuda"]
_Draw = Callable[[Tensor, Tensor, Tensor, Tensor, Tensor, tuple[int, int]], tuple[Tensor, Tensor]]


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

    means2d in pixels, the middle of the first pixel at (0.5, 0.5); conics (a, b, c) of the inverse covariance
    [[a, b], [b, c]], those of no ellipse draw nothing; opacities 0..1; features any C numbers each; depths in metres,
    only for the order, ties in the order given; size: height and width. Gradients reach all but depths.
    Without `backend`, CUDA tensors are drawn by gsplat where it is installed, all others on the CPU.
    Raises InputError when gsplat is asked for and missing.
    """
    if not len(means2d) == len(conics) == len(opacities) == len(features) == len(depths):
        raise ValueError("means2d, conics, opacities, features and depths must be of as many Gaussians")
    return _choose(backend, means2d)(means2d, conics, opacities, features, depths, size)


def _choose(backend: Backend | None, tensor: Tensor) -> _Draw:
    """The back ends are imported when first used: compiled functions and gsplat take a while."""
    on_cuda = tensor.is_cuda and backend in ("cuda", None) and _has_gsplat()
    if backend == "cuda" and not on_cuda:
        raise InputError("drawing on CUDA takes tensors there and gsplat: pip install 'closemesh[cuda]'")
    if on_cuda:
        return rasterize_gsplat
    if backend == "reference":
        return rasterize_reference
    from closemesh.avatars.splatting.compositing import rasterize_numba

    return rasterize_numba


@lru_cache
def _has_gsplat() -> bool:
    return find_spec("gsplat") is not None
