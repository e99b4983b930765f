"""Points posed one by one against the whole skin; limbs that point where they are told; spheres inside the body."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from closemesh.body.loading import load_bundled_body
from closemesh.body.skeleton import JOINT_INDEX
from closemesh.body.skinning import skin
from closemesh.contact.signed_distance import WatertightMesh
from closemesh.geometry.rotations import axis_angle_to_matrix
from closemesh.lab.synthesis.energy_terms import centre_of_mass
from closemesh.lab.synthesis.initial_poses import lean_forward, set_arm, set_leg, trunk_rotation, turn_palm
from closemesh.lab.synthesis.posed_bodies import BodyShapes, PosedBodies, PoseVariables, hand_shapes, shape_bodies
from closemesh.lab.synthesis.surface_points import inner_spheres, posed_spheres, sphere_energy

BODY = load_bundled_body("light")


def bodies(count: int, spread: float = 0.2, seed: int = 0) -> tuple[BodyShapes, PoseVariables]:
    generator = torch.Generator().manual_seed(seed)

    def noise(*shape: int) -> torch.Tensor:
        return spread * torch.randn(count, *shape, generator=generator)

    hands = hand_shapes(BODY, [("grip", "fist")]).expand(count, -1, -1)
    shapes = shape_bodies(BODY, noise(BODY.num_betas), hands)
    return shapes, PoseVariables(noise(3), noise(21, 3), noise(3), noise(2, 6))


def test_points_are_those_of_the_skin():
    shapes, variables = bodies(3)
    betas = 0.2 * torch.randn(3, BODY.num_betas, generator=torch.Generator().manual_seed(0))
    rotations = axis_angle_to_matrix(shapes.axis_angle(variables))
    vertices, joints = skin(BODY, betas, rotations, variables.pelvis - shapes.joints_rest[:, 0])
    posed = shapes.pose(variables)
    ids = torch.randint(len(BODY.v_template), (3, 50), generator=torch.Generator().manual_seed(1))
    expected = vertices.gather(1, ids[..., None].expand(-1, -1, 3))
    assert torch.allclose(posed.points(ids), expected, atol=1e-5)
    assert torch.allclose(posed.points(ids[0]), vertices[:, ids[0]], atol=1e-5)
    assert torch.allclose(posed.joints, joints, atol=1e-5)
    assert torch.allclose(posed.joints[:, 0], variables.pelvis, atol=1e-6)


def test_normals_turn_with_the_body():
    shapes, variables = bodies(2, spread=0.0)
    ids = torch.arange(0, len(BODY.v_template), 10)
    _, at_rest = shapes.pose(variables).points_and_normals(ids)
    turn = torch.tensor([0.3, 1.2, -0.4]).expand(2, 3)
    turned = PoseVariables(turn, variables.body_pose, variables.pelvis, variables.bend)
    _, normals = shapes.pose(turned).points_and_normals(ids)
    assert torch.allclose(normals, at_rest @ axis_angle_to_matrix(turn).mT, atol=1e-4)


def bone(posed: PosedBodies, start: str, end: str) -> torch.Tensor:
    return F.normalize(posed.joints[:, JOINT_INDEX[end]] - posed.joints[:, JOINT_INDEX[start]], dim=-1)


@pytest.mark.parametrize("side", ["left", "right"])
def test_limbs_point_where_they_are_told(side: str):
    shapes, variables = bodies(1, spread=0.0)
    sign = 1 if side == "left" else -1
    upper, lower = torch.tensor([[0.5 * sign, -0.4, 0.8]]), torch.tensor([[-0.6 * sign, 0.7, 0.5]])
    thigh, shank = torch.tensor([[0.3 * sign, -0.2, 1.0]]), torch.tensor([[0.1 * sign, -1.0, -0.3]])
    pose = set_leg(set_arm(variables.body_pose, side, upper, lower), side, thigh, shank)
    posed = shapes.pose(PoseVariables(variables.root, pose, variables.pelvis, variables.bend))
    told = {("shoulder", "elbow"): upper, ("elbow", "wrist"): lower, ("hip", "knee"): thigh, ("knee", "ankle"): shank}
    for (start, end), direction in told.items():
        cosine = (bone(posed, f"{side}_{start}", f"{side}_{end}") * F.normalize(direction, dim=-1)).sum()
        assert cosine > 0.97, (start, end)  # The bones at rest are a few degrees off the axes.


@pytest.mark.parametrize("palm", [(0.0, 1.0, 0.0), (0.0, -1.0, 0.0), (-1.0, 0.0, 0.0)])
def test_a_palm_turns_as_far_as_the_wrist_goes(palm: tuple[float, float, float]):
    _, variables = bodies(1, spread=0.0)
    down, ahead = torch.tensor([[0.1, -1.0, 0.1]]), torch.tensor([[0.0, 0.0, 1.0]])
    pose = turn_palm(set_arm(variables.body_pose, "left", down, ahead), "left", torch.tensor([palm]))
    chain = axis_angle_to_matrix(pose[0, [JOINT_INDEX[f"left_{n}"] - 1 for n in ("shoulder", "elbow", "wrist")]])
    looks = chain[0] @ chain[1] @ chain[2] @ torch.tensor([0.0, -1.0, 0.0])
    assert (looks * torch.tensor(palm)).sum() > 0.9
    assert pose[0, JOINT_INDEX["left_wrist"] - 1].abs().max() < 1.31


def test_leaning_bends_the_trunk_and_leaves_the_thighs():
    shapes, variables = bodies(1, spread=0.0)
    before = shapes.pose(variables)
    root, pose = lean_forward(variables.root, variables.body_pose, torch.tensor([40.0]))
    after = shapes.pose(PoseVariables(root, pose, variables.pelvis, variables.bend))
    assert torch.allclose(bone(after, "left_hip", "left_knee"), bone(before, "left_hip", "left_knee"), atol=1e-4)
    angle = torch.acos((bone(after, "pelvis", "neck") * bone(before, "pelvis", "neck")).sum())
    assert 25 < torch.rad2deg(angle) < 40 and bone(after, "pelvis", "neck")[0, 2] > 0.4


def test_trunk_rotation_is_a_rotation_with_the_head_where_it_is_told():
    head, chest = torch.tensor([[0.0, 0.0, -1.0], [0.7, 0.7, 0.1]]), torch.tensor([[0.0, 1.0, 0.0], [-0.6, 0.7, 0.2]])
    R = trunk_rotation(head, chest)
    assert torch.allclose(R @ R.mT, torch.eye(3).expand(2, 3, 3), atol=1e-5) and (torch.linalg.det(R) > 0).all()
    assert torch.allclose(R[..., 1], F.normalize(head, dim=-1), atol=1e-6)


def test_the_centre_of_mass_is_in_the_belly_and_moves_with_the_body():
    shapes, variables = bodies(1, spread=0.0)
    centre = centre_of_mass(shapes.pose(variables).joints)
    assert centre[0, 0].abs() < 1e-3 and -0.1 < centre[0, 1] < 0.25
    moved = PoseVariables(variables.root, variables.body_pose, variables.pelvis + 1.0, variables.bend)
    assert torch.allclose(centre_of_mass(shapes.pose(moved).joints), centre + 1.0, atol=1e-5)


def test_spheres_fill_the_body():
    shapes, variables = bodies(1, spread=0.0)
    spheres, posed = inner_spheres(BODY), shapes.pose(variables)
    vertices = posed.points(torch.arange(len(BODY.v_template)))[0]
    centres, radii = (tensor[0] for tensor in posed_spheres(posed, spheres))
    found = WatertightMesh(BODY.faces.numpy()).closest(centres.double().numpy(), vertices.double().numpy())
    assert found.inside.all() and 100 < len(radii) < 300
    bulge = radii - torch.as_tensor(found.distance).float()  # Metres out of the skin.
    assert bulge.median() < 0.005 and bulge.max() < 0.04
    uncovered = (torch.cdist(vertices, centres) - radii).amin(1)
    assert uncovered.median() < 0.01 and uncovered.quantile(0.95) < 0.03


def test_spheres_push_apart_only_bodies_that_overlap():
    spheres = inner_spheres(BODY)
    shapes, variables = bodies(2, spread=0.0)
    a = shapes.pose(variables)
    places = torch.tensor([[0.0, 0, 1.0], [0.0, 0.02, 0.15]])
    places.requires_grad_()
    b = shapes.pose(PoseVariables(variables.root, variables.body_pose, variables.pelvis + places, variables.bend))
    energy = sphere_energy(a, b, spheres, 0.01)
    assert energy[0] == 0 and energy[1] > 10
    energy.sum().backward()
    assert places.grad is not None
    assert (places.grad[0] == 0).all() and places.grad[1, 2] < 0  # Farther ahead, less overlap.
