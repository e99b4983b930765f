"""How fingers bend: about one axis each, from nearly straight to a fist, the outer two joints of a finger together."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from closemesh.body.skeleton import JOINT_INDEX

# Standard deviations in radians of flexion, sideways and twist at the knuckle, the middle and the outer joint.
_FINGER = ((0.6, 0.15, 0.1), (0.6, 0.05, 0.05), (0.4, 0.05, 0.05))
_THUMB = ((0.35, 0.35, 0.2), (0.35, 0.2, 0.1), (0.5, 0.1, 0.1))
_TABLE = (*_FINGER * 4, *_THUMB)
_STRAIGHT, _BENT = -0.35, 1.75  # Radians of flexion from the rest pose that fingers do not leave.
_BEYOND = 0.1  # Radians.
_FOLLOWS = 0.7  # The outer joint bends by this share of the middle one,
_APART = 0.25  # give or take so many radians.
_FLEXION, _FINGERS = 0, 12  # The first of the axes; joints of the four fingers, before the thumb's.


def finger_axes(rest_joints: Tensor) -> Tensor:
    """Axes [..., 30, 3, 3] (rows: flexion, sideways, twist) of the finger joints of a body in its zero pose.

    rest_joints [..., 55, 3]. Twist is about the bone, positive flexion takes the fingertip to the palm; thumbs, which
    bend across the palm, get the axes that they would have as fingers.
    """
    return torch.cat([_axes_of_hand(rest_joints, "left", -1.0), _axes_of_hand(rest_joints, "right", 1.0)], dim=-3)


def _axes_of_hand(rest: Tensor, side: str, sign: float) -> Tensor:
    """[..., 15, 3, 3]; sign takes the cross product below to the palm."""
    wrist, index, pinky = (rest[..., JOINT_INDEX[f"{side}_{name}"], :] for name in ("wrist", "index1", "pinky1"))
    palm = sign * torch.linalg.cross(index - wrist, pinky - wrist)[..., None, :]
    first = JOINT_INDEX[f"{side}_index1"]
    joints = rest[..., first : first + 15, :].unflatten(-2, (5, 3))
    bones = joints.diff(dim=-2)
    bones = torch.cat([bones, bones[..., -1:, :]], dim=-2).flatten(-3, -2)  # The last one points on.
    twist = F.normalize(bones, dim=-1)
    flexion = F.normalize(torch.linalg.cross(twist, palm.expand_as(twist)), dim=-1)
    return torch.stack([flexion, torch.linalg.cross(twist, flexion), twist], dim=-2)


def finger_surprise(hand_pose: Tensor, relaxed: Tensor, axes: Tensor) -> Tensor:
    """How unlikely the fingers of each hand are [..., 2], squared standard deviations.

    hand_pose [..., 30, 3] axis-angle, relaxed [30, 3], axes [..., 30, 3, 3] broadcast against it.
    """
    angles = (axes @ hand_pose[..., None])[..., 0].unflatten(-2, (2, 15))  # [..., 2, 15, 3]
    usual = (axes @ relaxed[..., None])[..., 0].unflatten(-2, (2, 15))
    spread = torch.tensor(_TABLE, dtype=angles.dtype, device=angles.device)
    turned = angles - usual
    likely = (turned / spread).square().sum((-1, -2))
    flexion = angles[..., :_FINGERS, _FLEXION]
    beyond = F.relu(flexion - _BENT) + F.relu(_STRAIGHT - flexion)
    bent = turned[..., :_FINGERS, _FLEXION].unflatten(-1, (4, 3))
    apart = bent[..., 2] - _FOLLOWS * bent[..., 1]
    return likely + (beyond / _BEYOND).square().sum(-1) + (apart / _APART).square().sum(-1)
