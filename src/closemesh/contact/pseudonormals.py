"""Normals of faces, edges and vertices whose sign tells inside from outside (Baerentzen and Aanaes 2005)."""

from __future__ import annotations

# Compiled functions carry no hints: numba infers the types.
# pyright: reportMissingParameterType=false
import numpy as np
from numba import njit
from numpy.typing import NDArray


def edge_neighbours(faces: NDArray[np.int64]) -> NDArray[np.int64]:
    """[F, 3] the face across the edge opposite each corner.

    Raises ValueError when the mesh is not closed and consistently oriented: every directed edge must occur once in
    each direction.
    """
    starts, ends = faces[:, [1, 2, 0]].reshape(-1), faces[:, [2, 0, 1]].reshape(-1)
    count = int(faces.max()) + 1
    forward, backward = starts * count + ends, ends * count + starts
    order = np.argsort(forward)
    position = np.searchsorted(forward, backward, sorter=order).clip(max=len(order) - 1)
    twin = order[position]
    if len(np.unique(forward)) < len(forward) or not np.array_equal(forward[twin], backward):
        raise ValueError("the mesh is not closed: every edge must join two faces of the same orientation")
    return (twin // 3).reshape(-1, 3)


@njit(cache=True, nogil=True, error_model="numpy")
def pseudonormals(vertices, faces, neighbours):
    """[F, 7, 3] for vertices [V, 3]: of each face itself, its edges opposite corner 0 to 2, its corners 0 to 2.

    Edges sum the unit normals of their two faces, vertices those of all their faces weighted by the angle there;
    only their direction means anything.
    """
    normals = np.zeros((len(faces), 7, 3))
    at_vertex = np.zeros_like(vertices)
    for face in range(len(faces)):
        length = _unit_normal(vertices, faces, face, normals)
        for corner in range(3):
            # |cross product| is the same at every corner, so the angle there needs one dot product more.
            here, there, other = faces[face, corner], faces[face, corner - 2], faces[face, corner - 1]
            dot = 0.0
            for axis in range(3):
                origin = vertices[here, axis]
                dot += (vertices[there, axis] - origin) * (vertices[other, axis] - origin)
            angle = np.arctan2(length, dot)
            for axis in range(3):
                at_vertex[here, axis] += angle * normals[face, 0, axis]
    for face in range(len(faces)):
        for corner in range(3):
            for axis in range(3):
                across = normals[neighbours[face, corner], 0, axis]
                normals[face, 1 + corner, axis] = normals[face, 0, axis] + across
                normals[face, 4 + corner, axis] = at_vertex[faces[face, corner], axis]
    return normals


@njit(cache=True, nogil=True, error_model="numpy")
def _unit_normal(vertices, faces, face, normals):
    """Writes normals[face, 0] (zero for a face without area) and returns twice the area."""
    a, b, c = faces[face, 0], faces[face, 1], faces[face, 2]
    total = 0.0
    for axis in range(3):
        j, k = (axis + 1) % 3, (axis + 2) % 3
        value = (vertices[b, j] - vertices[a, j]) * (vertices[c, k] - vertices[a, k])
        value -= (vertices[b, k] - vertices[a, k]) * (vertices[c, j] - vertices[a, j])
        normals[face, 0, axis] = value
        total += value * value
    length = np.sqrt(total)
    if length > 0:
        for axis in range(3):
            normals[face, 0, axis] /= length
    return length
