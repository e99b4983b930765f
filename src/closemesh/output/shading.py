"""Light on bodies: smooth normals, and the colour that each vertex shows."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from closemesh.scene import Floats

# Okabe and Ito 2008: told apart with every kind of colour vision; neighbours in the list differ most.
PERSON_COLOURS: tuple[tuple[int, int, int], ...] = (
    (86, 180, 233),
    (230, 159, 0),
    (0, 158, 115),
    (204, 121, 167),
    (240, 228, 66),
    (0, 114, 178),
    (213, 94, 0),
)

# Directions towards the lights in camera axes (x right, y down, z away), and their strengths.
_LIGHTS = np.array([[-0.45, -0.65, -0.61], [0.70, -0.20, -0.68], [0.0, -1.0, 0.0]], dtype=np.float32)
_STRENGTHS = np.array([0.62, 0.18, 0.12], dtype=np.float32)
_AMBIENT = 0.30


def person_colour(person: int) -> tuple[int, int, int]:
    """RGB 0..255 of a person, the same in every picture of a result."""
    return PERSON_COLOURS[person % len(PERSON_COLOURS)]


def face_incidence(faces: NDArray[np.integer], num_vertices: int) -> csr_matrix:
    """[V, F] with a one where a vertex belongs to a face."""
    columns = np.repeat(np.arange(len(faces)), 3)
    ones = np.ones(faces.size, dtype=np.float32)
    return csr_matrix((ones, (faces.ravel(), columns)), shape=(num_vertices, len(faces)))


def vertex_normals(vertices: Floats, faces: NDArray[np.integer], incidence: csr_matrix) -> Floats:
    """Unit normals [V, 3] of vertices [V, 3]: the mean of the faces around each, weighted by area."""
    a, b, c = vertices[faces[:, 0]], vertices[faces[:, 1]], vertices[faces[:, 2]]
    sums = incidence @ np.cross(b - a, c - a)
    return sums / np.linalg.norm(sums, axis=-1, keepdims=True).clip(min=1e-12)


def shade(normals_cam: Floats, colour: tuple[int, int, int]) -> Floats:
    """Colours [V, 3] in 0..255 of a matt surface with these normals in camera axes, lit from above and both sides."""
    directions = _LIGHTS / np.linalg.norm(_LIGHTS, axis=-1, keepdims=True)
    light = _AMBIENT + (normals_cam @ directions.T).clip(min=0) @ _STRENGTHS  # [V]
    return (light[:, None] * np.asarray(colour, dtype=np.float32)).clip(0, 255)
