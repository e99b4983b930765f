"""Depth, volume and A-PD of meshes whose overlap is known."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import trimesh
from scipy.spatial.transform import Rotation

from closemesh.lab.evaluation.penetration_metrics import a_pd, overlap_volume, points_inside

RADIUS = 0.1
TURN = Rotation.from_rotvec([0.4, 0.9, -0.3]).as_matrix()  # No lattice line meets an edge.


def sphere(fineness: int, center: tuple[float, float, float] = (0, 0, 0)) -> tuple[np.ndarray, np.ndarray]:
    mesh = trimesh.creation.icosphere(fineness, RADIUS)
    return np.asarray(mesh.vertices) @ TURN.T + center, np.asarray(mesh.faces)


def lens_volume(distance: float) -> float:
    """Of two spheres of RADIUS, cubic centimeters."""
    return 1e6 * np.pi * (4 * RADIUS + distance) * (2 * RADIUS - distance) ** 2 / 12


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("distance", [0.05, 0.12, 0.18])
def test_the_volume_of_a_lens(distance: float, axis: int) -> None:
    a, faces = sphere(5)
    b = a + distance * np.eye(3)[axis]
    assert overlap_volume(a, b, faces) == pytest.approx(lens_volume(distance), rel=0.01)


def test_the_volume_of_a_body_in_itself_is_its_own() -> None:
    a, faces = sphere(3)
    own = 1e6 * trimesh.Trimesh(a, faces).volume
    assert overlap_volume(a, a.copy(), faces) == pytest.approx(own, rel=0.01)


def test_separate_meshes_have_no_volume_though_boxes_overlap() -> None:
    a, faces = sphere(3)
    assert overlap_volume(a, a + 1.2 * RADIUS, faces) == 0
    assert overlap_volume(a, a + 0.5, faces) == 0


def test_the_depth_of_two_spheres() -> None:
    a, faces = sphere(5)
    b = a + np.array([0.12, 0, 0])
    inside = points_inside(a, b, faces)
    assert inside.depth.max() == pytest.approx(0.08, abs=0.001)
    gone_in = RADIUS - np.linalg.norm(a[inside.point] - [0.12, 0, 0], axis=-1)
    assert inside.depth == pytest.approx(gone_in, abs=2e-4)
    assert np.linalg.norm(b[inside.nearest] - a[inside.point], axis=-1).max() < 0.09
    assert len(points_inside(a, b + 1, faces).point) == 0


def slow_a_pd(a: np.ndarray, b: np.ndarray, faces: np.ndarray) -> float:
    """The code of SDF_ihmr read anew: every ray against every face, torch's own grid_sample."""
    vertices = [torch.as_tensor(v) for v in (a, b)]
    centres = [(v.amax(0) + v.amin(0)) / 2 for v in vertices]
    scales = [1.2 * 0.5 * (v.amax(0) - v.amin(0)).max() for v in vertices]
    fields = [slow_field(((v - c) / s).numpy(), faces) for v, c, s in zip(vertices, centres, scales, strict=True)]
    values = []
    for i in (0, 1):
        grid = ((vertices[i] - centres[1 - i]) / scales[i]).reshape(1, -1, 1, 1, 3)
        # grid_sample takes the last axis of the field for x.
        field = torch.as_tensor(fields[1 - i]).permute(2, 1, 0)[None, None]
        sampled = torch.nn.functional.grid_sample(field, grid, align_corners=True).flatten()
        values.append(sampled * scales[i])
    return 1000 * float(torch.cat(values).mean())


def slow_field(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    along = -1 + (np.arange(32) + 0.5) * 2 / 31
    points = np.stack(np.meshgrid(along, along, along, indexing="ij"), -1).reshape(-1, 3)
    crossings = np.zeros(len(points), int)
    for a, b, c in vertices[faces]:
        crossings += meets(points, np.array([-1.0, -1, -1]), a, b, c)
    inside = crossings % 2 == 1
    field = np.zeros(len(points))
    _, field[inside], _ = trimesh.proximity.closest_point_naive(
        trimesh.Trimesh(vertices, faces, process=False), points[inside]
    )
    return field.reshape(32, 32, 32)


def meets(points: np.ndarray, ray: np.ndarray, a: np.ndarray, b: np.ndarray, c: np.ndarray) -> np.ndarray:
    """Moller and Trumbore (1997)."""
    p = np.cross(ray, c - a)
    determinant = (b - a) @ p
    offset = points - a
    u = offset @ p / determinant
    q = np.cross(offset, b - a)
    v = q @ ray / determinant
    return (u >= 0) & (v >= 0) & (u + v <= 1) & (q @ (c - a) / determinant > 0)


@pytest.mark.parametrize(("shift", "size"), [((0.08, -0.05, 0.06), 1.6), ((0.5, 0, 0), 1.0)])
def test_a_pd_against_a_slow_reading_of_the_original(shift: tuple[float, ...], size: float) -> None:
    a, faces = sphere(1)
    b = size * a * [1, 0.7, 1.2] + shift
    expected = slow_a_pd(a, b, faces)
    assert a_pd(a, b, faces) == pytest.approx(expected, rel=1e-6, abs=1e-12)
    assert (expected > 0.1) == (shift[0] < 0.3)


def test_a_pd_does_not_distinguish_two_people() -> None:
    a, faces = sphere(3)
    b = 1.4 * a + [0.1, 0.03, 0]
    assert a_pd(a, b, faces) == pytest.approx(a_pd(b, a, faces))


def test_a_pd_of_two_spheres_is_near_the_true_mean_depth() -> None:
    """Boxes of one size: only the half step beside and the coarse field are between A-PD and the exact mean."""
    a, faces = sphere(5)
    b = a + np.array([0.1, 0, 0])
    depth = points_inside(a, b, faces).depth
    exact = 1000 * depth.sum() / len(a)
    assert a_pd(a, b, faces) == pytest.approx(exact, rel=0.15)
