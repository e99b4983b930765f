import numpy as np
import pytest
import torch
import trimesh

from closemesh.body.loading import load_bundled_body
from closemesh.body.skeleton import JOINT_INDEX
from closemesh.body.skinning import skin
from closemesh.contact.signed_distance import WatertightMesh
from closemesh.geometry.rotations import axis_angle_to_matrix


def test_distance_and_sign_equal_brute_force_on_sharp_mesh(star, brute_force):
    vertices, faces = star
    points = np.random.default_rng(1).uniform(-1, 1, (1500, 3))
    distance, inside = brute_force(points, vertices, faces)
    found = WatertightMesh(faces).closest(points, vertices)
    np.testing.assert_allclose(found.distance, distance, atol=1e-12)
    assert np.array_equal(found.inside, inside)
    assert 0.05 < inside.mean() < 0.95


def test_reported_face_and_barycentric_are_at_the_reported_distance(star):
    vertices, faces = star
    points = np.random.default_rng(2).uniform(-1, 1, (500, 3))
    found = WatertightMesh(faces).closest(points, vertices)
    on_surface = np.einsum("nk,nkd->nd", found.barycentric, vertices[faces[found.face]])
    np.testing.assert_allclose(np.linalg.norm(points - on_surface, axis=1), found.distance, atol=1e-12)
    np.testing.assert_allclose(found.barycentric.sum(1), 1)
    assert (found.barycentric >= 0).all()
    signed = np.where(found.inside, -found.distance, found.distance)
    np.testing.assert_allclose(on_surface + signed[:, None] * found.normal, points, atol=1e-9)


def test_sign_just_off_vertices_and_edges_follows_the_side_left(star, brute_force):
    vertices, faces = star
    corners = vertices[faces]
    middles = corners[:, [0, 1]].mean(1)
    rng = np.random.default_rng(3)
    points = np.concatenate([vertices, middles]) + rng.normal(0, 1e-4, (len(vertices) + len(middles), 3))
    assert np.array_equal(
        WatertightMesh(faces).closest(points, vertices).inside, brute_force(points, vertices, faces)[1]
    )


def test_sphere_has_the_known_distance_everywhere(sphere):
    vertices, faces = sphere
    directions = np.random.default_rng(4).normal(size=(400, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    for radius in (0.3, 0.9, 1.1, 4.0):
        found = WatertightMesh(faces).closest(radius * directions, vertices)
        np.testing.assert_allclose(found.distance, abs(radius - 1), atol=2e-3)  # The facets lie up to 1.7 mm inside.
        assert (found.inside == (radius < 1)).all()
        assert (np.einsum("nd,nd->n", found.normal, directions) > 0.99).all()


def test_a_limit_of_distance_drops_what_is_farther_and_changes_nothing_nearer(star):
    vertices, faces = star
    points = np.random.default_rng(5).uniform(-2, 2, (600, 3))
    every, near = (WatertightMesh(faces).closest(points, vertices, limit) for limit in (np.inf, 0.2))
    assert np.array_equal(near.face >= 0, every.distance < 0.2)
    found_near = near.face >= 0
    np.testing.assert_array_equal(near.distance[found_near], every.distance[found_near])
    np.testing.assert_array_equal(near.inside[found_near], every.inside[found_near])
    assert np.isinf(near.distance[~found_near]).all()


def test_smallest_distance_equals_the_minimum(star):
    vertices, faces = star
    points = np.random.default_rng(6).uniform(1, 3, (300, 3))
    surface = WatertightMesh(faces)
    assert surface.distance(points, vertices) == pytest.approx(surface.closest(points, vertices).distance.min())


def test_points_on_the_surface_have_distance_zero_and_leave_along_the_normal(sphere):
    vertices, faces = sphere
    found = WatertightMesh(faces).closest(vertices, vertices)
    np.testing.assert_allclose(found.distance, 0, atol=1e-12)
    assert (np.einsum("nd,nd->n", found.normal, vertices) > 0.998).all()


def test_rigid_motion_changes_nothing(star):
    vertices, faces = star
    points = np.random.default_rng(7).uniform(-1, 1, (300, 3))
    T = trimesh.transformations.random_rotation_matrix(np.array([0.2, 0.5, 0.7]))[:3, :3]
    shift = np.array([3.0, -2.0, 5.0])
    here = WatertightMesh(faces).closest(points, vertices)
    there = WatertightMesh(faces).closest(points @ T.T + shift, vertices @ T.T + shift)
    np.testing.assert_allclose(there.distance, here.distance, atol=1e-12)
    assert np.array_equal(there.inside, here.inside)
    np.testing.assert_allclose(there.normal, here.normal @ T.T, atol=1e-7)


def test_no_points_is_fine(sphere):
    vertices, faces = sphere
    assert len(WatertightMesh(faces).closest(np.zeros((0, 3)), vertices).face) == 0


def test_open_or_inconsistent_mesh_is_refused(sphere):
    _, faces = sphere
    with pytest.raises(ValueError, match="not closed"):
        WatertightMesh(faces[1:])
    flipped = faces.copy()
    flipped[0] = flipped[0, ::-1]
    with pytest.raises(ValueError, match="not closed"):
        WatertightMesh(flipped)


def test_a_body_that_cuts_through_itself_gets_the_right_sign(brute_force):
    """An arm pressed through the chest: the surface that is closest may be one that is sunk in the body."""
    body = load_bundled_body("light")
    pose = torch.zeros(55, 3)
    pose[JOINT_INDEX["left_shoulder"]] = torch.tensor([0.0, -1.4, -1.2])
    pose[JOINT_INDEX["left_elbow"]] = torch.tensor([0.0, -1.5, 0.0])
    vertices, _ = skin(body, torch.zeros(10), axis_angle_to_matrix(pose), torch.zeros(3))
    vertices, faces = vertices.double().numpy(), body.faces.numpy()
    points = np.random.default_rng(0).uniform([-0.4, -0.5, -0.2], [0.5, 0.3, 0.4], size=(400, 3))
    found = WatertightMesh(faces).closest(points, vertices)
    _, inside = brute_force(points, vertices, faces)
    assert inside.sum() > 30
    assert np.array_equal(found.inside, inside)


def test_points_straight_below_edges_and_corners_of_a_box():
    box = trimesh.creation.box()
    grid = np.stack(np.meshgrid(*([np.linspace(-1, 1, 9)] * 3)), axis=-1).reshape(-1, 3)
    found = WatertightMesh(box.faces).closest(grid, np.asarray(box.vertices))
    off_surface = found.distance > 1e-9
    truly_inside = (np.abs(grid) < 0.5).all(-1)
    assert np.array_equal(found.inside[off_surface], truly_inside[off_surface])


def test_a_surface_that_has_moved_is_searched_as_a_new_one(star):
    vertices, faces = star
    surface, points = WatertightMesh(faces), np.random.default_rng(5).uniform(-2, 2, (300, 3))
    surface.closest(points, vertices)  # Its order of faces is kept.
    moved = vertices * [1.4, -0.7, 0.9] @ np.linalg.qr(np.random.default_rng(6).normal(size=(3, 3)))[0]
    again, fresh = surface.closest(points, moved), WatertightMesh(faces).closest(points, moved)
    np.testing.assert_allclose(again.distance, fresh.distance, atol=1e-12)
    np.testing.assert_array_equal(again.inside, fresh.inside)
    ids, inside = surface.closest_within(points, moved, 0.0)
    np.testing.assert_array_equal(ids, np.flatnonzero(fresh.inside))
    np.testing.assert_allclose(inside.distance, fresh.distance[ids], atol=1e-12)
    none, nothing = surface.closest_within(points[:0], moved, 0.0)
    assert len(none) == len(nothing.face) == 0
