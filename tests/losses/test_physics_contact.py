import pytest
import torch

from closemesh.body.loading import load_bundled_body
from closemesh.body.skeleton import JOINT_INDEX
from closemesh.body.skinning import skin
from closemesh.contact.vertex_contacts import find_contacts, find_penetrations
from closemesh.geometry.rotations import axis_angle_to_matrix
from closemesh.losses.physics import contact_distance, penetration_depth


def degrees(**joints):
    pose = torch.zeros(55, 3)
    for name, value in joints.items():
        pose[JOINT_INDEX[name]] = torch.deg2rad(torch.tensor(value))
    return pose


@pytest.fixture(scope="module")
def embrace():
    """Two people in each other's arms, their chests several centimeters inside each other; poses, transl, betas."""
    body = load_bundled_body("light")
    a = degrees(
        left_shoulder=[0.0, -65, -10], right_shoulder=[0.0, 60, -25], left_elbow=[0.0, -70, 0], neck=[0.0, 20, 0]
    )
    b = degrees(
        left_shoulder=[0.0, -60, -35], right_shoulder=[0.0, 62, 5], right_elbow=[0.0, 75, 0], pelvis=[0.0, 180, 0]
    )
    b[JOINT_INDEX["neck"]] = torch.deg2rad(torch.tensor([0.0, 20, 0]))
    betas = torch.zeros(2, 10)
    betas[1, 0] = 1
    return body, torch.stack([a, b]), torch.tensor([[0, 0, 0], [0.03, 0.05, 0.19]]), betas


def meshes(embrace, pose=None, transl=None):
    body, start_pose, start_transl, betas = embrace
    rotations = axis_angle_to_matrix(start_pose if pose is None else pose)
    vertices, _ = skin(body, betas, rotations, start_transl if transl is None else transl)
    return vertices[:1], vertices[1:], body.faces


def test_gap_is_the_known_distance_of_two_plates(sphere_pair):
    a, b, faces = sphere_pair
    gap = contact_distance(a, b, faces, find_contacts(a, b, faces, max_distance=0.2)[1])
    assert gap.min().item() == pytest.approx(0.1, abs=5e-3)
    assert (gap < 0.2).all()


@pytest.fixture(scope="module")
def sphere_pair():
    """Two unit spheres with 0.1 m between them."""
    import trimesh

    mesh = trimesh.creation.icosphere(subdivisions=3)
    a = torch.as_tensor(mesh.vertices.copy())[None]
    return a, a + torch.tensor([2.1, 0.0, 0.0]), torch.as_tensor(mesh.faces.copy())


def test_gradcheck_in_both_meshes(sphere_pair):
    a, b, faces = sphere_pair
    _, pairs = find_contacts(a, b, faces, max_distance=0.12)
    assert len(pairs) > 4
    shifts = [torch.zeros(1, 1, 3, dtype=torch.float64, requires_grad=True) for _ in range(2)]
    assert torch.autograd.gradcheck(lambda s, t: contact_distance(a + s, b + t, faces, pairs), shifts)


def test_gradient_is_finite_where_the_surfaces_meet(sphere_pair):
    a, _, faces = sphere_pair
    _, pairs = find_contacts(a, a + torch.tensor([2.05, 0, 0]), faces, max_distance=0.1)
    # The partner of every vertex moved onto it: distance zero.
    meeting = type(pairs)(pairs.frame, pairs.from_a, faces[pairs.face, 0], pairs.face, pairs.barycentric, pairs.normal)
    meeting = type(pairs)(
        *(meeting.frame, meeting.from_a, meeting.vertex, meeting.face),
        torch.tensor([1.0, 0, 0], dtype=torch.float64).expand(len(pairs), 3),
        meeting.normal,
    )
    moving = a.clone().requires_grad_()
    gap = contact_distance(moving, a, faces, meeting)
    gap.sum().backward()
    assert (gap == 0).all() and torch.isfinite(moving.grad).all()


def test_penetration_and_contact_together_part_an_embrace_but_keep_it(embrace):
    _, start_pose, start_transl, _ = embrace
    before = find_penetrations(*meshes(embrace))
    assert penetration_depth(*meshes(embrace), before).max() > 0.06
    pose, transl = start_pose.clone().requires_grad_(), start_transl.clone().requires_grad_()
    optimizer = torch.optim.Adam([{"params": [transl], "lr": 0.004}, {"params": [pose], "lr": 0.01}])
    for step in range(60):
        a, b, faces = meshes(embrace, pose, transl)
        if step % 3 == 0:
            penetrations, touching = find_contacts(a, b, faces, max_distance=0.02)
        loss = 1e3 * penetration_depth(a, b, faces, penetrations).square().sum()
        loss = loss + 10 * contact_distance(a, b, faces, touching).square().sum() + (pose - start_pose).square().sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    a, b, faces = meshes(embrace, pose.detach(), transl.detach())
    depth = penetration_depth(a, b, faces, find_penetrations(a, b, faces))
    assert len(depth) == 0 or depth.max().item() < 5e-3
    gap = contact_distance(a, b, faces, find_contacts(a, b, faces, max_distance=0.1)[1])
    assert gap.min().item() < 0.01
