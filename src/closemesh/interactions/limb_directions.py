"""Joint rotations that point arms, legs and trunk in given directions."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from closemesh.body.skeleton import JOINT_INDEX
from closemesh.geometry.rotations import axis_angle_to_matrix, matrix_to_axis_angle

_LARGEST_TWIST = 1.3  # Radians.
_USUAL_SHARE = 0.3  # Sine of the bend at which a limb's own twist counts as much as the usual one.
_LEAN_SHARES = {"spine1": 0.2, "spine2": 0.15, "spine3": 0.15}  # The rest of a lean comes from the hips.


def set_arm(body_pose: Tensor, side: str, upper: Tensor, lower: Tensor) -> Tensor:
    """`body_pose` [M, 21, 3] with the arm of `side` pointing along upper and lower [M, 3].

    Directions are left, up and forward of the chest. The elbow bends about one axis, as it does:
    the shoulder turns the forearm into the plane of the two directions.
    """
    sign = 1.0 if side == "left" else -1.0
    upper, lower = F.normalize(upper, dim=-1), F.normalize(lower, dim=-1)
    bend_towards = _across(lower, upper, otherwise=(0.0, 0.2, 1.0))
    # In the T-pose the left upper arm points along +x, the right one along -x; both forearms bend towards +z.
    x = sign * upper
    R_shoulder = torch.stack([x, torch.linalg.cross(bend_towards, x), bend_towards], dim=-1)
    angle = _angle(upper, lower)
    elbow = torch.stack([torch.zeros_like(angle), -sign * angle, torch.zeros_like(angle)], dim=-1)
    return _with_joints(body_pose, {f"{side}_shoulder": matrix_to_axis_angle(R_shoulder), f"{side}_elbow": elbow})


def turn_palm(body_pose: Tensor, side: str, palm: Tensor) -> Tensor:
    """`body_pose` with the forearm of `side` twisted at the wrist until the palm about faces `palm` [M, 3].

    Directions are left, up and forward of the chest; bending the wrist is left to others.
    """
    arm = body_pose[:, [JOINT_INDEX[f"{side}_shoulder"] - 1, JOINT_INDEX[f"{side}_elbow"] - 1]]
    R = axis_angle_to_matrix(arm)
    local = ((R[:, 0] @ R[:, 1]).mT @ palm[..., None])[..., 0]  # In the frame of the forearm, where palms look down.
    twist = torch.atan2(-local[:, 2], -local[:, 1]).clamp(-_LARGEST_TWIST, _LARGEST_TWIST)
    return _with_joints(body_pose, {f"{side}_wrist": torch.stack([twist, 0 * twist, 0 * twist], dim=-1)})


def set_leg(body_pose: Tensor, side: str, thigh: Tensor, shank: Tensor) -> Tensor:
    """`body_pose` with the leg of `side` pointing along thigh and shank [M, 3] (left, up, forward of the pelvis)."""
    thigh, shank = F.normalize(thigh, dim=-1), F.normalize(shank, dim=-1)
    behind = _across(shank, thigh, otherwise=(0.0, -0.2, -1.0))
    y, z = -thigh, -behind
    R_hip = torch.stack([torch.linalg.cross(y, z), y, z], dim=-1)
    angle = _angle(thigh, shank)
    knee = torch.stack([angle, torch.zeros_like(angle), torch.zeros_like(angle)], dim=-1)
    return _with_joints(body_pose, {f"{side}_hip": matrix_to_axis_angle(R_hip), f"{side}_knee": knee})


def lean_forward(root: Tensor, body_pose: Tensor, degrees: Tensor) -> tuple[Tensor, Tensor]:
    """Root [M, 3] and body_pose [M, 21, 3] with the trunk leaning forward by degrees [M]; thighs stay."""
    angle = torch.deg2rad(degrees)
    changed = body_pose.clone()
    for joint, share in _LEAN_SHARES.items():
        changed[:, JOINT_INDEX[joint] - 1, 0] += share * angle
    hips = angle * (1 - sum(_LEAN_SHARES.values()))
    forward = axis_angle_to_matrix(torch.stack([hips, torch.zeros_like(hips), torch.zeros_like(hips)], dim=-1))
    R_root = axis_angle_to_matrix(root) @ forward
    for joint in ("left_hip", "right_hip"):
        R_hip = forward.mT @ axis_angle_to_matrix(changed[:, JOINT_INDEX[joint] - 1])
        changed[:, JOINT_INDEX[joint] - 1] = matrix_to_axis_angle(R_hip)
    return matrix_to_axis_angle(R_root), changed


def trunk_rotation(head: Tensor, chest: Tensor) -> Tensor:
    """R [..., 3, 3] of a trunk whose head points along `head` and whose chest looks about along `chest` [..., 3]."""
    y = F.normalize(head, dim=-1)
    z = _across(chest, y, otherwise=(0.0, 0.0, 1.0))
    return torch.stack([torch.linalg.cross(y, z), y, z], dim=-1)


def _across(direction: Tensor, axis: Tensor, otherwise: tuple[float, float, float]) -> Tensor:
    """The unit part of `direction` [..., 3] across the unit `axis`, drawn towards that of `otherwise`.

    A limb that is nearly straight says little about its own twist; there `otherwise` decides.
    """
    usual = torch.tensor(otherwise).to(direction).expand_as(direction)
    parallel = torch.linalg.vector_norm(_reject(usual, axis), dim=-1, keepdim=True) < 0.3
    usual = F.normalize(_reject(torch.where(parallel, usual.flip(-1), usual), axis), dim=-1)
    return F.normalize(_reject(direction, axis) + _USUAL_SHARE * usual, dim=-1)


def _reject(direction: Tensor, axis: Tensor) -> Tensor:
    return direction - (direction * axis).sum(-1, keepdim=True) * axis


def _angle(a: Tensor, b: Tensor) -> Tensor:
    return torch.atan2(torch.linalg.cross(a, b).norm(dim=-1), (a * b).sum(-1))


def _with_joints(body_pose: Tensor, joints: dict[str, Tensor]) -> Tensor:
    changed = body_pose.clone()
    for name, axis_angle in joints.items():
        changed[:, JOINT_INDEX[name] - 1] = axis_angle
    return changed
