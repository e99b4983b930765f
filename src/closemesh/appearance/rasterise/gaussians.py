"""One door to the back ends that draw 2D Gaussians with depth order and hiding (Kerbl et al. 2023), differentiable."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from importlib.util import find_spec
from typing import Literal

from torch import Tensor

from closemesh.errors import InputError

Backend = Literal["reference", "cpu", "cuda"]
_Draw = Callable[[Tensor, Tensor, Tensor, Tensor, Tensor, tuple[int, int]], tuple[Tensor, Tensor]]


def rasterise(
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
        from closemesh.appearance.rasterise.cuda import rasterise_cuda

        return rasterise_cuda
    if backend == "reference":
        from closemesh.appearance.rasterise.reference import rasterise_reference

        return rasterise_reference
    from closemesh.appearance.rasterise.cpu import rasterise_cpu

    return rasterise_cpu


@lru_cache
def _has_gsplat() -> bool:
    return find_spec("gsplat") is not None
