"""The CPU rasterizer: front-to-back compositing and its gradient per tile, compiled, on several threads.

A tile consists of blocks of 4 x 4 pixels, one vector of 16 lanes each: a small Gaussian covers few of them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.autograd.function import once_differentiable

from closemesh.avatars.splatting.numba_compile import aligned_empty, compiled, run_in_parallel
from closemesh.avatars.splatting.pixel_blocks import BLOCK, BLOCKS, read_tile, write_tile
from closemesh.avatars.splatting.rasterize import MAX_ALPHA, MIN_TRANSMITTANCE
from closemesh.avatars.splatting.simd import (
    WIDTH,
    add_scaled,
    any_lane,
    broadcast,
    broadcast_all,
    dot,
    lane_sums,
    load,
    load_all,
    negative_abs,
    repeat,
    select,
    store,
    store_all,
)
from closemesh.avatars.splatting.tile_binning import FEATURES, TILE, Bins, sort_into_tiles

# Compiled functions have no annotations: numba infers the types; the first parameter of an intrinsic is the compiler.
# pyright: reportMissingParameterType=false, reportCallIssue=false


_MOMENTS = 6  # Sums over the pixels at the start of a gradient row.
_CHECK_INTERVAL = 16  # Gaussians between two checks whether all pixels of a tile are opaque.
_MAX_ALPHA, _MIN_TRANSMITTANCE = np.float32(MAX_ALPHA), np.float32(MIN_TRANSMITTANCE)
_ZERO, _HALF, _ONE, _TWO = np.float32(0), np.float32(0.5), np.float32(1), np.float32(2)

# x and y of the pixels of a block.
_PIXELS = np.array([np.tile(np.arange(BLOCK), BLOCK), np.repeat(np.arange(BLOCK), BLOCK)], dtype=np.float32)

# exp(-s / 16) as a polynomial of s between 0 and log 255, relative error 8e-8; larger s are not drawn.
_E0, _E1, _E2, _E3, _E4 = (
    np.float32(x) for x in (0.99999994, -0.062499296, 0.0019521405, -4.0199568e-05, 5.3370815e-07)
)


def _scratch_shape(channels: int, backward: bool) -> tuple[int, int]:
    """Shape of a thread's working memory: the state of the pixels of each block, vector by vector."""
    return BLOCKS * BLOCKS, (channels + 1 + backward) * WIDTH


@compiled
def _exp_minus(sigma):
    root = _E0 + sigma * (_E1 + sigma * (_E2 + sigma * (_E3 + sigma * _E4)))
    root = root * root
    root = root * root
    root = root * root
    return root * root


@compiled
def _all_opaque(scratch):
    """True when all pixels of the tile are opaque, which a transmittance <= 0 marks."""
    largest = load(scratch, 0, 0)
    for block in range(1, len(scratch)):
        more = load(scratch, block, 0)
        largest = select(more > largest, more, largest)
    return not any_lane(largest > _ZERO)


@compiled
def _composite_tiles(
    first_tile,
    last_tile,
    records,
    boxes,
    tile_starts,
    gaussian_ids,
    tiles_x,
    scratch,
    image,
    transmittance,
    stops,
    channels,
):
    """Composite the tiles first_tile : last_tile into image [H, W, C] (zeros) and transmittance [H, W] (ones).

    stops [tiles] gets the entry of each tile's list at which all of its pixels are opaque. `channels` is any tuple of C
    entries: its length is known at compile time.
    """
    pixels_x, pixels_y = load(_PIXELS, 0, 0), load(_PIXELS, 1, 0)
    for tile in range(first_tile, last_tile):
        stops[tile] = tile_starts[tile]
        if tile_starts[tile] == tile_starts[tile + 1]:
            continue
        left, top = tile % tiles_x * TILE, tile // tiles_x * TILE
        scratch[:, :WIDTH] = _ONE
        scratch[:, WIDTH:] = _ZERO
        for entry in range(tile_starts[tile], tile_starts[tile + 1]):
            v = gaussian_ids[entry]
            mean_x, mean_y = records[v, 0] - np.float32(left + 0.5), records[v, 1] - np.float32(top + 0.5)
            half_a, b, half_c = records[v, 2], records[v, 3], records[v, 4]
            opacity, limit = records[v, 5], records[v, 6]
            features = broadcast_all(records, v, FEATURES, channels)
            first_x, last_x = max(boxes[v, 0] - left, 0) >> 2, min(boxes[v, 2] - left, TILE - 1) >> 2
            first_y, last_y = max(boxes[v, 1] - top, 0) >> 2, min(boxes[v, 3] - top, TILE - 1) >> 2
            for y in range(first_y, last_y + 1):
                dy = pixels_y + (np.float32(BLOCK * y) - mean_y)
                b_dy, c_dy2 = b * dy, half_c * (dy * dy)
                for x in range(first_x, last_x + 1):
                    dx = pixels_x + (np.float32(BLOCK * x) - mean_x)
                    sigma = (half_a * dx + b_dy) * dx + c_dy2
                    covered = sigma <= limit
                    block = y * BLOCKS + x
                    before = load(scratch, block, 0)
                    alpha = opacity * _exp_minus(sigma)
                    alpha = select(covered, select(alpha > _MAX_ALPHA, _MAX_ALPHA, alpha), _ZERO)
                    weight = alpha * before
                    after = before - weight
                    alive = after > _MIN_TRANSMITTANCE
                    # An opaque pixel stores its transmittance with a negative sign and is never changed again.
                    store(scratch, block, 0, select(alive, after, negative_abs(before)))
                    sums = load_all(scratch, block, WIDTH, channels)
                    store_all(scratch, block, WIDTH, add_scaled(sums, features, select(alive, weight, _ZERO)))
            stops[tile] = entry + 1
            if (entry - tile_starts[tile]) % _CHECK_INTERVAL == _CHECK_INTERVAL - 1 and _all_opaque(scratch):
                break
        write_tile(scratch, left, top, image, transmittance)


@compiled
def _differentiate_tiles(
    first_tile, last_tile, records, boxes, tile_starts, gaussian_ids, intersection_ids, tiles_x, scratch,
    image, transmittance, stops, image_gradient, alpha_gradient, rows, channels,
):  # fmt: skip
    """Gradient rows [M, N] of the intersections of the tiles first_tile : last_tile.

    A row has sums over the pixels: of v, v dx, v dy, v dx2, v dx dy, v dy2, and of weight * gradient for each channel,
    where v is the gradient of log(alpha). Front to back, each pixel has its transmittance, the contribution of the
    remaining Gaussians to the loss (`behind`), and the gradient of its channels.
    """
    pixels_x, pixels_y = load(_PIXELS, 0, 0), load(_PIXELS, 1, 0)
    zero = broadcast(_ZERO)
    for tile in range(first_tile, last_tile):
        left, top = tile % tiles_x * TILE, tile // tiles_x * TILE
        for entry in range(stops[tile], tile_starts[tile + 1]):
            rows[intersection_ids[entry]] = _ZERO
        if tile_starts[tile] == stops[tile]:
            continue
        read_tile(scratch, left, top, image, transmittance, image_gradient, alpha_gradient)
        for entry in range(tile_starts[tile], stops[tile]):
            v = gaussian_ids[entry]
            mean_x, mean_y = records[v, 0] - np.float32(left + 0.5), records[v, 1] - np.float32(top + 0.5)
            half_a, b, half_c = records[v, 2], records[v, 3], records[v, 4]
            opacity, limit = records[v, 5], records[v, 6]
            features = broadcast_all(records, v, FEATURES, channels)
            first_x, last_x = max(boxes[v, 0] - left, 0) >> 2, min(boxes[v, 2] - left, TILE - 1) >> 2
            first_y, last_y = max(boxes[v, 1] - top, 0) >> 2, min(boxes[v, 3] - top, TILE - 1) >> 2
            sums, v_0, v_x, v_y, v_xx, v_xy, v_yy = repeat(zero, channels), zero, zero, zero, zero, zero, zero
            for y in range(first_y, last_y + 1):
                dy = pixels_y + (np.float32(BLOCK * y) - mean_y)
                b_dy, c_dy2 = b * dy, half_c * (dy * dy)
                for x in range(first_x, last_x + 1):
                    dx = pixels_x + (np.float32(BLOCK * x) - mean_x)
                    sigma = (half_a * dx + b_dy) * dx + c_dy2
                    block = y * BLOCKS + x
                    before = load(scratch, block, 0)
                    covered = (sigma <= limit) & (before > _ZERO)
                    if not any_lane(covered):  # Faster here, but not in the cheaper forward pass.
                        continue
                    unbound = opacity * _exp_minus(sigma)
                    alpha = select(covered, select(unbound > _MAX_ALPHA, _MAX_ALPHA, unbound), _ZERO)
                    after = before - alpha * before
                    alive = after > _MIN_TRANSMITTANCE
                    alpha = select(alive, alpha, _ZERO)
                    weight = alpha * before
                    store(scratch, block, 0, select(alive, after, negative_abs(before)))
                    gradients = load_all(scratch, block, 2 * WIDTH, channels)
                    value = dot(gradients, features)
                    behind = load(scratch, block, WIDTH) - weight * value
                    store(scratch, block, WIDTH, behind)
                    change = alpha * (before * value - behind / (_ONE - alpha))
                    change = select(unbound > _MAX_ALPHA, _ZERO, change)
                    sums = add_scaled(sums, gradients, weight)
                    change_x, change_y = change * dx, change * dy
                    v_0, v_x, v_y = v_0 + change, v_x + change_x, v_y + change_y
                    v_xx, v_xy, v_yy = v_xx + change_x * dx, v_xy + change_x * dy, v_yy + change_y * dy
            moments = (v_0, v_x, v_y, v_xx, v_xy, v_yy)
            store_all(rows, intersection_ids[entry], 0, lane_sums(moments + sums))


@compiled
def _collect_gradients(
    first, last, records, first_intersections, source_ids, rows, means2d, conics, opacities, features
):
    """Write the input gradients (zeros before) of the sorted Gaussians first : last from their gradient rows."""
    channels = features.shape[1]
    total = np.empty(_MOMENTS + channels, dtype=np.float32)
    for v in range(first, last):
        total[:] = _ZERO
        for intersection in range(first_intersections[v], first_intersections[v + 1]):
            for k in range(_MOMENTS + channels):
                total[k] += rows[intersection, k]
        g = source_ids[v]
        a, b, c, opacity = _TWO * records[v, 2], records[v, 3], _TWO * records[v, 4], records[v, 5]
        means2d[g, 0], means2d[g, 1] = a * total[1] + b * total[2], b * total[1] + c * total[2]
        conics[g, 0], conics[g, 1], conics[g, 2] = -_HALF * total[3], -total[4], -_HALF * total[5]
        opacities[g] = total[0] / opacity
        for k in range(channels):
            features[g, k] = total[_MOMENTS + k]


def rasterize_numba(
    means2d: Tensor,  # [G, 2]
    conics: Tensor,  # [G, 3]
    opacities: Tensor,  # [G]
    features: Tensor,  # [G, C]
    depths: Tensor,  # [G]
    size: tuple[int, int],
) -> tuple[Tensor, Tensor]:
    """Image [H, W, C] and alpha [H, W], computed in float32 for any input dtype; reproducible bit by bit."""
    image, alpha = _Rasterize.apply(
        means2d.to("cpu", torch.float32),
        conics.to("cpu", torch.float32),
        opacities.to("cpu", torch.float32),
        features.to("cpu", torch.float32),
        depths.detach().to("cpu", torch.float32),
        size,
    )
    return image.to(means2d), alpha.to(means2d)


class _Rasterize(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, *arguments: Any) -> tuple[Tensor, Tensor]:
        *inputs, size = arguments
        means2d, conics, opacities, features, depths = (tensor.detach().contiguous().numpy() for tensor in inputs)
        bins = sort_into_tiles(means2d, conics, opacities, features, depths, size)
        # numpy's zeros: torch would start its own threads for this, and wait for them on a busy machine.
        pixels, transmittance = np.zeros((*size, features.shape[1]), np.float32), np.ones(size, np.float32)
        stops = _composite(bins, pixels, transmittance)
        image = torch.from_numpy(pixels)
        ctx.save_for_backward(image)
        ctx.num_gaussians, ctx.bins, ctx.transmittance, ctx.stops = len(opacities), bins, transmittance, stops
        return image, torch.from_numpy(1 - transmittance)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        (image,) = ctx.saved_tensors
        image_gradient, alpha_gradient = (gradient.contiguous().numpy() for gradient in grad_outputs)
        rows = _gradient_rows(ctx.bins, image.numpy(), ctx.transmittance, ctx.stops, image_gradient, alpha_gradient)
        return *_input_gradients(ctx.bins, rows, ctx.num_gaussians, image.shape[2]), None, None


def _composite(bins: Bins, image: NDArray[np.float32], transmittance: NDArray[np.float32]) -> NDArray[np.int32]:
    """Fill image [H, W, C] and transmittance [H, W]; the entry of each tile's list [tiles] after the last one used."""
    stops = np.empty(len(bins.tile_starts) - 1, dtype=np.int32)
    channels = (0,) * image.shape[2]

    def composite(first: int, last: int) -> None:
        scratch = aligned_empty(*_scratch_shape(image.shape[2], backward=False))
        _composite_tiles(
            first, last, bins.records, bins.boxes, bins.tile_starts, bins.gaussian_ids, bins.tiles_x,
            scratch, image, transmittance, stops, channels,
        )  # fmt: skip

    run_in_parallel(composite, bins.tile_starts)
    return stops


def _gradient_rows(
    bins: Bins,
    image: NDArray[np.float32],  # [H, W, C]
    transmittance: NDArray[np.float32],  # [H, W]
    stops: NDArray[np.int32],  # [tiles]
    image_gradient: NDArray[np.float32],  # [H, W, C]
    alpha_gradient: NDArray[np.float32],  # [H, W]
) -> NDArray[np.float32]:
    """The gradient row [M, N] of every intersection of a Gaussian with a tile."""
    num_channels = image.shape[2]
    columns = -(-(_MOMENTS + num_channels) // WIDTH) * WIDTH
    rows = aligned_empty(len(bins.gaussian_ids), columns)

    def differentiate(first: int, last: int) -> None:
        scratch = aligned_empty(*_scratch_shape(num_channels, backward=True))
        _differentiate_tiles(
            first, last, bins.records, bins.boxes, bins.tile_starts, bins.gaussian_ids, bins.intersection_ids,
            bins.tiles_x, scratch, image, transmittance, stops, image_gradient, alpha_gradient, rows,
            (0,) * num_channels,
        )  # fmt: skip

    run_in_parallel(differentiate, bins.tile_starts)
    return rows


def _input_gradients(bins: Bins, rows: NDArray[np.float32], num_gaussians: int, channels: int) -> tuple[Tensor, ...]:
    """Gradients of means2d [G, 2], conics [G, 3], opacities [G] and features [G, C]."""
    shapes = ((num_gaussians, 2), (num_gaussians, 3), (num_gaussians,), (num_gaussians, channels))
    means2d, conics, opacities, features = arrays = [np.zeros(shape, np.float32) for shape in shapes]

    def collect(first: int, last: int) -> None:
        _collect_gradients(
            first, last, bins.records, bins.first_intersections, bins.source_ids, rows,
            means2d, conics, opacities, features,
        )  # fmt: skip

    run_in_parallel(collect, bins.first_intersections, pieces_per_thread=2)
    return tuple(torch.from_numpy(array) for array in arrays)
