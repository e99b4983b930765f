"""Pinhole projection."""

from __future__ import annotations

import math

import torch
from torch import Tensor

MIN_DEPTH = 0.05  # Metres; points nearer than this, or behind, are projected as if they stood here.


def project(points_cam: Tensor, focal: float | Tensor, centre: tuple[float, float] | Tensor) -> Tensor:
    """Pixels [..., 2] of camera-frame points [..., 3] in metres."""
    depth = points_cam[..., 2:].clamp(min=MIN_DEPTH)
    return points_cam[..., :2] / depth * focal + torch.as_tensor(
        centre, dtype=points_cam.dtype, device=points_cam.device
    )


def default_focal(size: tuple[int, int]) -> float:
    """The image diagonal in pixels (53 degrees across it): the usual guess for an unknown camera."""
    return math.hypot(*size)
