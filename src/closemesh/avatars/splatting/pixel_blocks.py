"""Transfer between images [H, W, C] and blocks of 4 x 4 pixels with one vector per channel, compiled."""

from __future__ import annotations

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from closemesh.avatars.splatting.numba_compile import compiled
from closemesh.avatars.splatting.simd import (
    WIDTH,
    dot,
    index_constant,
    load,
    load_all,
    select,
    simd_vector,
    store,
    store_all,
)
from closemesh.avatars.splatting.tile_binning import TILE

# Compiled functions have no annotations: numba infers the types; the first parameter of an intrinsic is the compiler.
# pyright: reportMissingParameterType=false, reportCallIssue=false


BLOCK = 4  # Side in pixels: one vector of 16 lanes, row by row.
BLOCKS = TILE // BLOCK  # Per row of a tile.

_FOUR = (0, 0, 0, 0)  # Its length is the number of channels that are transferred at once.
_QUARTER = ir.VectorType(ir.FloatType(), 4)
_ZERO, _ONE = np.float32(0), np.float32(1)


@intrinsic
def load_block(typingctx, image, y, x, channel):
    """Vectors of four channels, from `channel` on, of the 4 x 4 pixels at y, x of image [H, W, C]."""

    def build(context, builder, signature_, values):
        addresses = _pixel_addresses(context, builder, signature_.args[0], values)
        columns = [_join(builder, [row[column] for row in addresses]) for column in range(4)]
        return cgutils.pack_array(builder, _transpose(builder, columns))

    return types.UniTuple(simd_vector, 4)(image, types.intp, types.intp, types.intp), build


@intrinsic
def store_block(typingctx, image, y, x, channel, vectors):
    """Store vectors of four channels, from `channel` on, to the 4 x 4 pixels at y, x of image [H, W, C]."""

    def build(context, builder, signature_, values):
        addresses = _pixel_addresses(context, builder, signature_.args[0], values[:4])
        columns = _transpose(builder, cgutils.unpack_tuple(builder, values[4], 4))
        for column in range(4):
            _split(builder, columns[column], [row[column] for row in addresses])
        return context.get_dummy_value()

    return types.void(image, types.intp, types.intp, types.intp, vectors), build


@intrinsic
def load_plane(typingctx, plane, y, x):
    """The 4 x 4 pixels at y, x of plane [H, W]."""

    def build(context, builder, signature_, values):
        return _join(builder, _row_addresses(context, builder, signature_.args[0], values))

    return simd_vector(plane, types.intp, types.intp), build


@intrinsic
def store_plane(typingctx, plane, y, x, vector):
    """Store a vector to the 4 x 4 pixels at y, x of plane [H, W]."""

    def build(context, builder, signature_, values):
        _split(builder, values[3], _row_addresses(context, builder, signature_.args[0], values[:3]))
        return context.get_dummy_value()

    return types.void(plane, types.intp, types.intp, simd_vector), build


def _pixel_addresses(context, builder, image_type, values):
    """Addresses of four channels of each of the 4 x 4 pixels, as short vectors, by row and column."""
    image, y, x, channel = values
    structure = context.make_array(image_type)(context, builder, image)
    _, width, channels = cgutils.unpack_tuple(builder, structure.shape, 3)
    row_step = builder.mul(width, channels)
    first = builder.add(builder.add(builder.mul(y, row_step), builder.mul(x, channels)), channel)
    rows = [builder.add(first, builder.mul(row_step, first.type(row))) for row in range(4)]
    pixels = [[builder.add(row, builder.mul(channels, first.type(column))) for column in range(4)] for row in rows]
    return [[_short(builder, structure.data, pixel) for pixel in row] for row in pixels]


def _row_addresses(context, builder, plane_type, values):
    """Addresses of four pixels of each of four rows, as short vectors."""
    plane, y, x = values
    structure = context.make_array(plane_type)(context, builder, plane)
    width = cgutils.unpack_tuple(builder, structure.shape, 2)[1]
    first = builder.add(builder.mul(y, width), x)
    return [
        _short(builder, structure.data, builder.add(first, builder.mul(width, first.type(row)))) for row in range(4)
    ]


def _short(builder, data, offset):
    return builder.bitcast(builder.gep(data, [offset]), _QUARTER.as_pointer())


def _join(builder, addresses):
    """One vector from four short ones at these addresses."""
    quarters = [builder.load(address, align=4) for address in addresses]
    halves = [builder.shuffle_vector(*quarters[k : k + 2], index_constant(range(8))) for k in (0, 2)]
    return builder.shuffle_vector(*halves, index_constant(range(WIDTH)))


def _split(builder, vector, addresses):
    """Store the four quarters of the vector to these addresses."""
    for row, address in enumerate(addresses):
        builder.store(
            builder.shuffle_vector(vector, vector, index_constant(range(4 * row, 4 * row + 4))), address, align=4
        )


def _transpose(builder, vectors):
    """Entry k of each block of four in vector j becomes entry j in vector k."""
    low, high = (
        [4 * block + k + side * WIDTH for block in range(4) for k in (first, first + 1) for side in (0, 1)]
        for first in (0, 2)
    )
    a, b, c, d = vectors
    # First a0 c0 a1 c1, a2 c2 a3 c3 and the same of b and d; these give a0 b0 c0 d0, and so on.
    evens = [builder.shuffle_vector(a, c, index_constant(order)) for order in (low, high)]
    odds = [builder.shuffle_vector(b, d, index_constant(order)) for order in (low, high)]
    return [builder.shuffle_vector(evens[k // 2], odds[k // 2], index_constant((low, high)[k % 2])) for k in range(4)]


@compiled
def write_tile(scratch, left, top, image, transmittance):
    """Write the blocks of `scratch` [N, (1 + C) * 16] (transmittance with any sign, channels) to the tile's pixels."""
    height, width, channels = image.shape
    for block in range(BLOCKS * BLOCKS):
        y, x = top + block // BLOCKS * BLOCK, left + block % BLOCKS * BLOCK
        copied = 0  # Channels.
        if y + BLOCK <= height and x + BLOCK <= width:
            through = load(scratch, block, 0)
            store_plane(transmittance, y, x, select(through > _ZERO, through, _ZERO - through))
            copied = channels // 4 * 4
            for k in range(0, copied, 4):
                store_block(image, y, x, k, load_all(scratch, block, (1 + k) * WIDTH, _FOUR))
        if copied < channels:
            for row in range(min(BLOCK, height - y)):
                for column in range(min(BLOCK, width - x)):
                    lane = BLOCK * row + column
                    transmittance[y + row, x + column] = abs(scratch[block, lane])
                    for k in range(copied, channels):
                        image[y + row, x + column, k] = scratch[block, (1 + k) * WIDTH + lane]


@compiled
def read_tile(scratch, left, top, image, transmittance, image_gradient, alpha_gradient):
    """Read the gradients [H, W, C] and [H, W] of the tile's pixels into the blocks of `scratch` [N, (2 + C) * 16].

    Per block: ones, the contribution of all Gaussians to the loss, the gradients of the channels.
    """
    height, width, channels = image.shape
    for block in range(BLOCKS * BLOCKS):
        scratch[block, :WIDTH], scratch[block, WIDTH:] = _ONE, _ZERO
        y, x = top + block // BLOCKS * BLOCK, left + block % BLOCKS * BLOCK
        copied = 0  # Channels.
        whole = y + BLOCK <= height and x + BLOCK <= width
        if whole:
            added = _ZERO - load_plane(alpha_gradient, y, x) * load_plane(transmittance, y, x)
            copied = channels // 4 * 4
            for k in range(0, copied, 4):
                gradients = load_block(image_gradient, y, x, k)
                store_all(scratch, block, (2 + k) * WIDTH, gradients)
                added = added + dot(gradients, load_block(image, y, x, k))
            store(scratch, block, WIDTH, added)
        if copied < channels:
            for row in range(min(BLOCK, height - y)):
                for column in range(min(BLOCK, width - x)):
                    lane, image_y, image_x = BLOCK * row + column, y + row, x + column
                    if not whole:
                        scratch[block, WIDTH + lane] = (
                            -alpha_gradient[image_y, image_x] * transmittance[image_y, image_x]
                        )
                    for k in range(copied, channels):
                        scratch[block, (2 + k) * WIDTH + lane] = image_gradient[image_y, image_x, k]
                        scratch[block, WIDTH + lane] += image_gradient[image_y, image_x, k] * image[image_y, image_x, k]
