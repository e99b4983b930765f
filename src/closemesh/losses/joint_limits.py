"""Body joints and fingers.

How fingers bend: about one axis each, from nearly straight to a fist, the outer two joints of a finger together.

Joint limits: how far each rotation component leaves what joints can do.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from closemesh.body.skeleton import JOINT_INDEX, JOINT_NAMES

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


def hand_pose_penalty(hand_pose: Tensor, relaxed: Tensor, axes: Tensor) -> Tensor:
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


# Range in degrees of the axis-angle components x, y, z from the T-pose; the right side mirrors the left
# (y and z change sign). Anatomical ranges, widened where captured motion goes beyond them.
_RANGES: dict[str, tuple[tuple[float, float], tuple[float, float], tuple[float, float]]] = {
    "left_hip": ((-130, 40), (-45, 55), (-40, 65)),
    "spine1": ((-25, 50), (-20, 20), (-20, 20)),
    "left_knee": ((-3, 150), (-8, 8), (-8, 8)),
    "spine2": ((-22, 35), (-20, 20), (-20, 20)),
    "left_ankle": ((-40, 60), (-35, 35), (-25, 25)),
    "spine3": ((-22, 25), (-18, 18), (-18, 18)),
    "left_foot": ((-50, 40), (-5, 5), (-5, 5)),
    "neck": ((-40, 40), (-45, 45), (-40, 40)),
    "left_collar": ((-15, 15), (-25, 20), (-12, 35)),
    "head": ((-40, 40), (-45, 45), (-30, 30)),
    "left_shoulder": ((-115, 115), (-120, 60), (-105, 95)),
    "left_elbow": ((-20, 20), (-150, 5), (-15, 80)),
    "left_wrist": ((-85, 85), (-45, 35), (-70, 70)),
}


def joint_limit_excess(body_pose: Tensor) -> Tensor:
    """Excess [..., 21, 3] in radians of axis-angle components [..., 21, 3] over the range of each joint."""
    lower, upper = _BOUNDS.to(body_pose)
    return F.relu(body_pose - upper) + F.relu(lower - body_pose)


def _bounds() -> Tensor:
    """Lower and upper bounds [2, 21, 3] in radians for SMPL-X joints 1 to 21."""
    rows = []
    for name in JOINT_NAMES[1:22]:
        ranges = _RANGES.get(name) or _mirrored(_RANGES[name.replace("right", "left")])
        rows.append(ranges)
    return torch.tensor(rows, dtype=torch.float64).mul(math.pi / 180).permute(2, 0, 1)


def _mirrored(ranges: tuple[tuple[float, float], ...]) -> tuple[tuple[float, float], ...]:
    x, y, z = ranges
    return (x, (-y[1], -y[0]), (-z[1], -z[0]))


_BOUNDS = _bounds()
