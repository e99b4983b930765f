"""Exact closest points on triangles, found through a box tree; compiled by numba, free of the GIL."""

from __future__ import annotations

# Compiled functions carry no hints: numba infers the types.
# pyright: reportMissingParameterType=false
import numpy as np
from numba import njit

_STACK = 64  # The tree is complete: a walk never holds more than one waiting node per level.


@njit(cache=True, nogil=True, error_model="numpy")
def closest_faces(points, boxes, starts, corners, reach):
    """For points [N, 3]: row of the closest face in `corners` [N] (-1 beyond `reach`), barycentrics [N, 3]."""
    row = np.full(len(points), -1, dtype=np.int64)
    barycentric = np.zeros((len(points), 3))
    nodes, bounds = np.empty(_STACK, dtype=np.int64), np.empty(_STACK)
    for n in range(len(points)):
        x, y, z = points[n, 0], points[n, 1], points[n, 2]
        found = _walk(x, y, z, boxes, starts, corners, reach * reach, nodes, bounds)
        row[n], _, barycentric[n, 0], barycentric[n, 1], barycentric[n, 2] = found
    return row, barycentric


@njit(cache=True, nogil=True, error_model="numpy")
def smallest_distance(points, boxes, starts, corners, reach):
    """Distance from the nearest of the points [N, 3] to the faces, inf beyond `reach`; each has to beat the last."""
    best = reach * reach
    nodes, bounds = np.empty(_STACK, dtype=np.int64), np.empty(_STACK)
    for n in range(len(points)):
        x, y, z = points[n, 0], points[n, 1], points[n, 2]
        best = _walk(x, y, z, boxes, starts, corners, best, nodes, bounds)[1]
    return np.sqrt(best) if best < reach * reach else np.inf


@njit(cache=True, nogil=True, error_model="numpy")
def _walk(x, y, z, boxes, starts, corners, best, nodes, bounds):
    """(row, squared distance, barycentrics) of the closest face nearer than sqrt(best); nearer child first."""
    num_leaves = len(starts) - 1
    row, u, v, w = -1, 0.0, 0.0, 0.0
    nodes[0], bounds[0] = 1, _squared_to_box(x, y, z, boxes, 1)
    size = 1
    while size > 0:
        size -= 1
        if bounds[size] >= best:
            continue
        node = nodes[size]
        if node >= num_leaves:
            for face in range(starts[node - num_leaves], starts[node - num_leaves + 1]):
                squared, face_u, face_v, face_w = _closest_on_triangle(x, y, z, corners, face)
                if squared < best:
                    row, best, u, v, w = face, squared, face_u, face_v, face_w
            continue
        near, far = 2 * node, 2 * node + 1
        near_bound, far_bound = _squared_to_box(x, y, z, boxes, near), _squared_to_box(x, y, z, boxes, far)
        if far_bound < near_bound:
            near, far, near_bound, far_bound = far, near, far_bound, near_bound
        nodes[size], bounds[size] = far, far_bound
        nodes[size + 1], bounds[size + 1] = near, near_bound
        size += 2
    return row, best, u, v, w


@njit(cache=True, nogil=True, inline="always")
def _squared_to_box(x, y, z, boxes, node):
    dx = max(boxes[node, 0] - x, x - boxes[node, 3], 0.0)
    dy = max(boxes[node, 1] - y, y - boxes[node, 4], 0.0)
    dz = max(boxes[node, 2] - z, z - boxes[node, 5], 0.0)
    return dx * dx + dy * dy + dz * dz


@njit(cache=True, nogil=True, error_model="numpy")
def _closest_on_triangle(x, y, z, corners, face):
    """Squared distance and barycentrics (Ericson 2005, 5.1.5), with exact zeros on edges and at corners."""
    ax, ay, az = corners[face, 0], corners[face, 1], corners[face, 2]
    abx, aby, abz = corners[face, 3] - ax, corners[face, 4] - ay, corners[face, 5] - az
    acx, acy, acz = corners[face, 6] - ax, corners[face, 7] - ay, corners[face, 8] - az
    apx, apy, apz = x - ax, y - ay, z - az
    ab_ac = abx * acx + aby * acy + abz * acz
    d1, d2 = abx * apx + aby * apy + abz * apz, acx * apx + acy * apy + acz * apz
    # The same two products seen from corner b, then from corner c.
    d3, d4 = d1 - (abx * abx + aby * aby + abz * abz), d2 - ab_ac
    d5, d6 = d1 - ab_ac, d2 - (acx * acx + acy * acy + acz * acz)
    va, vb, vc = d3 * d6 - d5 * d4, d5 * d2 - d1 * d6, d1 * d4 - d3 * d2
    if d1 <= 0 and d2 <= 0:
        u, v, w = 1.0, 0.0, 0.0
    elif d3 >= 0 and d4 <= d3:
        u, v, w = 0.0, 1.0, 0.0
    elif d6 >= 0 and d5 <= d6:
        u, v, w = 0.0, 0.0, 1.0
    elif vc <= 0 and d1 >= 0 and d3 <= 0:
        v = d1 / (d1 - d3)
        u, w = 1.0 - v, 0.0
    elif vb <= 0 and d2 >= 0 and d6 <= 0:
        w = d2 / (d2 - d6)
        u, v = 1.0 - w, 0.0
    elif va <= 0 and d4 >= d3 and d5 >= d6:
        w = (d4 - d3) / ((d4 - d3) + (d5 - d6))
        u, v = 0.0, 1.0 - w
    else:
        v, w = vb / (va + vb + vc), vc / (va + vb + vc)
        u = 1.0 - v - w
    dx, dy, dz = apx - v * abx - w * acx, apy - v * aby - w * acy, apz - v * abz - w * acz
    return dx * dx + dy * dy + dz * dz, u, v, w
