"""Limbs, palms and trunks point in the given directions."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from random_bodies import bodies, bone

from closemesh.body.skeleton import JOINT_INDEX
from closemesh.geometry.rotations import axis_angle_to_matrix
from closemesh.lab.synthesis.initial_poses import lean_forward, set_arm, set_leg, trunk_rotation, turn_palm
from closemesh.lab.synthesis.posed_bodies import PoseVariables


@pytest.mark.parametrize("side", ["left", "right"])
def test_limbs_point_in_the_given_directions(side: str):
    shapes, variables = bodies(1, scale=0.0)
    sign = 1 if side == "left" else -1
    upper, lower = torch.tensor([[0.5 * sign, -0.4, 0.8]]), torch.tensor([[-0.6 * sign, 0.7, 0.5]])
    thigh, shank = torch.tensor([[0.3 * sign, -0.2, 1.0]]), torch.tensor([[0.1 * sign, -1.0, -0.3]])
    pose = set_leg(set_arm(variables.body_pose, side, upper, lower), side, thigh, shank)
    posed = shapes.pose(PoseVariables(variables.root, pose, variables.pelvis, variables.finger_bend))
    directions = {
        ("shoulder", "elbow"): upper,
        ("elbow", "wrist"): lower,
        ("hip", "knee"): thigh,
        ("knee", "ankle"): shank,
    }
    for (start, end), direction in directions.items():
        cosine = (bone(posed, f"{side}_{start}", f"{side}_{end}") * F.normalize(direction, dim=-1)).sum()
        assert cosine > 0.97, (start, end)  # The bones at rest are a few degrees off the axes.


@pytest.mark.parametrize("palm", [(0.0, 1.0, 0.0), (0.0, -1.0, 0.0), (-1.0, 0.0, 0.0)])
def test_a_palm_turns_as_far_as_the_wrist_goes(palm: tuple[float, float, float]):
    _, variables = bodies(1, scale=0.0)
    down, ahead = torch.tensor([[0.1, -1.0, 0.1]]), torch.tensor([[0.0, 0.0, 1.0]])
    pose = turn_palm(set_arm(variables.body_pose, "left", down, ahead), "left", torch.tensor([palm]))
    chain = axis_angle_to_matrix(pose[0, [JOINT_INDEX[f"left_{n}"] - 1 for n in ("shoulder", "elbow", "wrist")]])
    normal = chain[0] @ chain[1] @ chain[2] @ torch.tensor([0.0, -1.0, 0.0])
    assert (normal * torch.tensor(palm)).sum() > 0.9
    assert pose[0, JOINT_INDEX["left_wrist"] - 1].abs().max() < 1.31


def test_leaning_differences_the_trunk_and_leaves_the_thighs():
    shapes, variables = bodies(1, scale=0.0)
    before = shapes.pose(variables)
    root, pose = lean_forward(variables.root, variables.body_pose, torch.tensor([40.0]))
    after = shapes.pose(PoseVariables(root, pose, variables.pelvis, variables.finger_bend))
    assert torch.allclose(bone(after, "left_hip", "left_knee"), bone(before, "left_hip", "left_knee"), atol=1e-4)
    angle = torch.acos((bone(after, "pelvis", "neck") * bone(before, "pelvis", "neck")).sum())
    assert 25 < torch.rad2deg(angle) < 40 and bone(after, "pelvis", "neck")[0, 2] > 0.4


def test_trunk_rotation_is_a_rotation_with_the_head_in_the_given_direction():
    head, chest = torch.tensor([[0.0, 0.0, -1.0], [0.7, 0.7, 0.1]]), torch.tensor([[0.0, 1.0, 0.0], [-0.6, 0.7, 0.2]])
    R = trunk_rotation(head, chest)
    assert torch.allclose(R @ R.mT, torch.eye(3).expand(2, 3, 3), atol=1e-5) and (torch.linalg.det(R) > 0).all()
    assert torch.allclose(R[..., 1], F.normalize(head, dim=-1), atol=1e-6)
