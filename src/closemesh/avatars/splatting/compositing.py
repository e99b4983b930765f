"""Autograd function, alpha compositing and gradient per tile.

Front-to-back compositing of Gaussians tile by tile and its gradient, compiled.

A tile is made of patches of 4 x 4 pixels, one vector of 16 lanes each: a small Gaussian touches few of them.

The rasteriser on the CPU: compiled kernels over tiles on several threads, with a backward pass written by hand.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.autograd.function import once_differentiable

from closemesh.avatars.splatting.numba_compile import aligned_empty, compiled, run_in_pieces
from closemesh.avatars.splatting.pixel_blocks import PATCH, PATCHES, read_tile, write_tile
from closemesh.avatars.splatting.rasterize import MAX_ALPHA, MIN_TRANSMITTANCE
from closemesh.avatars.splatting.simd import (
    WIDTH,
    add_scaled,
    any_of,
    choose,
    dot,
    load,
    load_all,
    minus_size,
    repeat,
    spread,
    spread_all,
    store,
    store_all,
    totals,
)
from closemesh.avatars.splatting.tile_binning import FEATURES, TILE, Bins, sort_into_tiles

# Compiled functions carry no hints: numba infers the types; an intrinsic's first parameter is the compiler's.
# pyright: reportMissingParameterType=false, reportCallIssue=false


MOMENTS = 6  # Sums over the pixels that a gradient row begins with.
_LOOK = 16  # Gaussians after which a tile looks whether all its pixels have ended.
_MAX_ALPHA, _MIN_TRANSMITTANCE = np.float32(MAX_ALPHA), np.float32(MIN_TRANSMITTANCE)
_ZERO, _HALF, _ONE, _TWO = np.float32(0), np.float32(0.5), np.float32(1), np.float32(2)

# x and y of the pixels of a patch.
_PIXELS = np.array([np.tile(np.arange(PATCH), PATCH), np.repeat(np.arange(PATCH), PATCH)], dtype=np.float32)

# exp(-s / 16) as a polynomial of s between 0 and log 255, to 8e-8 of its value; larger s are not drawn.
_E0, _E1, _E2, _E3, _E4 = (
    np.float32(x) for x in (0.99999994, -0.062499296, 0.0019521405, -4.0199568e-05, 5.3370815e-07)
)


def scratch_rows(channels: int, backward: bool) -> tuple[int, int]:
    """The shape of the memory that a thread works in: of each patch the state of its pixels, vector behind vector."""
    return PATCHES * PATCHES, (channels + 1 + backward) * WIDTH


@compiled
def _exp_minus(sigma):
    root = _E0 + sigma * (_E1 + sigma * (_E2 + sigma * (_E3 + sigma * _E4)))
    root = root * root
    root = root * root
    root = root * root
    return root * root


@compiled
def _ended(scratch):
    """Whether no pixel of the tile lets anything through any more: transmittance <= 0 stands for that."""
    largest = load(scratch, 0, 0)
    for patch in range(1, len(scratch)):
        more = load(scratch, patch, 0)
        largest = choose(more > largest, more, largest)
    return not any_of(largest > _ZERO)


@compiled
def draw_tiles(
    first_tile, last_tile, records, boxes, starts, owners, tiles_x, scratch, image, transmittance, stops, channels
):
    """Draw the tiles first_tile : last_tile into image [H, W, C] (zeros) and transmittance [H, W] (ones).

    stops [tiles] becomes the place in each tile's list where all of its pixels had ended. `channels` is any tuple of
    C entries: its length is known when this is compiled.
    """
    pixels_x, pixels_y = load(_PIXELS, 0, 0), load(_PIXELS, 1, 0)
    for tile in range(first_tile, last_tile):
        stops[tile] = starts[tile]
        if starts[tile] == starts[tile + 1]:
            continue
        left, top = tile % tiles_x * TILE, tile // tiles_x * TILE
        scratch[:, :WIDTH] = _ONE
        scratch[:, WIDTH:] = _ZERO
        for place in range(starts[tile], starts[tile + 1]):
            v = owners[place]
            mean_x, mean_y = records[v, 0] - np.float32(left + 0.5), records[v, 1] - np.float32(top + 0.5)
            half_a, b, half_c = records[v, 2], records[v, 3], records[v, 4]
            opacity, limit = records[v, 5], records[v, 6]
            features = spread_all(records, v, FEATURES, channels)
            first_x, last_x = max(boxes[v, 0] - left, 0) >> 2, min(boxes[v, 2] - left, TILE - 1) >> 2
            first_y, last_y = max(boxes[v, 1] - top, 0) >> 2, min(boxes[v, 3] - top, TILE - 1) >> 2
            for y in range(first_y, last_y + 1):
                dy = pixels_y + (np.float32(PATCH * y) - mean_y)
                b_dy, c_dy2 = b * dy, half_c * (dy * dy)
                for x in range(first_x, last_x + 1):
                    dx = pixels_x + (np.float32(PATCH * x) - mean_x)
                    sigma = (half_a * dx + b_dy) * dx + c_dy2
                    seen = sigma <= limit
                    patch = y * PATCHES + x
                    before = load(scratch, patch, 0)
                    alpha = opacity * _exp_minus(sigma)
                    alpha = choose(seen, choose(alpha > _MAX_ALPHA, _MAX_ALPHA, alpha), _ZERO)
                    weight = alpha * before
                    after = before - weight
                    alive = after > _MIN_TRANSMITTANCE
                    # A pixel that has ended keeps what it lets through with the sign turned: it is never drawn again.
                    store(scratch, patch, 0, choose(alive, after, minus_size(before)))
                    sums = load_all(scratch, patch, WIDTH, channels)
                    store_all(scratch, patch, WIDTH, add_scaled(sums, features, choose(alive, weight, _ZERO)))
            stops[tile] = place + 1
            if (place - starts[tile]) % _LOOK == _LOOK - 1 and _ended(scratch):
                break
        write_tile(scratch, left, top, image, transmittance)


@compiled
def differentiate_tiles(
    first_tile, last_tile, records, boxes, starts, owners, meetings, tiles_x, scratch,
    image, transmittance, stops, image_gradient, alpha_gradient, rows, channels,
):  # fmt: skip
    """Gradient rows [M, .] of the meetings of the tiles first_tile : last_tile.

    A row is the sums over the pixels of v, v dx, v dy, v dx2, v dx dy, v dy2 and of weight * gradient for each channel,
    where v is the gradient of the logarithm of alpha. Front to back, each pixel has its transmittance, what the
    Gaussians from here on still add to the loss (`behind`), and the gradient of its channels.
    """
    pixels_x, pixels_y = load(_PIXELS, 0, 0), load(_PIXELS, 1, 0)
    zero = spread(_ZERO)
    for tile in range(first_tile, last_tile):
        left, top = tile % tiles_x * TILE, tile // tiles_x * TILE
        for place in range(stops[tile], starts[tile + 1]):
            rows[meetings[place]] = _ZERO
        if starts[tile] == stops[tile]:
            continue
        read_tile(scratch, left, top, image, transmittance, image_gradient, alpha_gradient)
        for place in range(starts[tile], stops[tile]):
            v = owners[place]
            mean_x, mean_y = records[v, 0] - np.float32(left + 0.5), records[v, 1] - np.float32(top + 0.5)
            half_a, b, half_c = records[v, 2], records[v, 3], records[v, 4]
            opacity, limit = records[v, 5], records[v, 6]
            features = spread_all(records, v, FEATURES, channels)
            first_x, last_x = max(boxes[v, 0] - left, 0) >> 2, min(boxes[v, 2] - left, TILE - 1) >> 2
            first_y, last_y = max(boxes[v, 1] - top, 0) >> 2, min(boxes[v, 3] - top, TILE - 1) >> 2
            sums, v_0, v_x, v_y, v_xx, v_xy, v_yy = repeat(zero, channels), zero, zero, zero, zero, zero, zero
            for y in range(first_y, last_y + 1):
                dy = pixels_y + (np.float32(PATCH * y) - mean_y)
                b_dy, c_dy2 = b * dy, half_c * (dy * dy)
                for x in range(first_x, last_x + 1):
                    dx = pixels_x + (np.float32(PATCH * x) - mean_x)
                    sigma = (half_a * dx + b_dy) * dx + c_dy2
                    patch = y * PATCHES + x
                    before = load(scratch, patch, 0)
                    seen = (sigma <= limit) & (before > _ZERO)
                    if not any_of(seen):  # Pays here, not where drawing takes a third of this.
                        continue
                    unbound = opacity * _exp_minus(sigma)
                    alpha = choose(seen, choose(unbound > _MAX_ALPHA, _MAX_ALPHA, unbound), _ZERO)
                    after = before - alpha * before
                    alive = after > _MIN_TRANSMITTANCE
                    alpha = choose(alive, alpha, _ZERO)
                    weight = alpha * before
                    store(scratch, patch, 0, choose(alive, after, minus_size(before)))
                    gradients = load_all(scratch, patch, 2 * WIDTH, channels)
                    value = dot(gradients, features)
                    behind = load(scratch, patch, WIDTH) - weight * value
                    store(scratch, patch, WIDTH, behind)
                    change = alpha * (before * value - behind / (_ONE - alpha))
                    change = choose(unbound > _MAX_ALPHA, _ZERO, change)
                    sums = add_scaled(sums, gradients, weight)
                    change_x, change_y = change * dx, change * dy
                    v_0, v_x, v_y = v_0 + change, v_x + change_x, v_y + change_y
                    v_xx, v_xy, v_yy = v_xx + change_x * dx, v_xy + change_x * dy, v_yy + change_y * dy
            moments = (v_0, v_x, v_y, v_xx, v_xy, v_yy)
            store_all(rows, meetings[place], 0, totals(moments + sums))


@compiled
def collect_gradients(first, last, records, firsts, originals, rows, means2d, conics, opacities, features):
    """Gradients of the inputs (zeros before) of the sorted Gaussians first : last, from their gradient rows."""
    channels = features.shape[1]
    total = np.empty(MOMENTS + channels, dtype=np.float32)
    for v in range(first, last):
        total[:] = _ZERO
        for meeting in range(firsts[v], firsts[v + 1]):
            for k in range(MOMENTS + channels):
                total[k] += rows[meeting, k]
        g = originals[v]
        a, b, c, opacity = _TWO * records[v, 2], records[v, 3], _TWO * records[v, 4], records[v, 5]
        means2d[g, 0], means2d[g, 1] = a * total[1] + b * total[2], b * total[1] + c * total[2]
        conics[g, 0], conics[g, 1], conics[g, 2] = -_HALF * total[3], -total[4], -_HALF * total[5]
        opacities[g] = total[0] / opacity
        for k in range(channels):
            features[g, k] = total[MOMENTS + k]


def rasterize_numba(
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
        tiles = (bins.records, bins.boxes, bins.starts, bins.owners, bins.tile_intersections, bins.tiles_x)
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
