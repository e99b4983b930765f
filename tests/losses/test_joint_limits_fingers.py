"""Fingers bend to the palm, on both hands alike, and no farther than fingers do."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from closemesh.body.loading import load_bundled_body, load_landmark_body
from closemesh.body.skeleton import JOINT_INDEX, JOINT_NAMES
from closemesh.body.skinning import forward_kinematics
from closemesh.geometry.rotations import axis_angle_to_matrix
from closemesh.losses.joint_limits import finger_axes, hand_pose_penalty


@pytest.fixture(scope="module")
def rest() -> Tensor:
    return load_bundled_body("light").joint_template


@pytest.fixture(scope="module")
def relaxed() -> Tensor:
    return load_bundled_body("light").hand_mean.flatten(0, 1)


def test_axes_stand_upright_on_each_other(rest: Tensor) -> None:
    axes = finger_axes(rest)
    assert torch.allclose(axes @ axes.transpose(-1, -2), torch.eye(3).expand(30, 3, 3), atol=1e-5)


@pytest.mark.parametrize("finger", ["index", "middle", "ring", "pinky"])
@pytest.mark.parametrize("side", ["left", "right"])
def test_positive_flexion_takes_the_finger_down_to_the_palm(rest: Tensor, side: str, finger: str) -> None:
    """In the zero pose palms look down."""
    first = JOINT_INDEX[f"{side}_{finger}1"]
    pose = torch.zeros(55, 3)
    pose[first] = 0.5 * finger_axes(rest)[first - 25, 0]
    _, posed = forward_kinematics(axis_angle_to_matrix(pose), rest)
    tip, bone = JOINT_INDEX[f"{side}_{finger}3"], (rest[first + 2] - rest[first]).norm()
    assert float(rest[tip, 1] - posed[tip, 1]) == pytest.approx(float(bone * torch.sin(torch.tensor(0.5))), rel=0.05)


def test_sideways_keeps_the_height(rest: Tensor) -> None:
    first = JOINT_INDEX["left_middle1"]
    pose = torch.zeros(55, 3)
    pose[first] = 0.3 * finger_axes(rest)[first - 25, 1]
    _, posed = forward_kinematics(axis_angle_to_matrix(pose), rest)
    assert torch.allclose(posed[first + 2, 1], rest[first + 2, 1], atol=2e-3)
    assert (posed[first + 2, 2] - rest[first + 2, 2]).abs() > 0.01


def penalty(rest: Tensor, relaxed: Tensor, joint: str, axis: int, angle: float) -> float:
    axes = finger_axes(rest)
    number = JOINT_NAMES.index(joint) - 25
    pose = relaxed.clone()
    pose[number] += angle * axes[number, axis]
    return float(hand_pose_penalty(pose, relaxed, axes).sum() - hand_pose_penalty(relaxed, relaxed, axes).sum())


def test_bending_is_likely_and_everything_else_is_not(rest: Tensor, relaxed: Tensor) -> None:
    bent = penalty(rest, relaxed, "left_index2", 0, 0.4)
    assert bent < penalty(rest, relaxed, "left_index2", 2, 0.4) / 5
    assert bent < penalty(rest, relaxed, "left_index2", 1, 0.4) / 5
    assert penalty(rest, relaxed, "left_index1", 0, -1.2) > 5 * penalty(rest, relaxed, "left_index1", 0, 1.2)


def test_both_hands_alike(rest: Tensor, relaxed: Tensor) -> None:
    for axis in (0, 2):
        left, right = (penalty(rest, relaxed, f"{side}_ring1", axis, 0.5) for side in ("left", "right"))
        assert left == pytest.approx(right, rel=0.05)


def test_each_hand_counts_for_itself(rest: Tensor, relaxed: Tensor) -> None:
    pose = relaxed.clone().requires_grad_()
    hand_pose_penalty(pose + 0.1, relaxed, finger_axes(rest))[0].backward()
    assert pose.grad is not None and bool((pose.grad[15:] == 0).all()) and bool((pose.grad[:15] != 0).any())


def test_shapes_follow_the_people(relaxed: Tensor) -> None:
    body = load_landmark_body(load_bundled_body("light"))
    axes = finger_axes(body.rest_joints(torch.randn(2, body.num_betas)))
    assert hand_pose_penalty(relaxed.expand(7, 2, 30, 3), relaxed, axes).shape == (7, 2, 2)
