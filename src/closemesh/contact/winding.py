"""How often a closed mesh winds around a point: inside or outside, even where a body cuts through itself."""

from __future__ import annotations

# Compiled functions carry no hints: numba infers the types.
# pyright: reportMissingParameterType=false
import numpy as np
from numba import njit

_STACK = 64  # The tree is complete: a walk never holds more than one waiting node per level.
# The ray runs along (1, _SLANT_Y, _SLANT_Z): slanted, so that it does not graze the edges of a mesh that is laid out
# along the axes.
_SLANT_Y, _SLANT_Z = 0.0123456789, 0.0271828182


@njit(cache=True, nogil=True, error_model="numpy")
def winding_numbers(points, boxes, starts, corners):
    """Winding number [N] of points [N, 3]: faces that a ray leaves through minus those it comes in through.

    boxes, starts and corners are those of a BoxTree. Positive inside, 0 outside.
    """
    winding = np.zeros(len(points), dtype=np.int64)
    nodes = np.empty(_STACK, dtype=np.int64)
    for n in range(len(points)):
        winding[n] = _walk(points[n, 0], points[n, 1], points[n, 2], boxes, starts, corners, nodes)
    return winding


@njit(cache=True, nogil=True, error_model="numpy")
def _walk(x, y, z, boxes, starts, corners, nodes):
    num_leaves = len(starts) - 1
    straight_y, straight_z = y - _SLANT_Y * x, z - _SLANT_Z * x
    total, size = 0, 1
    nodes[0] = 1
    while size > 0:
        size -= 1
        node = nodes[size]
        if not _ray_meets_box(x, straight_y, straight_z, boxes, node):
            continue
        if node < num_leaves:
            nodes[size], nodes[size + 1] = 2 * node, 2 * node + 1
            size += 2
            continue
        for face in range(starts[node - num_leaves], starts[node - num_leaves + 1]):
            total += _crossing(x, straight_y, straight_z, corners, face)
    return total


@njit(cache=True, nogil=True, inline="always")
def _ray_meets_box(x, straight_y, straight_z, boxes, node):
    """Whether the ray can meet the box, in coordinates sheared so that the ray runs along the first axis."""
    x0, x1 = boxes[node, 0], boxes[node, 3]
    return (
        x1 >= x
        and boxes[node, 1] - _SLANT_Y * x1 <= straight_y <= boxes[node, 4] - _SLANT_Y * x0
        and boxes[node, 2] - _SLANT_Z * x1 <= straight_z <= boxes[node, 5] - _SLANT_Z * x0
    )


@njit(cache=True, nogil=True, error_model="numpy")
def _crossing(x, straight_y, straight_z, corners, face):
    """1 where the ray leaves through the face, -1 where it comes in, 0 where it misses."""
    ax, bx, cx = corners[face, 0], corners[face, 3], corners[face, 6]
    ay, az = corners[face, 1] - _SLANT_Y * ax - straight_y, corners[face, 2] - _SLANT_Z * ax - straight_z
    by, bz = corners[face, 4] - _SLANT_Y * bx - straight_y, corners[face, 5] - _SLANT_Z * bx - straight_z
    cy, cz = corners[face, 7] - _SLANT_Y * cx - straight_y, corners[face, 8] - _SLANT_Z * cx - straight_z
    # Twice the areas against each edge; a neighbour computes the very same number with the other sign.
    ab, bc, ca = ay * bz - az * by, by * cz - bz * cy, cy * az - cz * ay
    leaves = ab > 0 and bc > 0 and ca > 0
    enters = ab <= 0 and bc <= 0 and ca <= 0
    if not (leaves or enters):
        return 0
    area = ab + bc + ca
    if area == 0 or (bc * ax + ca * bx + ab * cx) / area < x:
        return 0
    return 1 if leaves else -1
