"""A tree of axis-aligned boxes over the faces of a mesh, fast enough to be made anew for every frame."""

from __future__ import annotations

# Compiled functions carry no hints: numba infers the types.
# pyright: reportMissingParameterType=false
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

_FACES_PER_LEAF = 2
_MORTON_CELLS = 1024  # Per axis, so that three interleaved indices take 30 bits.


class BoxTree(NamedTuple):
    """A complete binary tree in heap order: the root is node 1, the children of node n are 2n and 2n + 1."""

    boxes: NDArray[np.float64]  # [2L, 6] lower and upper corner of each node
    starts: NDArray[np.int64]  # [L + 1] leaf node L + i holds corners[starts[i] : starts[i + 1]]
    corners: NDArray[np.float64]  # [F, 9] corners of the faces, which stand along a space-filling curve
    order: NDArray[np.int64]  # [F] which face each of those is


def build_box_tree(
    vertices: NDArray[np.float64], faces: NDArray[np.int64], order: NDArray[np.int64] | None = None
) -> BoxTree:
    """The tree over a mesh [V, 3], [F, 3]: faces sorted along a Morton curve, then halved (Lauterbach et al. 2009).

    order [F]: the one of an earlier tree over the same faces, which saves the sorting. As the mesh moves, faces that
    were neighbours stay so: the boxes grow a little, and what is found in them is the same.
    """
    if order is None:
        order = np.argsort(_morton_codes(vertices[faces].reshape(-1, 9)), kind="stable")
    corners = _gather(vertices, faces, order)
    num_leaves = 1
    while num_leaves * _FACES_PER_LEAF < len(faces):
        num_leaves *= 2
    starts = np.arange(num_leaves + 1) * len(faces) // num_leaves
    return BoxTree(_fit_boxes(corners, starts), starts, corners, order)


@njit(cache=True, nogil=True)
def _gather(vertices, faces, order):
    """[F, 9] corners of the faces in their order."""
    corners = np.empty((len(order), 9))
    for row in range(len(order)):
        for k in range(9):
            corners[row, k] = vertices[faces[order[row], k // 3], k % 3]
    return corners


@njit(cache=True, nogil=True, error_model="numpy")
def _morton_codes(corners):
    """[F] interleaved bits of the quantised centres of faces with corners [F, 9]."""
    centres = corners[:, 0:3] + corners[:, 3:6] + corners[:, 6:9]
    codes = np.zeros(len(centres), dtype=np.int64)
    extent = 0.0
    for axis in range(3):
        extent = max(extent, centres[:, axis].max() - centres[:, axis].min())
    scale = (_MORTON_CELLS - 1) / max(extent, 1e-300)
    for axis in range(3):
        low = centres[:, axis].min()
        for face in range(len(centres)):
            codes[face] |= _spread(int((centres[face, axis] - low) * scale)) << axis
    return codes


@njit(cache=True, nogil=True)
def _spread(cell):
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
