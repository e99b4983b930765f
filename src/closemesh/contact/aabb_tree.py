"""Tree of axis-aligned boxes over the faces of a mesh, and exact closest points on triangles.

Compiled by numba without the GIL; building the tree is fast enough for every frame.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

# Compiled functions have no type hints: numba infers the types.
# pyright: reportMissingParameterType=false


_FACES_PER_LEAF = 2
_MORTON_CELLS = 1024  # Per axis, so that three interleaved indices take 30 bits.


class AabbTree(NamedTuple):
    """A complete binary tree in heap order: the root is node 1, the children of node n are 2n and 2n + 1."""

    boxes: NDArray[np.float64]  # [2L, 6] lower and upper corner of each node
    starts: NDArray[np.int64]  # [L + 1] leaf node L + i holds corners[starts[i] : starts[i + 1]]
    corners: NDArray[np.float64]  # [F, 9] corners of the faces, sorted along a space-filling curve
    order: NDArray[np.int64]  # [F] index of each of these faces in the mesh


def build_aabb_tree(
    vertices: NDArray[np.float64], faces: NDArray[np.int64], order: NDArray[np.int64] | None = None
) -> AabbTree:
    """The tree over a mesh: faces sorted along a Morton curve, then halved (Lauterbach et al. 2009).

    vertices [V, 3], faces [F, 3]; order [F] of an earlier tree over the same faces saves the sorting. Neighboring faces
    stay neighbors as the mesh moves, so the boxes grow only a little.
    """
    if order is None:
        order = np.argsort(_morton_codes(vertices[faces].reshape(-1, 9)), kind="stable")
    corners = _gather(vertices, faces, order)
    num_leaves = 1
    while num_leaves * _FACES_PER_LEAF < len(faces):
        num_leaves *= 2
    starts = np.arange(num_leaves + 1) * len(faces) // num_leaves
    return AabbTree(_fit_boxes(corners, starts), starts, corners, order)


@njit(cache=True, nogil=True)
def _gather(vertices, faces, order):
    """Corners [F, 9] of the faces in their order."""
    corners = np.empty((len(order), 9))
    for row in range(len(order)):
        for k in range(9):
            corners[row, k] = vertices[faces[order[row], k // 3], k % 3]
    return corners


@njit(cache=True, nogil=True, error_model="numpy")
def _morton_codes(corners):
    """Morton codes [F] of the centers of faces with corners [F, 9]."""
    centers = corners[:, 0:3] + corners[:, 3:6] + corners[:, 6:9]
    codes = np.zeros(len(centers), dtype=np.int64)
    extent = 0.0
    for axis in range(3):
        extent = max(extent, centers[:, axis].max() - centers[:, axis].min())
    scale = (_MORTON_CELLS - 1) / max(extent, 1e-300)
    for axis in range(3):
        low = centers[:, axis].min()
        for face in range(len(centers)):
            codes[face] |= _interleave(int((centers[face, axis] - low) * scale)) << axis
    return codes


@njit(cache=True, nogil=True)
def _interleave(cell):
    """The ten bits of `cell` with two zeros before each."""
    cell = (cell | cell << 16) & 0x030000FF
    cell = (cell | cell << 8) & 0x0300F00F
    cell = (cell | cell << 4) & 0x030C30C3
    return (cell | cell << 2) & 0x09249249


@njit(cache=True, nogil=True)
def _fit_boxes(corners, starts):
    num_leaves = len(starts) - 1
    boxes = np.empty((2 * num_leaves, 6))
    boxes[:, :3] = np.inf
    boxes[:, 3:] = -np.inf
    for leaf in range(num_leaves):
        node = num_leaves + leaf
        for face in range(starts[leaf], starts[leaf + 1]):
            for k in range(9):
                boxes[node, k % 3] = min(boxes[node, k % 3], corners[face, k])
                boxes[node, 3 + k % 3] = max(boxes[node, 3 + k % 3], corners[face, k])
    for node in range(num_leaves - 1, 0, -1):
        for axis in range(3):
            boxes[node, axis] = min(boxes[2 * node, axis], boxes[2 * node + 1, axis])
            boxes[node, 3 + axis] = max(boxes[2 * node, 3 + axis], boxes[2 * node + 1, 3 + axis])
    return boxes


_STACK = 64  # Nodes; the tree is complete, so a walk holds at most one waiting node per level.


@njit(cache=True, nogil=True, error_model="numpy")
def closest_faces(points, boxes, starts, corners, max_distance):
    """For points [N, 3]: row [N] of the closest face in corners [F, 9], -1 beyond max_distance; barycentrics [N, 3]."""
    row = np.full(len(points), -1, dtype=np.int64)
    barycentric = np.zeros((len(points), 3))
    nodes, bounds = np.empty(_STACK, dtype=np.int64), np.empty(_STACK)
    for n in range(len(points)):
        x, y, z = points[n, 0], points[n, 1], points[n, 2]
        found = _walk(x, y, z, boxes, starts, corners, max_distance * max_distance, nodes, bounds)
        row[n], _, barycentric[n, 0], barycentric[n, 1], barycentric[n, 2] = found
    return row, barycentric


@njit(cache=True, nogil=True, error_model="numpy")
def smallest_distance(points, boxes, starts, corners, max_distance):
    """Smallest distance from points [N, 3] to the faces with corners [F, 9], inf beyond max_distance."""
    best = max_distance * max_distance
    nodes, bounds = np.empty(_STACK, dtype=np.int64), np.empty(_STACK)
    for n in range(len(points)):
        x, y, z = points[n, 0], points[n, 1], points[n, 2]
        best = _walk(x, y, z, boxes, starts, corners, best, nodes, bounds)[1]
    return np.sqrt(best) if best < max_distance * max_distance else np.inf


@njit(cache=True, nogil=True, error_model="numpy")
def _walk(x, y, z, boxes, starts, corners, best, nodes, bounds):
    """Row, squared distance and barycentrics of the closest face nearer than sqrt(best); nearer child first."""
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
    # The same two products from corner b, then from corner c.
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
