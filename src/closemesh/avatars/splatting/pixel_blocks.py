"""Between images, a pixel's channels side by side, and patches of 4 x 4 pixels, a vector for each channel; compiled."""

from __future__ import annotations

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from closemesh.avatars.splatting.numba_compile import compiled
from closemesh.avatars.splatting.simd import WIDTH, choose, dot, lanes, load, load_all, pick, store, store_all
from closemesh.avatars.splatting.tile_binning import TILE

# Compiled functions carry no hints: numba infers the types; an intrinsic's first parameter is the compiler's.
# pyright: reportMissingParameterType=false, reportCallIssue=false


PATCH = 4  # Pixels each way: one vector of 16 lanes, row by row.
PATCHES = TILE // PATCH  # In a row of a tile.

_FOUR = (0, 0, 0, 0)  # A tuple as long as the number of channels that are moved at once.
_QUARTER = ir.VectorType(ir.FloatType(), 4)
_ZERO, _ONE = np.float32(0), np.float32(1)


@intrinsic
def load_patch(typingctx, image, y, x, channel):
    """Four vectors, one each for the channels from `channel` on, of the 4 x 4 pixels at y, x of image [H, W, C]."""

    def build(context, builder, signature_, values):
        places = _pixel_places(context, builder, signature_.args[0], values)
        columns = [_join(builder, [row[column] for row in places]) for column in range(4)]
        return cgutils.pack_array(builder, _transpose(builder, columns))

    return types.UniTuple(lanes, 4)(image, types.intp, types.intp, types.intp), build


@intrinsic
def store_patch(typingctx, image, y, x, channel, vectors):
    """The other way round."""

    def build(context, builder, signature_, values):
        places = _pixel_places(context, builder, signature_.args[0], values[:4])
        columns = _transpose(builder, cgutils.unpack_tuple(builder, values[4], 4))
        for column in range(4):
            _split(builder, columns[column], [row[column] for row in places])
        return context.get_dummy_value()

    return types.void(image, types.intp, types.intp, types.intp, vectors), build


@intrinsic
def load_plane(typingctx, plane, y, x):
    """The 4 x 4 pixels at y, x of plane [H, W]."""

    def build(context, builder, signature_, values):
        return _join(builder, _row_places(context, builder, signature_.args[0], values))

    return lanes(plane, types.intp, types.intp), build


@intrinsic
def store_plane(typingctx, plane, y, x, vector):
    """The other way round."""

    def build(context, builder, signature_, values):
        _split(builder, values[3], _row_places(context, builder, signature_.args[0], values[:3]))
        return context.get_dummy_value()

    return types.void(plane, types.intp, types.intp, lanes), build


def _pixel_places(context, builder, image_type, values):
    """Where four channels of each of the 4 x 4 pixels stand, as addresses of short vectors, by row and column."""
    image, y, x, channel = values
    structure = context.make_array(image_type)(context, builder, image)
    _, width, channels = cgutils.unpack_tuple(builder, structure.shape, 3)
    row_step = builder.mul(width, channels)
    first = builder.add(builder.add(builder.mul(y, row_step), builder.mul(x, channels)), channel)
    rows = [builder.add(first, builder.mul(row_step, first.type(row))) for row in range(4)]
    pixels = [[builder.add(row, builder.mul(channels, first.type(column))) for column in range(4)] for row in rows]
    return [[_short(builder, structure.data, pixel) for pixel in row] for row in pixels]


def _row_places(context, builder, plane_type, values):
    """Where four pixels of each of four rows stand, as addresses of short vectors."""
    plane, y, x = values
    structure = context.make_array(plane_type)(context, builder, plane)
    width = cgutils.unpack_tuple(builder, structure.shape, 2)[1]
    first = builder.add(builder.mul(y, width), x)
    return [
        _short(builder, structure.data, builder.add(first, builder.mul(width, first.type(row)))) for row in range(4)
    ]


def _short(builder, data, offset):
    return builder.bitcast(builder.gep(data, [offset]), _QUARTER.as_pointer())


def _join(builder, places):
    """One vector of the four short ones that stand there."""
    quarters = [builder.load(place, align=4) for place in places]
    halves = [builder.shuffle_vector(*quarters[k : k + 2], pick(range(8))) for k in (0, 2)]
    return builder.shuffle_vector(*halves, pick(range(WIDTH)))


def _split(builder, vector, places):
    """The vector's four quarters are stored there."""
    for row, place in enumerate(places):
        builder.store(builder.shuffle_vector(vector, vector, pick(range(4 * row, 4 * row + 4))), place, align=4)


def _transpose(builder, vectors):
    """Entry k of each block of four in vector j becomes entry j in vector k."""
    low, high = (
        [4 * block + k + side * WIDTH for block in range(4) for k in (first, first + 1) for side in (0, 1)]
        for first in (0, 2)
    )
    a, b, c, d = vectors
    # a0 c0 a1 c1, a2 c2 a3 c3 and the same of b and d; those two give a0 b0 c0 d0, and so on.
    evens = [builder.shuffle_vector(a, c, pick(order)) for order in (low, high)]
    odds = [builder.shuffle_vector(b, d, pick(order)) for order in (low, high)]
    return [builder.shuffle_vector(evens[k // 2], odds[k // 2], pick((low, high)[k % 2])) for k in range(4)]


@compiled
def write_tile(scratch, left, top, image, transmittance):
    """The patches of `scratch` [., (1 + C) * 16] (transmittance with any sign, channels) into the tile's pixels."""
    height, width, channels = image.shape
    for patch in range(PATCHES * PATCHES):
        y, x = top + patch // PATCHES * PATCH, left + patch % PATCHES * PATCH
        moved = 0  # Channels.
        if y + PATCH <= height and x + PATCH <= width:
            through = load(scratch, patch, 0)
            store_plane(transmittance, y, x, choose(through > _ZERO, through, _ZERO - through))
            moved = channels // 4 * 4
            for k in range(0, moved, 4):
                store_patch(image, y, x, k, load_all(scratch, patch, (1 + k) * WIDTH, _FOUR))
        if moved < channels:
            for row in range(min(PATCH, height - y)):
                for column in range(min(PATCH, width - x)):
                    lane = PATCH * row + column
                    transmittance[y + row, x + column] = abs(scratch[patch, lane])
                    for k in range(moved, channels):
                        image[y + row, x + column, k] = scratch[patch, (1 + k) * WIDTH + lane]


@compiled
def read_tile(scratch, left, top, image, transmittance, image_gradient, alpha_gradient):
    """The other way round for the gradients [H, W, C] and [H, W], into `scratch` [., (2 + C) * 16].

    Of each patch: ones, what all Gaussians together add to the loss, the gradients of the channels.
    """
    height, width, channels = image.shape
    for patch in range(PATCHES * PATCHES):
        scratch[patch, :WIDTH], scratch[patch, WIDTH:] = _ONE, _ZERO
        y, x = top + patch // PATCHES * PATCH, left + patch % PATCHES * PATCH
        moved = 0  # Channels.
        whole = y + PATCH <= height and x + PATCH <= width
        if whole:
            added = _ZERO - load_plane(alpha_gradient, y, x) * load_plane(transmittance, y, x)
            moved = channels // 4 * 4
            for k in range(0, moved, 4):
                gradients = load_patch(image_gradient, y, x, k)
                store_all(scratch, patch, (2 + k) * WIDTH, gradients)
                added = added + dot(gradients, load_patch(image, y, x, k))
            store(scratch, patch, WIDTH, added)
        if moved < channels:
            for row in range(min(PATCH, height - y)):
                for column in range(min(PATCH, width - x)):
                    lane, here, there = PATCH * row + column, y + row, x + column
                    if not whole:
                        scratch[patch, WIDTH + lane] = -alpha_gradient[here, there] * transmittance[here, there]
                    for k in range(moved, channels):
                        scratch[patch, (2 + k) * WIDTH + lane] = image_gradient[here, there, k]
                        scratch[patch, WIDTH + lane] += image_gradient[here, there, k] * image[here, there, k]
