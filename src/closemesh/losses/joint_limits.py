"""Joint limits: penalty of unlikely finger poses, excess of body joints over anatomical ranges."""

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
_MIN_FLEXION, _MAX_FLEXION = -0.35, 1.75  # Radians from the rest pose.
_LIMIT_SIGMA = 0.1  # Radians beyond these limits.
_COUPLING = 0.7  # Ratio of the flexion of the outer joint to that of the middle joint,
_COUPLING_SIGMA = 0.25  # and its standard deviation in radians.
_FLEXION, _NUM_FINGER_JOINTS = 0, 12  # Index of the axis; joints of the four fingers, which precede those of the thumb.


def finger_axes(rest_joints: Tensor) -> Tensor:
    """Axes [..., 30, 3, 3] (rows: flexion, sideways, twist) of the finger joints of a body in its zero pose.

    rest_joints [..., 55, 3]. Twist is about the bone; positive flexion moves the fingertip to the palm. Thumbs, which
    flex across the palm, get the axes of a finger.
    """
    return torch.cat([_axes_of_hand(rest_joints, "left", -1.0), _axes_of_hand(rest_joints, "right", 1.0)], dim=-3)


def _axes_of_hand(rest: Tensor, side: str, sign: float) -> Tensor:
    """Axes [..., 15, 3, 3]; sign makes the cross product below point to the palm."""
    wrist, index, pinky = (rest[..., JOINT_INDEX[f"{side}_{name}"], :] for name in ("wrist", "index1", "pinky1"))
    palm = sign * torch.linalg.cross(index - wrist, pinky - wrist)[..., None, :]
    first = JOINT_INDEX[f"{side}_index1"]
    joints = rest[..., first : first + 15, :].unflatten(-2, (5, 3))
    bones = joints.diff(dim=-2)
    bones = torch.cat([bones, bones[..., -1:, :]], dim=-2).flatten(-3, -2)  # The last bone continues the one before it.
    twist = F.normalize(bones, dim=-1)
    flexion = F.normalize(torch.linalg.cross(twist, palm.expand_as(twist)), dim=-1)
    return torch.stack([flexion, torch.linalg.cross(twist, flexion), twist], dim=-2)


def hand_pose_penalty(hand_pose: Tensor, relaxed: Tensor, axes: Tensor) -> Tensor:
    """Squared standard deviations [..., 2] of the finger pose of each hand from the relaxed pose, flexion limits added.

    hand_pose [..., 30, 3] axis-angle, relaxed [30, 3], axes [..., 30, 3, 3] from `finger_axes`.
    """
    angles = (axes @ hand_pose[..., None])[..., 0].unflatten(-2, (2, 15))  # [..., 2, 15, 3]
    relaxed_angles = (axes @ relaxed[..., None])[..., 0].unflatten(-2, (2, 15))
    std = torch.tensor(_TABLE, dtype=angles.dtype, device=angles.device)
    deviation = angles - relaxed_angles
    distance = (deviation / std).square().sum((-1, -2))
    flexion = angles[..., :_NUM_FINGER_JOINTS, _FLEXION]
    excess = F.relu(flexion - _MAX_FLEXION) + F.relu(_MIN_FLEXION - flexion)
    bending = deviation[..., :_NUM_FINGER_JOINTS, _FLEXION].unflatten(-1, (4, 3))
    coupling = bending[..., 2] - _COUPLING * bending[..., 1]
    return distance + (excess / _LIMIT_SIGMA).square().sum(-1) + (coupling / _COUPLING_SIGMA).square().sum(-1)


# Range in degrees of the axis-angle components x, y, z from the T-pose; the right side mirrors the left
# (y and z change sign). Anatomical ranges, extended to cover captured motion.
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
    """Excess [..., 21, 3] in radians of axis-angle body_pose [..., 21, 3] over the range of each component."""
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
