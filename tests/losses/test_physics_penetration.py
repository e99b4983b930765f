import pytest
import torch
import trimesh

from closemesh.contact.vertex_contacts import find_penetrations
from closemesh.losses.physics import penetration_depth


@pytest.fixture(scope="module")
def overlapping():
    """Two unit spheres whose centers are 1.8 m apart: 0.2 m of overlap on the axis.

    Turned against each other: where facets lie symmetrically a vertex has two closest faces, and no derivative.
    """
    mesh = trimesh.creation.icosphere(subdivisions=3)
    a = torch.as_tensor(mesh.vertices.copy())[None]
    R = torch.as_tensor(trimesh.transformations.euler_matrix(0.3, 0.5, 0.7)[:3, :3])
    return a, a @ R.T + torch.tensor([1.8, 0.0, 0.0]), torch.as_tensor(mesh.faces.copy())


def deepest(a, b, faces):
    return penetration_depth(a, b, faces, find_penetrations(a, b, faces)).max()


def test_depth_on_the_axis_is_the_overlap(overlapping):
    a, b, faces = overlapping
    assert deepest(a, b, faces).item() == pytest.approx(0.2, abs=0.01)  # The facets lie up to 7 mm inside the ball.


def test_every_depth_equals_the_distance_to_the_ball(overlapping):
    a, b, faces = overlapping
    penetrations = find_penetrations(a, b, faces)
    depth = penetration_depth(a, b, faces, penetrations)
    point = torch.where(penetrations.from_a[:, None], a[0, penetrations.vertex], b[0, penetrations.vertex])
    center = torch.where(penetrations.from_a[:, None], torch.tensor([1.8, 0, 0]), torch.zeros(3))
    torch.testing.assert_close(depth, 1 - torch.linalg.norm(point - center, dim=-1), atol=8e-3, rtol=0)


def test_gradient_of_the_true_depth_with_a_new_query_each_time(overlapping):
    """The envelope theorem: holding face and barycentrics still loses nothing of the first derivative."""
    a, b, faces = overlapping
    generator = torch.Generator().manual_seed(0)
    penetrations = find_penetrations(a, b, faces)
    for which in (0, 1):
        direction = torch.randn(a.shape, generator=generator, dtype=torch.float64) * 0.1

        def loss(step, fixed, which=which, direction=direction):
            meshes = [a, b]
            meshes[which] = meshes[which] + step * direction
            found = fixed or find_penetrations(meshes[0], meshes[1], faces)
            return penetration_depth(meshes[0], meshes[1], faces, found).square().sum()

        step = torch.zeros((), dtype=torch.float64, requires_grad=True)
        (slope,) = torch.autograd.grad(loss(step, penetrations), step)
        numeric = (loss(1e-5, None) - loss(-1e-5, None)) / 2e-5
        assert slope.item() == pytest.approx(numeric.item(), rel=1e-4)


def test_gradcheck_in_both_meshes(overlapping):
    a, b, faces = overlapping
    penetrations = find_penetrations(a, b, faces)
    few = type(penetrations)(*(getattr(penetrations, name)[::25] for name in penetrations.__dataclass_fields__))

    def depth_of_shift(shift_a, shift_b):
        return penetration_depth(a + shift_a, b + shift_b, faces, few)

    shifts = [torch.zeros(1, 1, 3, dtype=torch.float64, requires_grad=True) for _ in range(2)]
    assert torch.autograd.gradcheck(depth_of_shift, shifts)


def test_fades_to_zero_when_the_bodies_part_between_two_queries(overlapping):
    a, b, faces = overlapping
    penetrations = find_penetrations(a, b, faces)
    depths = [
        penetration_depth(a, b + torch.tensor([t, 0, 0]), faces, penetrations).max().item()
        for t in (0.0, 0.1, 0.19, 0.3)
    ]
    assert depths == sorted(depths, reverse=True)
    assert depths[2] < 0.015 and depths[3] == 0


def test_descent_separates_the_spheres(overlapping):
    a, b, faces = overlapping
    shift = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.SGD([shift], lr=0.005)
    for _ in range(80):
        moved = b + shift
        loss = penetration_depth(a, moved, faces, find_penetrations(a, moved, faces)).square().sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert deepest(a, b + shift.detach(), faces).item() < 0.01
    assert shift[0].item() == pytest.approx(0.19, abs=0.02) and abs(shift[1].item()) < 0.01
