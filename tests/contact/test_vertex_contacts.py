import numpy as np
import pytest
import torch

from closemesh.contact.vertex_contacts import find_contacts, find_penetrations, surface_points

RADIUS = 0.5


@pytest.fixture(scope="module")
def spheres(sphere):
    """Two spheres of radius 0.5 m in five frames, their centers 0.7, 0.9, 0.99, 1.02 and 3 m apart along x."""
    vertices, faces = sphere
    a = torch.as_tensor(RADIUS * vertices)[None].expand(5, -1, -1)
    offsets = torch.tensor([0.7, 0.9, 0.99, 1.02, 3.0], dtype=torch.float64)
    b = a + offsets[:, None, None] * torch.tensor([1.0, 0, 0], dtype=torch.float64)
    return a, b, torch.as_tensor(faces), offsets


def vertex_keys(pairs):
    return set(zip(pairs.frame.tolist(), pairs.from_a.tolist(), pairs.vertex.tolist(), strict=True))


def test_exactly_the_vertices_inside_the_other_sphere_are_found(spheres):
    a, b, faces, offsets = spheres
    found = find_penetrations(a, b, faces)
    for mesh, from_a in ((a, True), (b, False)):
        center = torch.stack([offsets if from_a else torch.zeros(5), torch.zeros(5), torch.zeros(5)], -1)
        radius = torch.linalg.norm(mesh - center[:, None], dim=-1)  # [T, V]
        got = torch.zeros(radius.shape, dtype=torch.bool)
        mine = found.from_a == from_a
        got[found.frame[mine], found.vertex[mine]] = True
        assert not got[radius > RADIUS].any()
        assert got[radius < RADIUS - 2e-3].all()  # Facets lie up to 0.9 mm inside the ball.
    assert set(found.frame.tolist()) == {0, 1, 2}


def test_touching_is_outside_and_within_the_distance(spheres):
    a, b, faces, _ = spheres
    _, found = find_contacts(a, b, faces, max_distance=0.05)
    point, on_surface = surface_points(a, b, faces, found)
    gap = torch.linalg.norm(point - on_surface, dim=-1)
    assert (gap < 0.05).all()
    assert {0, 1, 2, 3} == set(found.frame.tolist())
    assert not vertex_keys(find_penetrations(a, b, faces)) & vertex_keys(found)


def test_exchanging_the_people_exchanges_the_pairs(spheres):
    a, b, faces, _ = spheres
    one, other = find_penetrations(a, b, faces), find_penetrations(b, a, faces)
    assert vertex_keys(one) == {(frame, not from_a, vertex) for frame, from_a, vertex in vertex_keys(other)}


def test_frames_are_independent(spheres):
    a, b, faces, _ = spheres
    whole = find_penetrations(a, b, faces)
    alone = find_penetrations(a[1:2], b[1:2], faces)
    mine = whole.frame == 1
    assert torch.equal(whole.vertex[mine], alone.vertex)
    assert torch.equal(whole.barycentric[mine], alone.barycentric)


def test_dtype_follows_the_meshes_and_no_pairs_is_fine(spheres):
    a, b, faces, _ = spheres
    assert find_penetrations(a[:1].float(), b[:1].float(), faces).barycentric.dtype == torch.float32
    nothing = find_penetrations(a[4:], b[4:], faces)
    assert len(nothing) == 0
    assert all(len(points) == 0 for points in surface_points(a[4:], b[4:], faces, nothing))


def test_query_takes_no_gradient_and_does_not_break_one(spheres):
    a, b, faces, _ = spheres
    moving = b.clone().requires_grad_()
    found = find_penetrations(a, moving, faces)
    assert not found.barycentric.requires_grad
    point, on_surface = surface_points(a, moving, faces, found)
    (point - on_surface).square().sum().backward()
    assert np.isfinite(moving.grad.numpy()).all() and moving.grad.abs().sum() > 0
