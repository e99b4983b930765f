"""Random Gaussians in an image, and their gradients under a random loss."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from closemesh.avatars.splatting.rasterize import Backend, rasterize


class Gaussians(NamedTuple):
    means2d: Tensor  # [G, 2]
    conics: Tensor  # [G, 3]
    opacities: Tensor  # [G]
    features: Tensor  # [G, C]
    depths: Tensor  # [G]


def random_gaussians(
    count: int, size: tuple[int, int], channels: int, largest: float = 6.0, seed: int = 0
) -> Gaussians:
    """float64 tensors with float32 values; standard deviations of 0.6 to `largest` pixels, some off-screen."""
    generator = torch.Generator().manual_seed(seed)

    def uniform(low: float, high: float, *shape: int) -> Tensor:
        return low + (high - low) * torch.rand(count, *shape, generator=generator)

    deviations = uniform(0.6, largest, 2)  # [G, 2]
    angle = uniform(0, torch.pi)
    axes = torch.stack([torch.stack([angle.cos(), -angle.sin()], -1), torch.stack([angle.sin(), angle.cos()], -1)], -2)
    inverse = (axes / deviations[:, None] ** 2) @ axes.mT  # [G, 2, 2]
    conics = torch.stack([inverse[:, 0, 0], inverse[:, 0, 1], inverse[:, 1, 1]], dim=-1)
    means2d = uniform(-0.1, 1.1, 2) * torch.tensor([size[1], size[0]])
    features = torch.randn(count, channels, generator=generator)
    made = (means2d, conics, uniform(0.2, 1.0), features, uniform(2.0, 4.0))
    return Gaussians(*(tensor.float().double() for tensor in made))


def render_and_differentiate(
    gaussians: Gaussians, size: tuple[int, int], backend: Backend, dtype: torch.dtype, device: str = "cpu"
) -> list[Tensor]:
    """Image, alpha and the gradients of the four inputs that have one, under a random loss; float64, on the CPU."""
    generator = torch.Generator().manual_seed(1)
    inputs = [tensor.detach().to(device, dtype, copy=True).requires_grad_() for tensor in gaussians[:4]]
    means2d, conics, opacities, features = inputs
    depths = gaussians.depths.to(device, dtype)
    image, alpha = rasterize(means2d, conics, opacities, features, depths, size, backend)
    weights = [torch.randn(tensor.shape, generator=generator).to(tensor) for tensor in (image, alpha)]
    ((image * weights[0]).sum() + (alpha * weights[1]).sum()).backward()
    gradients = [tensor.grad for tensor in inputs if tensor.grad is not None]
    return [tensor.detach().cpu().double() for tensor in (image, alpha, *gradients)]


def relative_error(found: Tensor, expected: Tensor) -> float:
    return float((found - expected).detach().norm() / expected.detach().norm())
