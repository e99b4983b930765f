"""Which Gaussians may touch which tile of the image, nearest first: compiled, on one thread."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from closemesh.avatars.splatting.numba_compile import compiled
from closemesh.avatars.splatting.rasterize import MIN_ALPHA

# Compiled functions carry no hints: numba infers the types.
# pyright: reportMissingParameterType=false


TILE = 32  # Pixels; the state of all pixels of a tile fits the nearest cache.
# A row of `records`: mean x, mean y, a / 2, b, c / 2, opacity, largest sigma that is drawn, then the features.
FEATURES = 7

_DIGIT = 11  # Bits that one pass of the sorting looks at: three passes for 32.
_LARGEST_PIXEL = 1e6  # A Gaussian whose middle is farther away than this cannot be told from one that is off-screen.


class Bins(NamedTuple):
    """V Gaussians that may draw something, nearest first, and the M meetings of one of them with a tile."""

    records: NDArray[np.float32]  # [V, 7 + C]
    boxes: NDArray[np.int32]  # [V, 4] first x, first y, last x, last y: pixels it may draw, inclusive
    originals: NDArray[np.int32]  # [V] which input each is
    firsts: NDArray[np.int32]  # [V + 1] Gaussian v has the meetings firsts[v] : firsts[v + 1], in order of tiles
    starts: NDArray[np.int32]  # [tiles + 1] tile t has the places starts[t] : starts[t + 1], nearest first
    owners: NDArray[np.int32]  # [M] of each place: the Gaussian
    tile_intersections: NDArray[np.int32]  # [M] of each place: the meeting, where its gradient is kept
    tiles_x: int  # tiles in a row


def sort_into_tiles(means2d, conics, opacities, features, depths, size: tuple[int, int]) -> Bins:
    """The tiles' lists, from float32 arrays [G, 2], [G, 3], [G], [G, C], [G]; size: height and width in pixels."""
    height, width = size
    tiles_x, tiles_y = -(-width // TILE), -(-height // TILE)
    boxes, visible, keys = _find_boxes(means2d, conics, opacities, depths, height, width)
    originals = _sort(visible, keys)
    records, boxes, firsts, starts = _pack(means2d, conics, opacities, features, originals, boxes, tiles_x, tiles_y)
    owners, meetings = _fill(boxes, starts, tiles_x)
    return Bins(records, boxes, originals, firsts, starts, owners, meetings, tiles_x)


@compiled
def _find_boxes(means2d, conics, opacities, depths, height, width):
    """Boxes [G, 4] of the pixels that each may draw, which draw any [V], and their depths as sortable numbers [V].

    A comparison with what is not a number is false, so that such a Gaussian is not drawn.
    """
    num_gaussians = len(opacities)
    boxes = np.empty((num_gaussians, 4), dtype=np.int32)
    visible = np.empty(num_gaussians, dtype=np.int32)
    bits = depths.view(np.uint32)
    keys = np.empty(num_gaussians, dtype=np.uint32)
    count = 0
    for g in range(num_gaussians):
        x, y, a, b, c = means2d[g, 0], means2d[g, 1], conics[g, 0], conics[g, 1], conics[g, 2]
        determinant = a * c - b * b
        near = abs(x) < _LARGEST_PIXEL and abs(y) < _LARGEST_PIXEL
        if not (opacities[g] >= MIN_ALPHA and determinant > 0 and a > 0 and near):
            continue
        spread = 2 * math.log(opacities[g] / MIN_ALPHA) / determinant
        reach_x, reach_y = math.sqrt(spread * c), math.sqrt(spread * a)
        if not (reach_x < _LARGEST_PIXEL and reach_y < _LARGEST_PIXEL):
            reach_x, reach_y = _LARGEST_PIXEL, _LARGEST_PIXEL
        left, right = max(0, math.ceil(x - reach_x - 0.5)), min(width - 1, math.floor(x + reach_x - 0.5))
        top, bottom = max(0, math.ceil(y - reach_y - 0.5)), min(height - 1, math.floor(y + reach_y - 0.5))
        if right < left or bottom < top:
            continue
        boxes[g, 0], boxes[g, 1], boxes[g, 2], boxes[g, 3] = left, top, right, bottom
        visible[count] = g
        # The bits of floats sort like the floats when those of negative ones are turned round.
        keys[count] = ~bits[g] if bits[g] >> 31 else bits[g] | np.uint32(0x80000000)
        count += 1
    return boxes, visible[:count], keys[:count]


@compiled
def _sort(values, keys):
    """`values` in the order of their keys, stable: by one digit after the other, the lowest first."""
    other_values, other_keys = np.empty_like(values), np.empty_like(keys)
    for shift in range(0, 32, _DIGIT):
        places = np.zeros((1 << _DIGIT) + 1, dtype=np.int32)
        for k in range(len(keys)):
            places[((keys[k] >> shift) & ((1 << _DIGIT) - 1)) + 1] += 1
        if places.max() == len(keys):  # All have the same digit.
            continue
        places = np.cumsum(places)
        for k in range(len(keys)):
            digit = (keys[k] >> shift) & ((1 << _DIGIT) - 1)
            other_values[places[digit]], other_keys[places[digit]] = values[k], keys[k]
            places[digit] += 1
        values, keys, other_values, other_keys = other_values, other_keys, values, keys
    return values


@compiled
def _pack(means2d, conics, opacities, features, originals, all_boxes, tiles_x, tiles_y):
    """Rows of what the tiles read, in the order of depth, and how many meetings there are before each."""
    num_visible, channels = len(originals), features.shape[1]
    records = np.empty((num_visible, FEATURES + channels), dtype=np.float32)
    boxes = np.empty((num_visible, 4), dtype=np.int32)
    firsts = np.zeros(num_visible + 1, dtype=np.int32)
    starts = np.zeros(tiles_x * tiles_y + 1, dtype=np.int32)
    for v in range(num_visible):
        g = originals[v]
        records[v, 0], records[v, 1] = means2d[g, 0], means2d[g, 1]
        records[v, 2], records[v, 3], records[v, 4] = 0.5 * conics[g, 0], conics[g, 1], 0.5 * conics[g, 2]
        records[v, 5], records[v, 6] = opacities[g], math.log(opacities[g] / MIN_ALPHA)
        for k in range(channels):
            records[v, FEATURES + k] = features[g, k]
        for k in range(4):
            boxes[v, k] = all_boxes[g, k]
        first_x, last_x = boxes[v, 0] // TILE, boxes[v, 2] // TILE
        first_y, last_y = boxes[v, 1] // TILE, boxes[v, 3] // TILE
        firsts[v + 1] = firsts[v] + (last_x - first_x + 1) * (last_y - first_y + 1)
        for y in range(first_y, last_y + 1):
            for x in range(first_x, last_x + 1):
                starts[y * tiles_x + x + 1] += 1
    for tile in range(tiles_x * tiles_y):
        starts[tile + 1] += starts[tile]
    return records, boxes, firsts, starts


@compiled
def _fill(boxes, starts, tiles_x):
    """Of each place in the tiles' lists: the Gaussian and the meeting."""
    places = starts[:-1].copy()
    owners = np.empty(starts[-1], dtype=np.int32)
    meetings = np.empty(starts[-1], dtype=np.int32)
    meeting = 0
    for v in range(len(boxes)):
        for y in range(boxes[v, 1] // TILE, boxes[v, 3] // TILE + 1):
            for x in range(boxes[v, 0] // TILE, boxes[v, 2] // TILE + 1):
                place = places[y * tiles_x + x]
                owners[place], meetings[place] = v, meeting
                places[y * tiles_x + x] += 1
                meeting += 1
    return owners, meetings
