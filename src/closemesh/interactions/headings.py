"""Which way somebody looks, and turns about the vertical."""

from __future__ import annotations

import torch
from torch import Tensor

from closemesh.geometry.rotations import axis_angle_to_matrix


def heading(R_world_root: Tensor) -> Tensor:
    """Yaw [...] in radians of the forward axis of roots [..., 3, 3]: 0 looks along z, positive turns towards x."""
    return torch.atan2(R_world_root[..., 0, 2], R_world_root[..., 2, 2])


def yaw_matrix(yaw: Tensor) -> Tensor:
    """Rotations [..., 3, 3] about the vertical by yaw [...] radians."""
    zero = torch.zeros_like(yaw)
    return axis_angle_to_matrix(torch.stack([zero, yaw, zero], dim=-1))


def nearest_yaw(R: Tensor) -> Tensor:
    """The yaw [...] whose rotation about the vertical is nearest to rotations R [..., 3, 3], whatever their tilt."""
    return torch.atan2(R[..., 0, 2] - R[..., 2, 0], R[..., 0, 0] + R[..., 2, 2])
