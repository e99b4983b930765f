"""Vertices posed one by one, and their normals, against the whole skin."""

from __future__ import annotations

import torch
from random_bodies import BODY, bodies

from closemesh.body.skinning import skin
from closemesh.geometry.rotations import axis_angle_to_matrix
from closemesh.lab.synthesis.posed_bodies import PoseVariables


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
    shapes, variables = bodies(2, scale=0.0)
    ids = torch.arange(0, len(BODY.v_template), 10)
    _, at_rest = shapes.pose(variables).points_and_normals(ids)
    turn = torch.tensor([0.3, 1.2, -0.4]).expand(2, 3)
    turned = PoseVariables(turn, variables.body_pose, variables.pelvis, variables.finger_bend)
    _, normals = shapes.pose(turned).points_and_normals(ids)
    assert torch.allclose(normals, at_rest @ axis_angle_to_matrix(turn).mT, atol=1e-4)
