"""Vertex normals, for arrays and for batches of tensors."""

from __future__ import annotations

import numpy as np
import torch

from closemesh.body.loading import load_bundled_body
from closemesh.geometry.mesh import batched_vertex_normals, face_incidence, vertex_normals


def test_normals_of_a_sphere_point_away_from_its_center() -> None:
    corners = np.array([[1, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0], [0, 0, 1], [0, 0, -1]], np.float64)
    faces = np.array([[0, 2, 4], [2, 1, 4], [1, 3, 4], [3, 0, 4], [2, 0, 5], [1, 2, 5], [3, 1, 5], [0, 3, 5]])
    np.testing.assert_allclose(vertex_normals(corners, faces), corners)


def test_incidence_given_or_not_makes_no_difference() -> None:
    body = load_bundled_body("light")
    vertices, faces = body.v_template.numpy(), body.faces.numpy()
    incidence = face_incidence(faces, len(vertices))
    assert (vertex_normals(vertices, faces) == vertex_normals(vertices, faces, incidence)).all()


def test_batches_of_tensors_have_the_same_normals() -> None:
    body = load_bundled_body("light")
    vertices = torch.stack([body.v_template, 1.1 * body.v_template.roll(1, dims=-1)])
    normals = batched_vertex_normals(vertices, body.faces)
    for mesh, expected in zip(vertices, normals, strict=True):
        np.testing.assert_allclose(vertex_normals(mesh.numpy(), body.faces.numpy()), expected, atol=1e-6)
