"""Feet on a floor: not below it, and not sliding while they stand."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from closemesh.energy.smoothness import velocity


def height_above(points_cam: Tensor, floor: Tensor) -> Tensor:
    """Height [...] in metres of camera-frame points [..., 3] above the plane floor [4]: unit normal up, offset."""
    return points_cam @ floor[:3] + floor[3]


def sinking(points_cam: Tensor, floor: Tensor) -> Tensor:
    """How deep [...] in metres points lie below the floor; 0 above it."""
    return F.relu(-height_above(points_cam, floor))


def sliding(points_cam: Tensor, standing: Tensor, times: Tensor) -> Tensor:
    """Speed [T - 1, ..., ] in m/s of points [T, ..., 3] while they stand; standing [T, ...] in 0..1."""
    # A point slides only between two frames in both of which it stands.
    both = torch.minimum(standing[1:], standing[:-1])
    return torch.linalg.vector_norm(velocity(points_cam, times) + 1e-9, dim=-1) * both
