"""Projection, rays, default focal length.

Pinhole projection.

From a person seen alone to the camera: what is straight ahead in a crop lies along a ray in the frame.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from scipy.spatial.transform import Rotation
from torch import Tensor

from closemesh.core.arrays import Floats

MIN_DEPTH = 0.05  # Metres; points nearer than this, or behind, are projected as if they stood here.


def project(points_cam: Tensor, focal: float | Tensor, principal_point: tuple[float, float] | Tensor) -> Tensor:
    """Pixels [..., 2] of camera-frame points [..., 3] in metres."""
    depth = points_cam[..., 2:].clamp(min=MIN_DEPTH)
    return points_cam[..., :2] / depth * focal + torch.as_tensor(
        principal_point, dtype=points_cam.dtype, device=points_cam.device
    )


def default_focal(size: tuple[int, int]) -> float:
    """The image diagonal in pixels (53 degrees across it): the usual guess for an unknown camera."""
    return math.hypot(*size)


def ray_rotation(pixel: Floats, focal: float, size: tuple[int, int]) -> Floats:
    """[3, 3] the shortest rotation that takes the z axis to the ray through `pixel`.

    A network that sees only a crop gives points as if the person stood on the optical axis; this turns them to
    where the person stands. pixel: [2]. focal: pixels.
    """
    ray = np.array([pixel[0] - size[0] / 2, pixel[1] - size[1] / 2, focal])
    ray /= np.linalg.norm(ray)
    axis = np.cross([0, 0, 1], ray)
    sine = np.linalg.norm(axis)
    if sine < 1e-9:
        return np.eye(3)
    return Rotation.from_rotvec(axis / sine * np.arctan2(sine, ray[2])).as_matrix()
