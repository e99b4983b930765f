"""The rasteriser on the CPU: compiled kernels over tiles on several threads, with a backward pass written by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.autograd.function import once_differentiable

from closemesh.appearance.rasterise.cpu_bins import Bins, sort_into_tiles
from closemesh.appearance.rasterise.cpu_compiled import aligned_empty, run_in_pieces
from closemesh.appearance.rasterise.cpu_lanes import WIDTH
from closemesh.appearance.rasterise.cpu_tiles import (
    MOMENTS,
    collect_gradients,
    differentiate_tiles,
    draw_tiles,
    scratch_rows,
)


def rasterise_cpu(
    means2d: Tensor,  # [G, 2]
    conics: Tensor,  # [G, 3]
    opacities: Tensor,  # [G]
    features: Tensor,  # [G, C]
    depths: Tensor,  # [G]
    size: tuple[int, int],
) -> tuple[Tensor, Tensor]:
    """Image [H, W, C] and alpha [H, W], reckoned in float32 whatever comes in; same bits on every call."""
    inputs = [tensor.to("cpu", torch.float32) for tensor in (means2d, conics, opacities, features, depths.detach())]
    image, alpha = _Rasterise.apply(*inputs, size)
    return image.to(means2d), alpha.to(means2d)


class _Rasterise(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, *arguments: Any) -> tuple[Tensor, Tensor]:
        *inputs, size = arguments
        means2d, conics, opacities, features, depths = (tensor.detach().contiguous().numpy() for tensor in inputs)
        bins = sort_into_tiles(means2d, conics, opacities, features, depths, size)
        # numpy's zeros: torch would wake its own threads to fill so little, and wait for them on a busy machine.
        pixels, transmittance = np.zeros((*size, features.shape[1]), np.float32), np.ones(size, np.float32)
        stops = _draw(bins, pixels, transmittance)
        image = torch.from_numpy(pixels)
        ctx.save_for_backward(image)
        ctx.num_gaussians, ctx.bins, ctx.transmittance, ctx.stops = len(opacities), bins, transmittance, stops
        return image, torch.from_numpy(1 - transmittance)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        (image,) = ctx.saved_tensors
        gradients = [gradient.contiguous().numpy() for gradient in grad_outputs]  # [H, W, C], [H, W]
        rows = _differentiate(ctx.bins, image.numpy(), ctx.transmittance, ctx.stops, *gradients)
        return *_collect(ctx.bins, rows, ctx.num_gaussians, image.shape[2]), None, None


def _draw(bins: Bins, image: NDArray[np.float32], transmittance: NDArray[np.float32]) -> NDArray[np.int32]:
    """Draws into both; where the list of each tile was left [tiles]."""
    stops = np.empty(len(bins.starts) - 1, dtype=np.int32)
    channels = (0,) * image.shape[2]

    def draw(first: int, last: int) -> None:
        scratch = aligned_empty(*scratch_rows(image.shape[2], backward=False))
        tiles = (bins.records, bins.boxes, bins.starts, bins.owners, bins.tiles_x)
        draw_tiles(first, last, *tiles, scratch, image, transmittance, stops, channels)

    run_in_pieces(draw, bins.starts)
    return stops


def _differentiate(
    bins: Bins,
    image: NDArray[np.float32],  # [H, W, C]
    transmittance: NDArray[np.float32],  # [H, W]
    stops: NDArray[np.int32],  # [tiles]
    image_gradient: NDArray[np.float32],  # [H, W, C]
    alpha_gradient: NDArray[np.float32],  # [H, W]
) -> NDArray[np.float32]:
    """The gradient row [M, .] of every meeting of a Gaussian with a tile."""
    num_channels = image.shape[2]
    columns = -(-(MOMENTS + num_channels) // WIDTH) * WIDTH
    rows = aligned_empty(len(bins.owners), columns)

    def differentiate(first: int, last: int) -> None:
        scratch = aligned_empty(*scratch_rows(num_channels, backward=True))
        tiles = (bins.records, bins.boxes, bins.starts, bins.owners, bins.meetings, bins.tiles_x)
        pixels = (image, transmittance, stops, image_gradient, alpha_gradient)
        differentiate_tiles(first, last, *tiles, scratch, *pixels, rows, (0,) * num_channels)

    run_in_pieces(differentiate, bins.starts)
    return rows


def _collect(bins: Bins, rows: NDArray[np.float32], num_gaussians: int, channels: int) -> tuple[Tensor, ...]:
    """Gradients of means2d [G, 2], conics [G, 3], opacities [G] and features [G, C]."""
    shapes = ((num_gaussians, 2), (num_gaussians, 3), (num_gaussians,), (num_gaussians, channels))
    arrays = tuple(np.zeros(shape, np.float32) for shape in shapes)

    def collect(first: int, last: int) -> None:
        collect_gradients(first, last, bins.records, bins.firsts, bins.originals, rows, *arrays)

    run_in_pieces(collect, bins.firsts, pieces_per_thread=2)
    return tuple(torch.from_numpy(array) for array in arrays)
