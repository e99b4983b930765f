"""Lists of the Gaussians that may cover each tile of the image, sorted by depth; compiled, on one thread."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from closemesh.avatars.splatting.numba_compile import compiled
from closemesh.avatars.splatting.rasterize import MIN_ALPHA

# Compiled functions have no annotations: numba infers the types.
# pyright: reportMissingParameterType=false


TILE = 32  # Pixels; the state of all pixels of a tile fits the L1 cache.
# A row of `records`: mean x, mean y, a / 2, b, c / 2, opacity, largest sigma, then from this column on the features.
FEATURES = 7

_DIGIT = 11  # Bits per pass of the radix sort: three passes for 32.
_LARGEST_PIXEL = 1e6  # Gaussians with a farther mean are off-screen.


class Bins(NamedTuple):
    """V visible Gaussians, nearest first, and their M intersections with tiles."""

    records: NDArray[np.float32]  # [V, 7 + C]
    boxes: NDArray[np.int32]  # [V, 4] first x, first y, last x, last y of the pixels it may cover, inclusive
    source_ids: NDArray[np.int32]  # [V] index of the input
    first_intersections: NDArray[np.int32]  # [V + 1] Gaussian v has the intersections [v] : [v + 1], in order of tiles
    tile_starts: NDArray[np.int32]  # [tiles + 1] tile t has the entries [t] : [t + 1], nearest first
    gaussian_ids: NDArray[np.int32]  # [M] Gaussian of each entry
    intersection_ids: NDArray[np.int32]  # [M] intersection of each entry: the row of its gradient
    tiles_x: int  # tiles per row


def sort_into_tiles(means2d, conics, opacities, features, depths, size: tuple[int, int]) -> Bins:
    """The lists of all tiles from float32 arrays; size: height and width in pixels.

    means2d [G, 2], conics [G, 3], opacities [G], features [G, C], depths [G].
    """
    height, width = size
    tiles_x, tiles_y = -(-width // TILE), -(-height // TILE)
    boxes, visible, keys = _find_boxes(means2d, conics, opacities, depths, height, width)
    source_ids = _sort(visible, keys)
    records, boxes, first_intersections, tile_starts = _pack(
        means2d, conics, opacities, features, source_ids, boxes, tiles_x, tiles_y
    )
    gaussian_ids, intersection_ids = _fill(boxes, tile_starts, tiles_x)
    return Bins(records, boxes, source_ids, first_intersections, tile_starts, gaussian_ids, intersection_ids, tiles_x)


@compiled
def _find_boxes(means2d, conics, opacities, depths, height, width):
    """Boxes [G, 4] of the pixels that each may cover, indices [V] of visible ones, their depths as sortable keys [V].

    Comparisons with nan are false, so such a Gaussian is not visible.
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
        finite = abs(x) < _LARGEST_PIXEL and abs(y) < _LARGEST_PIXEL
        if not (opacities[g] >= MIN_ALPHA and determinant > 0 and a > 0 and finite):
            continue
        scale = 2 * math.log(opacities[g] / MIN_ALPHA) / determinant
        extent_x, extent_y = math.sqrt(scale * c), math.sqrt(scale * a)
        if not (extent_x < _LARGEST_PIXEL and extent_y < _LARGEST_PIXEL):
            extent_x, extent_y = _LARGEST_PIXEL, _LARGEST_PIXEL
        left, right = max(0, math.ceil(x - extent_x - 0.5)), min(width - 1, math.floor(x + extent_x - 0.5))
        top, bottom = max(0, math.ceil(y - extent_y - 0.5)), min(height - 1, math.floor(y + extent_y - 0.5))
        if right < left or bottom < top:
            continue
        boxes[g, 0], boxes[g, 1], boxes[g, 2], boxes[g, 3] = left, top, right, bottom
        visible[count] = g
        # Float bits sort like the floats when those of negative ones are inverted.
        keys[count] = ~bits[g] if bits[g] >> 31 else bits[g] | np.uint32(0x80000000)
        count += 1
    return boxes, visible[:count], keys[:count]


@compiled
def _sort(values, keys):
    """`values` in the order of their keys: a stable radix sort."""
    other_values, other_keys = np.empty_like(values), np.empty_like(keys)
    for shift in range(0, 32, _DIGIT):
        offsets = np.zeros((1 << _DIGIT) + 1, dtype=np.int32)
        for k in range(len(keys)):
            offsets[((keys[k] >> shift) & ((1 << _DIGIT) - 1)) + 1] += 1
        if offsets.max() == len(keys):  # All have the same digit.
            continue
        offsets = np.cumsum(offsets)
        for k in range(len(keys)):
            digit = (keys[k] >> shift) & ((1 << _DIGIT) - 1)
            other_values[offsets[digit]], other_keys[offsets[digit]] = values[k], keys[k]
            offsets[digit] += 1
        values, keys, other_values, other_keys = other_values, other_keys, values, keys
    return values


@compiled
def _pack(means2d, conics, opacities, features, source_ids, all_boxes, tiles_x, tiles_y):
    """Records and boxes in the order of depth, and cumulative numbers of intersections per Gaussian and per tile."""
    num_visible, channels = len(source_ids), features.shape[1]
    records = np.empty((num_visible, FEATURES + channels), dtype=np.float32)
    boxes = np.empty((num_visible, 4), dtype=np.int32)
    first_intersections = np.zeros(num_visible + 1, dtype=np.int32)
    tile_starts = np.zeros(tiles_x * tiles_y + 1, dtype=np.int32)
    for v in range(num_visible):
        g = source_ids[v]
        records[v, 0], records[v, 1] = means2d[g, 0], means2d[g, 1]
        records[v, 2], records[v, 3], records[v, 4] = 0.5 * conics[g, 0], conics[g, 1], 0.5 * conics[g, 2]
        records[v, 5], records[v, 6] = opacities[g], math.log(opacities[g] / MIN_ALPHA)
        for k in range(channels):
            records[v, FEATURES + k] = features[g, k]
        for k in range(4):
            boxes[v, k] = all_boxes[g, k]
        first_x, last_x = boxes[v, 0] // TILE, boxes[v, 2] // TILE
        first_y, last_y = boxes[v, 1] // TILE, boxes[v, 3] // TILE
        first_intersections[v + 1] = first_intersections[v] + (last_x - first_x + 1) * (last_y - first_y + 1)
        for y in range(first_y, last_y + 1):
            for x in range(first_x, last_x + 1):
                tile_starts[y * tiles_x + x + 1] += 1
    for tile in range(tiles_x * tiles_y):
        tile_starts[tile + 1] += tile_starts[tile]
    return records, boxes, first_intersections, tile_starts


@compiled
def _fill(boxes, tile_starts, tiles_x):
    """Gaussian and intersection of each entry in the lists of the tiles."""
    next_entry = tile_starts[:-1].copy()
    gaussian_ids = np.empty(tile_starts[-1], dtype=np.int32)
    intersections = np.empty(tile_starts[-1], dtype=np.int32)
    intersection = 0
    for v in range(len(boxes)):
        for y in range(boxes[v, 1] // TILE, boxes[v, 3] // TILE + 1):
            for x in range(boxes[v, 0] // TILE, boxes[v, 2] // TILE + 1):
                entry = next_entry[y * tiles_x + x]
                gaussian_ids[entry], intersections[entry] = v, intersection
                next_entry[y * tiles_x + x] += 1
                intersection += 1
    return gaussian_ids, intersections
