"""Normals of triangle meshes: the mean of the face normals around each vertex, weighted by area."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from torch import Tensor

from closemesh.core.arrays import Floats


def face_incidence(faces: NDArray[np.integer], num_vertices: int) -> csr_matrix:
    """Sparse matrix [V, F] with a one where a vertex belongs to a face; faces [F, 3]."""
    columns = np.repeat(np.arange(len(faces)), 3)
    ones = np.ones(faces.size, dtype=np.float32)
    return csr_matrix((ones, (faces.ravel(), columns)), shape=(num_vertices, len(faces)))


def face_normals(a: Floats, b: Floats, c: Floats) -> Floats:
    """Normals [F, 3] of faces with corners a, b and c [F, 3]; their length is twice the area of the face."""
    return np.cross(b - a, c - a)


def vertex_normals(vertices: Floats, faces: NDArray[np.integer], incidence: csr_matrix | None = None) -> Floats:
    """Unit normals [V, 3] of a mesh with vertices [V, 3] and faces [F, 3].

    incidence: `face_incidence` of the same faces, computed once where many frames share them.
    """
    if incidence is None:
        incidence = face_incidence(faces, len(vertices))
    sums = incidence @ face_normals(vertices[faces[:, 0]], vertices[faces[:, 1]], vertices[faces[:, 2]])
    return sums / np.linalg.norm(sums, axis=-1, keepdims=True).clip(min=1e-12)


def batched_vertex_normals(vertices: Tensor, faces: Tensor) -> Tensor:
    """Unit normals [..., V, 3] of meshes with vertices [..., V, 3] and common faces [F, 3], differentiable.

    There are two variants because optimization needs gradients and batches, while renderers share one sparse matrix of
    `vertex_normals` between frames. They add the faces in another order, so they differ in the last bits.
    """
    corners = vertices[..., faces, :]  # [..., F, 3, 3]
    scaled = torch.linalg.cross(corners[..., 1, :] - corners[..., 0, :], corners[..., 2, :] - corners[..., 0, :])
    sums = torch.zeros_like(vertices)
    for corner in range(3):
        sums.index_add_(-2, faces[:, corner], scaled)
    return F.normalize(sums, dim=-1)
