"""Winding number of a closed mesh around points: inside or outside, also for meshes that intersect themselves."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

# Compiled functions have no type hints: numba infers the types.
# pyright: reportMissingParameterType=false


# The ray runs along (1, _SLANT_Y, _SLANT_Z), so that it does not graze edges parallel to the axes. In coordinates
# sheared by the slant it runs along the first axis.
_SLANT_Y, _SLANT_Z = 0.0123456789, 0.0271828182


class Columns(NamedTuple):
    """Faces of a mesh in square columns along the ray: a ray can meet only the faces of its own column."""

    low: NDArray[np.float64]  # [2] lower corner of the columns, across the ray
    per_meter: float
    counts: NDArray[np.int64]  # [2] columns along each axis
    starts: NDArray[np.int64]  # [C + 1] column c holds rows[starts[c] : starts[c + 1]]
    rows: NDArray[np.int64]  # [N] rows of `corners`; a face is in every column that its box overlaps
    corners: NDArray[np.float64]  # [F, 9]


def sort_into_columns(corners: NDArray[np.float64]) -> Columns:
    """About F columns over faces with corners [F, 9]. Raises ValueError when a corner is not finite."""
    spans = _spans(corners)
    low, high = spans[:, :2].min(0), spans[:, 2:].max(0)
    if not np.isfinite(high - low).all():
        raise ValueError("a mesh has corners that are not finite")
    per_meter = float(np.sqrt(len(corners) / np.prod(np.maximum(high - low, 1e-9))))
    counts = ((high - low) * per_meter).astype(np.int64) + 1
    starts, rows = _fill(spans, low, per_meter, counts)
    return Columns(low, per_meter, counts, starts, rows, corners)


def winding_numbers(points: NDArray[np.float64], columns: Columns) -> NDArray[np.int64]:
    """Winding numbers [N] of points [N, 3], positive inside and 0 outside.

    The number of faces through which a ray leaves the mesh minus the number through which it enters.
    """
    return _wind(points, *columns)


@njit(cache=True, nogil=True)
def _spans(corners):
    """Smallest and largest coordinates [F, 4] of each face across the ray."""
    spans = np.empty((len(corners), 4))
    for row in range(len(corners)):
        for axis, slant in ((1, _SLANT_Y), (2, _SLANT_Z)):
            a = corners[row, axis] - slant * corners[row, 0]
            b = corners[row, 3 + axis] - slant * corners[row, 3]
            c = corners[row, 6 + axis] - slant * corners[row, 6]
            spans[row, axis - 1], spans[row, axis + 1] = min(a, b, c), max(a, b, c)
    return spans


@njit(cache=True, nogil=True)
def _fill(spans, low, per_meter, counts):
    """`starts` and `rows` of the columns."""
    starts = np.zeros(counts[0] * counts[1] + 1, dtype=np.int64)
    for row in range(len(spans)):
        for i in range(int((spans[row, 0] - low[0]) * per_meter), int((spans[row, 2] - low[0]) * per_meter) + 1):
            for j in range(int((spans[row, 1] - low[1]) * per_meter), int((spans[row, 3] - low[1]) * per_meter) + 1):
                starts[i * counts[1] + j + 1] += 1
    starts = np.cumsum(starts)
    rows, filled = np.empty(starts[-1], dtype=np.int64), starts[:-1].copy()
    for row in range(len(spans)):
        for i in range(int((spans[row, 0] - low[0]) * per_meter), int((spans[row, 2] - low[0]) * per_meter) + 1):
            for j in range(int((spans[row, 1] - low[1]) * per_meter), int((spans[row, 3] - low[1]) * per_meter) + 1):
                rows[filled[i * counts[1] + j]] = row
                filled[i * counts[1] + j] += 1
    return starts, rows


@njit(cache=True, nogil=True, error_model="numpy")
def _wind(points, low, per_meter, counts, starts, rows, corners):
    winding = np.zeros(len(points), dtype=np.int64)
    for n in range(len(points)):
        x = points[n, 0]
        straight_y, straight_z = points[n, 1] - _SLANT_Y * x, points[n, 2] - _SLANT_Z * x
        y, z = (straight_y - low[0]) * per_meter, (straight_z - low[1]) * per_meter
        if not (0 <= y < counts[0] and 0 <= z < counts[1]):
            continue
        column = int(y) * counts[1] + int(z)
        for index in range(starts[column], starts[column + 1]):
            winding[n] += _crossing(x, straight_y, straight_z, corners, rows[index])
    return winding


@njit(cache=True, nogil=True, error_model="numpy")
def _crossing(x, straight_y, straight_z, corners, face):
    """1 where the ray leaves through the face, -1 where it enters, 0 where it misses."""
    ax, bx, cx = corners[face, 0], corners[face, 3], corners[face, 6]
    if ax < x and bx < x and cx < x:
        return 0
    ay, az = corners[face, 1] - _SLANT_Y * ax - straight_y, corners[face, 2] - _SLANT_Z * ax - straight_z
    by, bz = corners[face, 4] - _SLANT_Y * bx - straight_y, corners[face, 5] - _SLANT_Z * bx - straight_z
    cy, cz = corners[face, 7] - _SLANT_Y * cx - straight_y, corners[face, 8] - _SLANT_Z * cx - straight_z
    # Twice the areas of the triangles with each edge; the neighboring face gets the same number with the other sign.
    ab, bc, ca = ay * bz - az * by, by * cz - bz * cy, cy * az - cz * ay
    leaves = ab > 0 and bc > 0 and ca > 0
    enters = ab <= 0 and bc <= 0 and ca <= 0
    if not (leaves or enters):
        return 0
    area = ab + bc + ca
    if area == 0 or (bc * ax + ca * bx + ab * cx) / area < x:
        return 0
    return 1 if leaves else -1
