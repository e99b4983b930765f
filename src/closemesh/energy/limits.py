"""Joint limits: how far each rotation component leaves what joints can do."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from closemesh.body.skeleton import JOINT_NAMES

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


def beyond_limits(body_pose: Tensor) -> Tensor:
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
